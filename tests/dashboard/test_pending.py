"""A first step of a login waits for its second one for a while, and no longer."""

from __future__ import annotations

from pydantic import SecretStr

from dashboard.pending import LIFETIME, MOST, Waiting


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_first_step_is_found_by_its_token_alone_until_it_is_dropped() -> None:
    waiting = Waiting()
    token = waiting.add("ada", SecretStr("secret"))
    found = waiting.get(token)
    assert found is not None
    assert (found.name, found.password.get_secret_value()) == ("ada", "secret")
    assert waiting.get("another") is None
    waiting.drop(token)
    assert waiting.get(token) is None


def test_a_first_step_ends_by_itself() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    token = waiting.add("ada", SecretStr("secret"))
    clock.now = LIFETIME - 1
    assert waiting.get(token) is not None
    clock.now = LIFETIME
    assert waiting.get(token) is None


def test_many_first_steps_take_bounded_memory_and_the_oldest_go_first() -> None:
    waiting = Waiting()
    tokens = [waiting.add(str(number), SecretStr("secret")) for number in range(MOST + 3)]
    assert [waiting.get(token) is None for token in tokens[:4]] == [True, True, True, False]


def test_a_password_stands_in_no_text() -> None:
    waiting = Waiting()
    step = waiting.get(waiting.add("ada", SecretStr("hunter2 hunter2")))
    assert "hunter2" not in repr(step)
