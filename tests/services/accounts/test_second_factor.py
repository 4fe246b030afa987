"""A code is taken once, and so is a recovery code."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyotp
import pytest
from pydantic import SecretStr

from core.errors import AuthenticationError, ConfigurationError, SecondFactorNeeded, TooManyAttempts, WrongKey
from core.rights import EVERYTHING
from core.sealing import EncryptionKey, EncryptionKeys
from services.accounts import second_factor, users
from services.accounts.login import Entrance
from services.accounts.sessions import Opened
from tests.services.accounts.conftest import House


class Phone:
    """Ada's phone, whose clock is the house's."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.user_id = users.get(house.database, "ada").user_id
        enrolment = second_factor.begin(house.database, house.entrance.keys, self.user_id)
        self.secret = enrolment.secret
        self._app = pyotp.parse_uri(enrolment.uri)
        self.recovery = self.confirm()
        house.later(seconds=60)

    def code(self, seconds: float = 0) -> str:
        return self._app.at(int(self._house.now.timestamp() + seconds))  # type: ignore[no-any-return,union-attr]

    def confirm(self) -> tuple[str, ...]:
        house = self._house
        code = SecretStr(self.code())
        return second_factor.confirm(house.database, house.entrance.keys, self.user_id, code, house.now)


def test_a_login_takes_a_code_besides_the_password(house: House) -> None:
    phone = Phone(house)
    with pytest.raises(SecondFactorNeeded):
        house.log_in("ada")
    with pytest.raises(AuthenticationError, match="code"):
        house.log_in("ada", code="000000")
    house.log_in("ada", code=phone.code())


def test_who_does_not_know_the_password_does_not_learn_of_the_second_factor(house: House) -> None:
    phone = Phone(house)
    with pytest.raises(AuthenticationError, match="name or password is wrong"):
        house.log_in("ada", SecretStr("wrong horse battery staple"), code=phone.code())


def test_a_secret_counts_only_after_its_first_code(house: House) -> None:
    user_id = users.get(house.database, "ada").user_id
    second_factor.begin(house.database, house.entrance.keys, user_id)
    house.log_in("ada")
    with pytest.raises(AuthenticationError):
        second_factor.confirm(house.database, house.entrance.keys, user_id, SecretStr("000000"), house.now)
    house.log_in("ada")


def test_one_that_counts_is_not_replaced_by_whoever_finds_an_open_browser(house: House) -> None:
    phone = Phone(house)
    with pytest.raises(ConfigurationError):
        second_factor.begin(house.database, house.entrance.keys, phone.user_id)
    with pytest.raises(ConfigurationError):
        phone.confirm()


def test_a_code_is_taken_once(house: House) -> None:
    phone = Phone(house)
    code = phone.code()
    house.log_in("ada", code=code)
    with pytest.raises(AuthenticationError):
        house.log_in("ada", code=code)


def test_no_older_code_is_taken_after_a_newer_one(house: House) -> None:
    phone = Phone(house)
    house.log_in("ada", code=phone.code())
    with pytest.raises(AuthenticationError):
        house.log_in("ada", code=phone.code(-30))


def test_the_code_that_confirmed_opens_nothing(house: House) -> None:
    user_id = users.get(house.database, "ada").user_id
    secret = second_factor.begin(house.database, house.entrance.keys, user_id).secret
    code = pyotp.TOTP(secret).at(int(house.now.timestamp()))
    second_factor.confirm(house.database, house.entrance.keys, user_id, SecretStr(code), house.now)
    with pytest.raises(AuthenticationError):
        house.log_in("ada", code=code)


@pytest.mark.parametrize(("seconds", "taken"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_clocks_may_be_half_a_minute_wrong(house: House, seconds: float, taken: bool) -> None:
    phone = Phone(house)
    try:
        house.log_in("ada", code=phone.code(seconds))
    except AuthenticationError:
        assert not taken
    else:
        assert taken


def test_of_two_with_one_code_at_once_one_is_let_in(any_house: House, at_once: Callable[..., list[object]]) -> None:
    phone = Phone(any_house)
    code = phone.code()
    results = at_once(*[lambda: any_house.log_in("ada", code=code) for _ in range(2)])
    assert sorted(isinstance(one, Opened) for one in results) == [False, True]


def test_a_recovery_code_is_taken_once_however_it_is_typed(house: House) -> None:
    phone = Phone(house)
    assert len(set(phone.recovery)) == 10
    house.log_in("ada", code=f" {phone.recovery[3].upper().replace('-', ' ')}")
    with pytest.raises(AuthenticationError):
        house.log_in("ada", code=phone.recovery[3])
    house.log_in("ada", code=phone.recovery[4])


def test_guessing_codes_is_slow_and_asking_for_one_costs_nothing(house: House) -> None:
    Phone(house)
    for _ in range(20):
        with pytest.raises(SecondFactorNeeded):
            house.log_in("ada")
    for _ in range(5):
        with pytest.raises(AuthenticationError, match="code"):
            house.log_in("ada", code="000000")
    with pytest.raises(TooManyAttempts):
        house.log_in("ada")


def test_who_waited_for_the_password_need_not_wait_for_the_code(house: House) -> None:
    phone = Phone(house)
    for _ in range(5):
        with pytest.raises(AuthenticationError):
            house.log_in("ada", SecretStr("wrong horse battery staple"))
    house.later(seconds=1)
    with pytest.raises(SecondFactorNeeded):
        house.log_in("ada")
    house.log_in("ada", code=phone.code())


def test_a_reset_takes_recovery_codes_too(house: House) -> None:
    Phone(house)
    users.reset_second_factor(house.database, EVERYTHING, "ada")
    house.log_in("ada")
    assert not users.get(house.database, "ada").second_factor
    with house.database.session() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM recovery_codes").scalar() == 0


def test_secrets_are_sealed_and_codes_hashed(house: House) -> None:
    phone = Phone(house)
    with house.database.session() as session:
        stored = str(session.connection().exec_driver_sql("SELECT * FROM users, recovery_codes").all())
    assert "sealed:v1:" in stored
    assert phone.secret not in stored
    assert not any(code in stored or code.replace("-", "") in stored for code in phone.recovery)


def test_another_encryption_key_seals_them_anew(house: House) -> None:
    phone = Phone(house)
    old, new = house.entrance.keys.current, EncryptionKey.generate()
    assert second_factor.reseal(house.database, EncryptionKeys((new, old))) == 1
    assert second_factor.reseal(house.database, EncryptionKeys((new, old))) == 0
    with pytest.raises(WrongKey):
        second_factor.reseal(house.database, EncryptionKeys((EncryptionKey.generate(),)))
    house.entrance = Entrance(house.database, EncryptionKeys((new,)))
    house.log_in("ada", code=phone.code())


def test_the_app_counts_time_as_everybody_does(house: House) -> None:
    phone = Phone(house)
    assert pyotp.TOTP(phone.secret).at(int(time.time()))  # six digits, thirty seconds, SHA-1: what every app knows
    assert second_factor.STEP == 30
