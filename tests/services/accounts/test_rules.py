"""Nobody gives, or rules over, what they do not have; and there is always an administrator who may log in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from core.errors import ConfigurationError, DBackupError, PermissionError
from core.permissions import Permission
from core.rights import EVERYTHING, Grant, Rights
from db import people
from db.session import Database, open_database
from services.accounts import groups, users
from services.accounts.users import NewUser
from tests.services.accounts.conftest import House

SOURCES = ("shop", "crm", "wiki")
permissions = st.frozensets(st.sampled_from(sorted(Permission)[:8]))
limits = st.none() | st.frozensets(st.sampled_from(SOURCES))
grants = st.builds(Grant, permissions, limits)
several = st.lists(grants, max_size=4)


def reach(rights: Rights) -> set[tuple[Permission, str]]:
    return {(one, source) for one in Permission for source in (*SOURCES, "new") if rights.reaches(one, source)}


@given(several)
def test_somebody_may_do_exactly_what_one_of_their_groups_permits(all_of_them: list[Grant]) -> None:
    assert reach(Rights.of(all_of_them)) == set().union(*[reach(Rights.of([one])) for one in all_of_them])


@given(several)
def test_the_order_of_groups_does_not_matter(all_of_them: list[Grant]) -> None:
    assert Rights.of(all_of_them) == Rights.of(reversed(all_of_them))


@given(several, several)
def test_covering_is_being_able_to_do_all_of_it(mine: list[Grant], theirs: list[Grant]) -> None:
    me, them = Rights.of(mine), Rights.of(theirs)
    if me.covers(them):
        assert reach(them) <= reach(me)
    elif them.permissions <= me.permissions:
        assert not reach(them) <= reach(me)


@given(several, permissions)
def test_a_part_of_rights_never_goes_beyond_them(mine: list[Grant], scopes: frozenset[Permission]) -> None:
    me = Rights.of(mine)
    assert reach(me.only(scopes)) == {pair for pair in reach(me) if pair[0] in scopes}
    assert me.covers(me.only(scopes))


def test_only_administrators_cover_administrators() -> None:
    everything_but_that = Rights(frozenset(Permission))
    assert not everything_but_that.covers(EVERYTHING)
    assert EVERYTHING.covers(EVERYTHING)
    assert not EVERYTHING.only(Permission).administrator


# --- escalation ---

HELPER = (Permission.USERS_READ, Permission.USERS_WRITE, Permission.GROUPS_WRITE, Permission.BACKUPS_READ)
OTHER = SecretStr("another long password")
Attack = Callable[[Database, Rights], object]
ATTACKS: dict[str, Attack] = {
    "joins the administrators": lambda db, me: groups.add(db, me, "Administrators", "helper"),
    "joins a group that may more": lambda db, me: groups.add(db, me, "restorers", "helper"),
    "makes an administrator": lambda db, me: users.create(db, me, NewUser("evil", OTHER, groups=("administrators",))),
    "makes a user who may more": lambda db, me: users.create(db, me, NewUser("evil", OTHER, groups=("restorers",))),
    "makes a group that may more": lambda db, me: groups.create(db, me, "new", Grant(frozenset(Permission))),
    "lets their own group do more": lambda db, me: groups.change(db, me, "helpers", Grant(frozenset(Permission))),
    "cuts a group that may more": lambda db, me: groups.change(db, me, "restorers", Grant(frozenset())),
    "deletes a group that may more": lambda db, me: groups.delete(db, me, "restorers"),
    "throws an administrator out": lambda db, me: groups.remove(db, me, "Administrators", "ada"),
    "changes an administrator's password": lambda db, me: users.set_password(db, me, "ada", OTHER),
    "changes the password of who may more": lambda db, me: users.set_password(db, me, "restorer", OTHER),
    "takes an administrator's second factor": lambda db, me: users.reset_second_factor(db, me, "ada"),
    "disables an administrator": lambda db, me: users.set_enabled(db, me, "ada", enabled=False),
    "enables who may more": lambda db, me: users.set_enabled(db, me, "restorer", enabled=True),
    "deletes an administrator": lambda db, me: users.delete(db, me, "ada"),
    "ends an administrator's sessions": lambda db, me: users.end_sessions(db, me, "ada"),
}


@pytest.mark.parametrize("limited", [False, True], ids=["everywhere", "for one source"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_who_may_manage_users_cannot_rise(house: House, attack: Attack, limited: bool) -> None:
    house.group("helpers", *HELPER, sources=frozenset({"shop"}) if limited else None)
    house.group("restorers", Permission.BACKUPS_RESTORE, sources=frozenset({"shop"}))
    house.user("helper", "helpers")
    house.user("restorer", "restorers")
    me, before = house.rights("helper"), picture(house.database)
    with pytest.raises((PermissionError, ConfigurationError)) as refused:
        attack(house.database, me)
    assert isinstance(refused.value, PermissionError) or "protected" in refused.value.message
    assert refused.value.hint
    assert picture(house.database) == before


def test_who_is_limited_to_a_source_gives_others_no_more(house: House) -> None:
    house.group("helpers", *HELPER, sources=frozenset({"shop"}))
    house.group("readers", Permission.BACKUPS_READ, sources=frozenset({"shop"}))
    house.user("helper", "helpers")
    me = house.rights("helper")
    for sources in (None, frozenset({"shop", "crm"}), frozenset({"crm"})):
        with pytest.raises(PermissionError):
            groups.change(house.database, me, "readers", Grant(frozenset({Permission.BACKUPS_READ}), sources))
    groups.change(house.database, me, "readers", Grant(frozenset(), frozenset({"shop"})))


def picture(database: Database) -> object:
    """Everybody, with what opens their account, and every group."""
    with database.session() as session:
        passwords = {one.name: (one.password_hash, one.enabled) for one in people.users(session)}
    return users.page(database), groups.page(database), [groups.get(database, "Administrators")], passwords


def test_who_may_manage_users_can_manage_those_below(house: House) -> None:
    house.group("helpers", *HELPER)
    house.user("helper", "helpers")
    me, at = house.rights("helper"), house.database
    groups.create(at, me, "readers", Grant(frozenset({Permission.BACKUPS_READ}), frozenset({"shop"})))
    users.create(at, me, NewUser("bob", OTHER, groups=("readers",)))
    groups.add(at, me, "helpers", "bob")
    users.set_password(at, me, "bob", OTHER)
    users.set_enabled(at, me, "bob", enabled=False)
    users.delete(at, me, "bob")


@pytest.mark.parametrize(
    "change",
    [
        lambda db: groups.change(db, EVERYTHING, "ADMINISTRATORS", Grant(frozenset())),
        lambda db: groups.delete(db, EVERYTHING, "administrators"),
        lambda db: groups.create(db, EVERYTHING, " Administrators ", Grant(frozenset())),
    ],
)
def test_the_group_of_administrators_is_protected(house: House, change: Callable[[Database], object]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        change(house.database)
    assert refused.value.hint
    assert groups.get(house.database, "Administrators").permissions == frozenset(Permission)


def test_a_user_without_a_group_may_do_nothing(house: House) -> None:
    house.user("new")
    assert house.rights("new") == Rights()


# --- the last administrator ---

LOSSES: dict[str, Callable[[Database, str], object]] = {
    "disable": lambda db, name: users.set_enabled(db, EVERYTHING, name, enabled=False),
    "delete": lambda db, name: users.delete(db, EVERYTHING, name),
    "remove": lambda db, name: groups.remove(db, EVERYTHING, "Administrators", name),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_last_administrator_stays(house: House, loss: Callable[[Database, str], object]) -> None:
    house.user("off", "Administrators")
    users.set_enabled(house.database, EVERYTHING, "off", enabled=False)  # one who cannot log in does not count
    with pytest.raises(ConfigurationError, match="without an administrator") as refused:
        loss(house.database, "ada")
    assert refused.value.hint
    assert house.rights("ada") == EVERYTHING


@pytest.mark.parametrize("second", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("first", LOSSES.values(), ids=LOSSES)
def test_of_two_at_once_that_would_take_both_administrators_one_fails(
    any_house: House,
    first: Callable[[Database, str], object],
    second: Callable[[Database, str], object],
    at_once: Callable[..., list[object]],
) -> None:
    any_house.user("bob", "Administrators")
    at = any_house.database
    results = at_once(partial(first, at, "ada"), partial(second, at, "bob"))
    assert sorted(isinstance(one, ConfigurationError) for one in results) == [False, True]
    with at.session() as session:
        assert people.enabled_administrators(session) == 1


steps = st.lists(st.tuples(st.sampled_from([*LOSSES, "enable", "add"]), st.sampled_from(["ada", "bob", "eve"])))


@given(steps)
@settings(max_examples=25, deadline=None)
def test_whatever_is_done_an_administrator_is_left(
    tmp_path_factory: pytest.TempPathFactory, taken: Iterable[tuple[str, str]]
) -> None:
    at = open_database(f"sqlite:///{tmp_path_factory.mktemp('home')}/catalog.db")
    for name, in_group in (("ada", ("Administrators",)), ("bob", ("Administrators",)), ("eve", ())):
        users.create(at, EVERYTHING, NewUser(name, groups=in_group))
    gains: dict[str, Callable[[str], object]] = {
        "enable": lambda name: users.set_enabled(at, EVERYTHING, name, enabled=True),
        "add": lambda name: groups.add(at, EVERYTHING, "Administrators", name),
    }
    for step, name in taken:
        try:
            gains[step](name) if step in gains else LOSSES[step](at, name)
        except DBackupError:
            continue
        finally:
            with at.session() as session:
                assert people.enabled_administrators(session) >= 1


# --- names ---


@pytest.mark.parametrize("name", ["", " ", "-rf", "a b", "a\nb", "ä", "a" * 65, "<b>", "a/b", "a\0"])
def test_what_cannot_be_a_name_is_refused(house: House, name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        users.create(house.database, EVERYTHING, NewUser(name))
    assert refused.value.hint


def test_a_name_and_an_address_belong_to_one_user_whatever_their_case(house: House) -> None:
    users.create(house.database, EVERYTHING, NewUser("bob", email="Bob@Example.org"))
    for other in (NewUser("BOB"), NewUser("bobby", email="bob@example.ORG")):
        with pytest.raises(ConfigurationError):
            users.create(house.database, EVERYTHING, other)


def test_of_two_that_take_one_name_at_once_one_is_told(any_house: House, at_once: Callable[..., list[object]]) -> None:
    new = partial(users.create, any_house.database, EVERYTHING, NewUser("twin"))
    results = at_once(new, new)
    assert sorted(isinstance(one, ConfigurationError) for one in results) == [False, True]


def test_users_and_groups_come_in_pages(house: House) -> None:
    for number in range(7):
        house.user(f"user{number}")
        house.group(f"group {number}", Permission.JOBS_READ)
    named = [one.name for offset in (0, 3, 6) for one in users.page(house.database, limit=3, offset=offset)]
    assert named == ["ada", *[f"user{number}" for number in range(7)]]
    assert [one.name for one in users.page(house.database, search="USER3")] == ["user3"]
    assert users.page(house.database, search="%") == []
    grouped = [one.name for offset in (0, 4) for one in groups.page(house.database, limit=4, offset=offset)]
    assert grouped == ["Administrators", *[f"group {number}" for number in range(7)]]
