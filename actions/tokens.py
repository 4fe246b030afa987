"""API tokens: one's own, and for administrators those of others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from actions.door import Identity, action
from core.permissions import Permission
from services.accounts import tokens
from services.accounts.tokens import Issued, Token, Wish
from services.records import database


@action(Permission.TOKENS_OWN, target=lambda wish: wish.name)
def create(who: Identity, wish: Wish) -> Issued:
    """Make a token of one's own; its secret is shown once. Raises PermissionError for scopes that one has not."""
    return tokens.create(database(), who.rights, who.name, wish, datetime.now(UTC))


@action(Permission.TOKENS_OWN, looks=True)
def own(who: Identity, *, limit: int = 50, offset: int = 0) -> Sequence[Token]:
    """One's own tokens, newest first."""
    return tokens.page(database(), owner=who.name, limit=limit, offset=offset)


@action(Permission.TOKENS_OWN, looks=True)
def own_count(who: Identity) -> int:
    """How many tokens one has."""
    return tokens.count(database(), owner=who.name)


@action(Permission.TOKENS_OWN)
def revoke(who: Identity, reference: str) -> Token:
    """End one of one's own tokens, by its id or prefix."""
    return tokens.revoke(database(), who.rights, reference, owner=who.name)


@action(Permission.USERS_WRITE, target=lambda owner, wish: f"{wish.name} of {owner}")
def create_for(who: Identity, owner: str, wish: Wish) -> Issued:
    """Make a token in the name of somebody. Raises PermissionError for what the two do not both have."""
    return tokens.create(database(), who.rights, owner, wish, datetime.now(UTC))


@action(Permission.USERS_READ)
def page(who: Identity, *, owner: str | None = None, limit: int = 50, offset: int = 0) -> Sequence[Token]:
    """The tokens of one user or of all, newest first."""
    return tokens.page(database(), owner=owner, limit=limit, offset=offset)


@action(Permission.USERS_WRITE)
def revoke_any(who: Identity, reference: str) -> Token:
    """End anybody's token, by its id or prefix."""
    return tokens.revoke(database(), who.rights, reference)
