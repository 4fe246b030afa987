"""A provider says who somebody is; whose account that is, is decided here, and never by what they can choose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import AuthenticationError, ConfigurationError
from core.identity import Claims
from core.permissions import Permission
from core.rights import EVERYTHING, Rights
from services.accounts import sessions, single_sign_on, users
from services.accounts.sessions import Visitor
from services.accounts.single_sign_on import Policy
from services.accounts.users import NewUser
from tests.services.accounts.conftest import HOME, House

GRACE = Claims("https://id.example.org", "subject-1", "grace", "grace@example.org", email_verified=True)
OPEN = Policy("corp", provision=True)


def enter(house: House, claims: Claims = GRACE, policy: Policy = OPEN) -> Visitor:
    opened = single_sign_on.log_in(house.database, claims, policy, HOME, house.now)
    return sessions.visitor(house.database, opened.token, house.now)


def test_a_stranger_is_refused_unless_users_are_made(house: House) -> None:
    with pytest.raises(AuthenticationError):
        enter(house, policy=Policy("corp"))
    assert [one.name for one in users.page(house.database)] == ["ada"]


def test_a_user_who_is_made_may_do_nothing_and_is_the_same_next_time(house: House) -> None:
    first = enter(house)
    assert (first.name, first.rights) == ("grace", Rights())
    assert enter(house, replace(GRACE, name="other", email="other@example.org")).user_id == first.user_id
    assert not users.get(house.database, "grace").has_password


def test_a_verified_address_links_to_its_user_without_making_one(house: House) -> None:
    bob = users.create(house.database, EVERYTHING, NewUser("bob", email="Grace@Example.org"))
    assert enter(house, policy=Policy("corp")).user_id == bob.user_id


@pytest.mark.parametrize("verified", [False, True])
def test_nobody_comes_into_an_account_by_an_unverified_address_or_by_a_name(house: House, verified: bool) -> None:
    users.create(house.database, EVERYTHING, NewUser("bob", email="bob@example.org"))
    pretended = Claims(
        "https://id.example.org", "evil", "ada", None if verified else "bob@example.org", email_verified=verified
    )
    assert enter(house, pretended).name == "ada-2"
    assert enter(house, replace(pretended, subject="evil2", name="BOB")).name == "bob-2"
    assert users.get(house.database, "bob").email == "bob@example.org"


def test_the_subject_of_another_issuer_is_somebody_else(house: House) -> None:
    assert enter(house).user_id != enter(house, replace(GRACE, issuer="https://other.example", email=None)).user_id


def test_a_link_does_not_go_around_a_second_factor(house: House) -> None:
    bob = users.create(house.database, EVERYTHING, NewUser("bob", email="grace@example.org"))
    with house.database.session() as session:
        session.connection().exec_driver_sql("UPDATE users SET totp_active = true WHERE name = 'bob'")
    with pytest.raises(AuthenticationError):
        enter(house, policy=Policy("corp"))
    made = enter(house)
    assert made.user_id != bob.user_id
    assert users.get(house.database, made.name).email is None  # it belongs to bob


def test_who_is_disabled_here_stays_outside(house: House) -> None:
    enter(house)
    users.set_enabled(house.database, EVERYTHING, "grace", enabled=False)
    with pytest.raises(AuthenticationError):
        enter(house)


def test_membership_in_mapped_groups_follows_the_provider_and_others_are_left_alone(house: House) -> None:
    house.group("readers", Permission.BACKUPS_READ)
    house.group("runners", Permission.JOBS_EXECUTE)
    policy = Policy("corp", provision=True, default_group="runners", groups={"staff": "readers", "interns": "readers"})
    assert enter(house, replace(GRACE, groups=frozenset({"staff", "x"})), policy).rights.permissions == {
        Permission.BACKUPS_READ,
        Permission.JOBS_EXECUTE,
    }
    assert enter(house, GRACE, policy).rights.permissions == {Permission.JOBS_EXECUTE}
    assert enter(house, replace(GRACE, groups=frozenset({"interns"})), policy).rights.permissions != set()


@pytest.mark.parametrize(
    "policy",
    [
        Policy("corp", provision=True, default_group="administrators"),
        Policy("corp", provision=True, groups={"x": "Administrators"}),
    ],
)
def test_a_provider_makes_no_administrators(house: House, policy: Policy) -> None:
    with pytest.raises(ConfigurationError, match="administrators"):
        enter(house, replace(GRACE, groups=frozenset({"x"})), policy)
    assert len(users.page(house.database)) == 1


@pytest.mark.parametrize(
    ("name", "made"), [("", "user"), ("Grace Hopper", "gracehopper"), ("--x", "x"), ("ö", "user"), ("a" * 99, "a" * 56)]
)
def test_whatever_name_a_provider_gives_becomes_one_of_ours(house: House, name: str, made: str) -> None:
    assert enter(house, replace(GRACE, name=name)).name == made


def test_a_provider_that_is_called_otherwise_knows_the_same_people(house: House) -> None:
    assert enter(house).user_id == enter(house, policy=Policy("renamed")).user_id


def test_a_long_issuer_is_kept_whole(any_house: House) -> None:
    long = replace(GRACE, issuer="https://id.example.org/" + "x" * 200, subject="s" * 255)
    policy = Policy("p" * 63, provision=True)
    assert enter(any_house, long, policy).user_id == enter(any_house, replace(long), policy).user_id


def test_a_session_ends_with_the_way_in_that_it_began_by(house: House) -> None:
    opened = single_sign_on.log_in(house.database, GRACE, OPEN, HOME, house.now)
    assert sessions.end(house.database, opened.token) == "sso:corp"
    assert sessions.end(house.database, opened.token) is None
    assert sessions.end(house.database, house.log_in("ada").token) == "password"


@pytest.mark.parametrize("name", ["nowhere", "Administrators"])
def test_only_groups_that_a_provider_may_give_can_be_named(house: House, name: str) -> None:
    house.group("readers", Permission.BACKUPS_READ)
    single_sign_on.require_groups(house.database, ["readers", "Readers"])
    with pytest.raises(ConfigurationError):
        single_sign_on.require_groups(house.database, ["readers", name])
