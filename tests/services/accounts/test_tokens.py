"""API tokens and the first administrator's link: what they open, for how long, and what is kept of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from core.errors import AuthenticationError, ConfigurationError, PermissionError
from core.permissions import Permission
from core.rights import EVERYTHING, Rights
from services.accounts import groups, invitation, tokens, users
from services.accounts.tokens import Issued, Wish
from tests.services.accounts.conftest import PASSWORD, House

READ, RUN = Permission.BACKUPS_READ, Permission.JOBS_EXECUTE


def issued(house: House, owner: str = "ada", *scopes: Permission, who: Rights = EVERYTHING) -> Issued:
    return tokens.create(house.database, who, owner, Wish("cron", frozenset(scopes or {READ})), house.now)


def test_a_token_may_do_what_it_was_made_for_and_is_no_administrator(house: House) -> None:
    visitor = tokens.visitor(house.database, issued(house).secret, house.now)
    assert (visitor.name, visitor.rights) == ("ada", Rights(frozenset({READ})))
    assert visitor.token_id
    assert visitor.session_id is None


def test_a_token_loses_what_its_owner_loses_and_keeps_their_limits(house: House) -> None:
    house.group("runners", RUN, READ, sources=frozenset({"shop"}))
    house.user("bob", "runners")
    secret = issued(house, "bob", RUN, READ).secret
    rights = tokens.visitor(house.database, secret, house.now).rights
    assert rights.reaches(RUN, "shop")
    assert not rights.reaches(RUN, "crm")
    groups.remove(house.database, EVERYTHING, "runners", "bob")
    assert tokens.visitor(house.database, secret, house.now).rights == Rights()


def test_nobody_makes_a_token_that_may_more_than_they_or_its_owner(house: House) -> None:
    house.group("readers", READ, sources=frozenset({"shop"}))
    house.user("bob", "readers")
    bob = house.rights("bob")
    for owner, scopes, who in (("bob", {RUN}, EVERYTHING), ("bob", {RUN}, bob), ("ada", {READ}, bob)):
        with pytest.raises(PermissionError):
            issued(house, owner, *scopes, who=who)


@pytest.mark.parametrize("how", ["expired", "revoked", "disabled", "deleted", "wrong"])
def test_what_opens_nothing(house: House, how: str) -> None:
    house.user("bob", "Administrators")
    made = issued(house)
    {
        "expired": lambda: house.later(days=90),
        "revoked": lambda: tokens.revoke(house.database, EVERYTHING, made.token.prefix),
        "disabled": lambda: users.set_enabled(house.database, EVERYTHING, "ada", enabled=False),
        "deleted": lambda: users.delete(house.database, EVERYTHING, "ada"),
        "wrong": lambda: None,
    }[how]()
    with pytest.raises(AuthenticationError):
        tokens.visitor(house.database, made.secret + "x" * (how == "wrong"), house.now)


@pytest.mark.parametrize(
    "wish",
    [
        Wish(" ", frozenset({READ})),
        Wish("cron", frozenset()),
        Wish("cron", frozenset({READ}), timedelta()),
        Wish("cron", frozenset({READ}), timedelta(days=367)),
    ],
)
def test_a_token_has_a_name_a_scope_and_an_end(house: House, wish: Wish) -> None:
    with pytest.raises(ConfigurationError):
        tokens.create(house.database, EVERYTHING, "ada", wish, house.now)


def test_only_a_hash_of_a_token_is_kept(house: House, tmp_path: Path) -> None:
    made = issued(house)
    stored = "\n".join(sqlite3.connect(tmp_path / "home" / "catalog.db").iterdump())
    assert made.token.prefix in stored
    assert made.secret not in stored
    assert made.secret[len(made.token.prefix) :] not in stored
    assert made.secret not in repr(made)


def test_nobody_revokes_the_token_of_who_may_more(house: House) -> None:
    house.group("helpers", Permission.USERS_WRITE)
    house.user("helper", "helpers")
    made = issued(house)
    with pytest.raises(PermissionError):
        tokens.revoke(house.database, house.rights("helper"), made.token.token_id)
    with pytest.raises(ConfigurationError):
        tokens.revoke(house.database, house.rights("helper"), made.token.token_id, owner="helper")
    assert tokens.visitor(house.database, made.secret, house.now)


def test_tokens_are_listed_with_their_last_use(house: House) -> None:
    first = issued(house)
    house.later(hours=1)
    issued(house)
    tokens.visitor(house.database, first.secret, house.now)
    newest, oldest = tokens.page(house.database)
    assert (newest.used_at, oldest.used_at) == (None, house.now)
    assert tokens.page(house.database, owner="ada", limit=1, offset=1) == [oldest]


# --- the first administrator ---


@pytest.fixture
def empty(any_house: House) -> House:
    """A system in which nobody may log in."""
    with any_house.database.session() as session:
        session.connection().exec_driver_sql("DELETE FROM users")
    return any_house


def test_the_link_makes_the_first_administrator_once(empty: House) -> None:
    assert invitation.is_needed(empty.database)
    link = invitation.invite(empty.database, empty.now)
    invitation.accept(empty.database, link, "grace", PASSWORD, empty.now)
    assert empty.rights("grace") == EVERYTHING
    assert not invitation.is_needed(empty.database)
    with pytest.raises(AuthenticationError):
        invitation.accept(empty.database, link, "eve", PASSWORD, empty.now)
    with pytest.raises(ConfigurationError):
        invitation.invite(empty.database, empty.now)


def test_of_two_with_one_link_at_once_one_becomes_administrator(
    empty: House, at_once: Callable[..., list[object]]
) -> None:
    link = invitation.invite(empty.database, empty.now)
    calls = [partial(invitation.accept, empty.database, link, name, PASSWORD, empty.now) for name in ("grace", "eve")]
    results = at_once(*calls)
    assert sorted(isinstance(one, AuthenticationError) for one in results) == [False, True]


def test_a_link_expires_and_a_newer_one_replaces_it(empty: House) -> None:
    old = invitation.invite(empty.database, empty.now)
    new = invitation.invite(empty.database, empty.now)
    with pytest.raises(AuthenticationError):
        invitation.accept(empty.database, old, "eve", PASSWORD, empty.now)
    empty.later(hours=1)
    with pytest.raises(AuthenticationError):
        invitation.accept(empty.database, new, "eve", PASSWORD, empty.now)


def test_a_link_opens_nothing_once_there_is_an_administrator(empty: House) -> None:
    link = invitation.invite(empty.database, empty.now)
    empty.user("grace", "Administrators")
    with pytest.raises(AuthenticationError):
        invitation.accept(empty.database, link, "eve", PASSWORD, empty.now)


def test_a_password_that_is_refused_leaves_the_link_as_it_was(empty: House) -> None:
    from pydantic import SecretStr

    link = invitation.invite(empty.database, empty.now)
    with pytest.raises(ConfigurationError):
        invitation.accept(empty.database, link, "grace", SecretStr("tr0ub4dor"), empty.now)
    invitation.accept(empty.database, link, "grace", PASSWORD, empty.now)
