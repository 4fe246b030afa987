"""What a page is: its place in the menu, who may see it, and what draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actions.door import Identity
from core.permissions import Permission


@dataclass(frozen=True)
class Page:
    """One page. ``path`` is its address below the root; whoever has any permission of ``needs`` sees it."""

    title: str
    path: str
    icon: str  # the name of a Material symbol, which Streamlit brings along
    draw: Callable[[Identity], None]
    needs: frozenset[Permission]

    def is_for(self, who: Identity) -> bool:
        """Whether this person finds the page in the menu."""
        return bool(self.needs & who.permissions)
