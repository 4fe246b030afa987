"""Who proves who they are gets a session; nobody else learns anything, and guessing is slow."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from core.errors import AuthenticationError, ConfigurationError, TooManyAttempts
from core.rights import EVERYTHING
from db import people
from db.audit import Audit, Wanted
from services.accounts import lockout, login, passwords, sessions, users
from services.accounts.sessions import Client, Limits
from tests.services.accounts.conftest import HOME, PASSWORD, House

WRONG = SecretStr("wrong horse battery staple")
OTHER = SecretStr("another long password")


def test_name_and_password_open_a_session_that_knows_its_user(any_house: House) -> None:
    visitor = sessions.visitor(any_house.database, any_house.log_in("  ADA ").token, any_house.now)
    assert (visitor.name, visitor.rights) == ("ada", EVERYTHING)


@pytest.mark.parametrize("name", ["nobody", "ada", "gone", "guest", "nul\0", "\ud800", "", "x" * 10_000])
def test_all_that_is_wrong_takes_the_same_work_and_the_same_words(
    any_house: House, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_house.user("gone")
    users.set_enabled(any_house.database, EVERYTHING, "gone", enabled=False)
    users.create(any_house.database, EVERYTHING, users.NewUser("guest"))  # without a password
    compared: list[str] = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            compared.append(str(hash).rpartition("$")[0].rpartition("$")[0])
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_HASHER", Watched(time_cost=1, memory_cost=8, parallelism=1))
    password = PASSWORD if name in ("gone", "guest") else WRONG
    with pytest.raises(AuthenticationError) as refused:
        any_house.log_in(name, password)
    assert (refused.value.message, type(refused.value)) == ("name or password is wrong", AuthenticationError)
    assert compared == ["$argon2id$v=19$m=8,t=1,p=1"]


def test_what_is_typed_as_a_name_is_not_written_down_unless_it_is_one(house: House) -> None:
    for name in ("hunter2-typed-as-a-name", "ada"):
        with pytest.raises(AuthenticationError):
            house.log_in(name, WRONG)
    entries = Audit(house.database).entries(Wanted(action="login"), limit=9)
    assert [(one.who, one.result, one.origin) for one in entries] == [
        ("ada", "refused", HOME.address),
        ("(unknown)", "refused", HOME.address),
    ]


def test_a_hash_with_yesterdays_parameters_is_made_anew(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", stronger)
    house.log_in("ada")
    with house.database.session() as session:
        ada = people.user_named(session, "ada")
        assert ada
        assert not stronger.check_needs_rehash(ada.password_hash or "")
    house.log_in("ada")


@pytest.mark.parametrize("password", ["tr0ub4dor", "x" * 2000])
def test_a_password_that_is_too_short_or_absurd_is_refused_without_repeating_it(house: House, password: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        users.set_password(house.database, EVERYTHING, "ada", SecretStr(password))
    assert password not in f"{refused.value} {refused.value.hint}"


def test_one_password_may_be_typed_on_several_keyboards(house: House) -> None:
    users.set_password(house.database, EVERYTHING, "ada", SecretStr("pa\u0308ssword of umlauts"))
    house.log_in("ada", SecretStr("p\u00e4ssword of umlauts"))


def test_only_a_few_passwords_are_hashed_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: Callable[..., list[object]]
) -> None:
    lock, running, most = threading.Lock(), 0, 0

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            nonlocal running, most
            with lock:
                running, most = running + 1, max(most, running + 1)
            try:
                return super().verify(hash, password)
            finally:
                with lock:
                    running -= 1

    monkeypatch.setattr(passwords, "_HASHER", Watched(time_cost=4, memory_cost=8192, parallelism=1))
    passwords._nobodys()
    assert at_once(*[lambda: passwords.is_right(None, WRONG)] * 16) == [False] * 16
    assert 1 <= most <= 4


# --- guessing ---


def failing(house: House, name: str = "ada", client: Client = HOME) -> float:
    """Fail once, when it is allowed again; gives how many seconds that took."""
    waited = 0.0
    while True:
        try:
            house.log_in(name, WRONG, client=client)
        except TooManyAttempts as early:
            waited += early.retry_after
            house.later(seconds=early.retry_after)
        except AuthenticationError:
            return waited


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_waits_grow_and_never_beyond_a_quarter_of_an_hour(house: House, name: str) -> None:
    waits = [failing(house, name) for _ in range(19)]
    assert waits == [0] * 5 + [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]
    house.later(seconds=900)
    if name == "ada":
        house.log_in("ada")


def test_an_address_that_tries_many_names_has_to_wait_too(house: House) -> None:
    waits = [failing(house, f"name{number}") for number in range(24)]
    assert waits == [0] * 20 + [1, 2, 4, 8]
    house.log_in("ada", client=Client("198.51.100.1"))


def test_who_has_an_account_cannot_wash_their_address_clean(house: House) -> None:
    house.user("mallory")
    for number in range(20):
        failing(house, f"name{number}")
        if number % 4 == 0:
            house.log_in("mallory")
    with pytest.raises(TooManyAttempts):
        house.log_in("name20", WRONG)


def test_a_success_forgets_what_failed_before(house: House) -> None:
    for _ in range(8):
        failing(house)
    house.later(minutes=1)
    house.log_in("ada")
    assert failing(house) == 0


def test_waiting_survives_a_restart_and_trying_too_early_makes_it_no_longer(house: House) -> None:
    for _ in range(9):
        failing(house)
    for _ in range(50):
        with pytest.raises(TooManyAttempts) as early:
            house.log_in("ada")
    assert early.value.retry_after == 16
    house.later(seconds=16)
    house.log_in("ada")


def test_many_guesses_at_once_are_many(any_house: House, at_once: Callable[..., list[object]]) -> None:
    results = at_once(*[lambda: any_house.log_in("ada", WRONG) for _ in range(12)])
    assert sum(type(result) is AuthenticationError for result in results) == 5
    assert sum(type(result) is TooManyAttempts for result in results) == 7


def test_old_failures_are_forgotten_and_removed(house: House) -> None:
    for _ in range(8):
        failing(house)
    house.later(hours=25)
    assert failing(house) == 0


def test_no_name_lies_in_the_counters(house: House) -> None:
    assert "ada" not in "".join(one.subject for one in lockout.counters("ada", "ada"))


# --- sessions ---


def is_open(house: House, token: str, limits: Limits = sessions.DEFAULTS) -> bool:
    try:
        return sessions.visitor(house.database, token, house.now, limits).name == "ada"
    except AuthenticationError:
        return False


def test_a_session_ends_without_use_and_lives_on_with_it(house: House) -> None:
    token = house.log_in("ada").token
    for _ in range(5):
        house.later(minutes=59)
        assert is_open(house, token)
        sessions.used(house.database, token, house.now)
    house.later(minutes=60)
    assert not is_open(house, token)


def test_a_page_that_brings_itself_up_to_date_keeps_no_session_alive(house: House) -> None:
    token = house.log_in("ada").token
    for _ in range(11):
        house.later(minutes=5)
        assert is_open(house, token)
    house.later(minutes=5)
    assert not is_open(house, token)


def test_a_session_that_has_ended_is_not_brought_back_by_use(any_house: House) -> None:
    token = any_house.log_in("ada").token
    any_house.later(minutes=61)
    sessions.used(any_house.database, token, any_house.now)
    assert not is_open(any_house, token)


def test_a_session_has_an_absolute_end_however_much_it_is_used(house: House) -> None:
    token, hours = house.log_in("ada").token, 0.0
    while is_open(house, token):
        house.later(minutes=30)
        sessions.used(house.database, token, house.now)
        hours += 0.5
    assert hours == 12


@pytest.mark.parametrize("how", ["password", "disable", "delete", "reset", "revoke", "log out"])
def test_what_ends_sessions(any_house: House, how: str) -> None:
    any_house.user("bob", "Administrators")
    opened, at = any_house.log_in("ada"), any_house.database
    {
        "password": lambda: users.set_password(at, EVERYTHING, "ada", OTHER),
        "disable": lambda: users.set_enabled(at, EVERYTHING, "ada", enabled=False),
        "delete": lambda: users.delete(at, EVERYTHING, "ada"),
        "reset": lambda: users.reset_second_factor(at, EVERYTHING, "ada"),
        "revoke": lambda: users.end_sessions(at, EVERYTHING, "ada", opened.session_id),
        "log out": lambda: sessions.end(at, opened.token),
    }[how]()
    assert not is_open(any_house, opened.token)


def test_who_is_enabled_again_has_to_log_in_again(house: House) -> None:
    house.user("bob", "Administrators")
    token = house.log_in("ada").token
    for enabled in (False, True):
        users.set_enabled(house.database, EVERYTHING, "ada", enabled=enabled)
    assert not is_open(house, token)
    assert is_open(house, house.log_in("ada").token)


def test_changing_ones_password_takes_the_old_one_and_ends_all_other_sessions(house: House) -> None:
    here, elsewhere = house.log_in("ada"), house.log_in("ada")
    with pytest.raises(AuthenticationError):
        login.require_password(house.database, "ada", WRONG, HOME, house.now)
    login.require_password(house.database, "ada", PASSWORD, HOME, house.now)
    user_id = users.get(house.database, "ada").user_id
    users.change_own_password(house.database, user_id, OTHER, session_id=here.session_id)
    assert (is_open(house, here.token), is_open(house, elsewhere.token)) == (True, False)


def test_an_open_browser_is_no_place_to_guess_the_password(house: House) -> None:
    for _ in range(5):
        with pytest.raises(AuthenticationError, match="wrong"):
            login.require_password(house.database, "ada", WRONG, HOME, house.now)
    with pytest.raises(TooManyAttempts):
        login.require_password(house.database, "ada", PASSWORD, HOME, house.now)


def test_each_login_is_a_session_of_its_own(house: House) -> None:
    first, second = house.log_in("ada"), house.log_in("ada")
    assert first.token != second.token
    sessions.end(house.database, first.token)
    assert is_open(house, second.token)


def test_a_login_that_meets_a_new_password_does_not_survive_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = passwords.is_right

    def meanwhile(kept: str | None, password: SecretStr) -> bool:
        right = compared(kept, password)
        users.set_password(house.database, EVERYTHING, "ada", OTHER)
        return right

    monkeypatch.setattr(passwords, "is_right", meanwhile)
    with pytest.raises(AuthenticationError):
        house.log_in("ada")


def test_sessions_that_have_ended_are_removed(any_house: House) -> None:
    for _ in range(3):
        any_house.log_in("ada")
        any_house.later(hours=13)
    token = any_house.log_in("ada").token
    with any_house.database.session() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM sessions").scalar() == 1
    assert is_open(any_house, token)


def test_rights_are_those_of_this_moment(house: House) -> None:
    house.user("bob", "Administrators")
    token = house.log_in("ada").token
    from services.accounts import groups

    groups.remove(house.database, EVERYTHING, "Administrators", "ada")
    assert sessions.visitor(house.database, token, house.now).rights.permissions == frozenset()


def test_nothing_in_the_database_opens_anything(any_house: House, tmp_path: Path) -> None:
    opened = any_house.log_in("ada")
    if any_house.database.engine.dialect.name == "sqlite":
        stored = "\n".join(sqlite3.connect(tmp_path / "home" / "catalog.db").iterdump())
    else:
        with any_house.database.session() as session:
            rows = session.connection().exec_driver_sql("SELECT * FROM sessions, users").all()
        stored = str(rows)
    assert "argon2id" in stored
    assert opened.session_id in stored
    assert opened.token not in stored
    assert PASSWORD.get_secret_value() not in stored
    assert opened.token not in repr(opened)


def test_a_session_shows_where_it_comes_from(house: House) -> None:
    house.log_in("ada", client=Client("2001:db8::1", "x" * 5000))
    house.later(minutes=1)
    house.log_in("ada")
    newest, oldest = users.sessions_of(house.database, "ada", house.now)
    assert (newest.address, oldest.address, len(oldest.user_agent)) == (HOME.address, "2001:db8::1", 200)
    assert oldest.ends_at == oldest.created_at + timedelta(hours=12)
