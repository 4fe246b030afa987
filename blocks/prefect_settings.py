"""Changes of Prefect's settings, made once for each set of them: a page, or a look at the runs, makes the same often.

Prefect reads all its settings anew, some five hundred, for each change of one: a tenth of a second of processor time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prefect.context import SettingsContext, get_settings_context
from prefect.settings.legacy import Setting
from prefect.settings.models.root import Settings

_KEPT = 8  # changes of settings that a process makes again and again
_changed: dict[tuple[int, tuple[tuple[str, Any], ...]], tuple[Settings, Settings]] = {}


@contextmanager
def changed_settings(changes: Mapping[Setting, Any]) -> Iterator[None]:
    """Settings of Prefect for a while, as its own ``temporary_settings`` would have them."""
    context = get_settings_context()
    key = (id(context.settings), tuple((setting.name, value) for setting, value in changes.items()))
    if (made := _changed.get(key)) is None:
        updates: dict[Any, Any] = {**changes}
        # With those that they were made from, whose id is therefore nobody else's meanwhile.
        made = (context.settings, context.settings.copy_with_update(updates=updates))
        if len(_changed) >= _KEPT:
            _changed.clear()
        _changed[key] = made
    with SettingsContext(profile=context.profile, settings=made[1]):
        yield
