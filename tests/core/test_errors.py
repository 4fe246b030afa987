from __future__ import annotations

import pickle

import pytest

from core import errors
from core.errors import DBackupError

EVERY_ERROR = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, DBackupError)]


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_an_error_crosses_a_process_boundary_whole(kind: type[DBackupError]) -> None:
    error = kind("it broke", hint="mend it", permanent=False)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), copy.message, copy.hint, copy.permanent) == ("it broke", "it broke", "mend it", False)


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_only_what_passes_by_itself_is_worth_trying_again(kind: type[DBackupError]) -> None:
    passing = errors.ConnectionError | errors.RateLimited | errors.TooManyAttempts
    assert kind("it broke").permanent is not issubclass(kind, passing)


def test_every_kind_of_damage_is_an_integrity_error() -> None:
    named = ("Damaged", "Tampered", "Truncated", "Misplaced", "Trailing", "Checksum", "Unsupported")
    damage = [kind for kind in EVERY_ERROR if kind.__name__.startswith(named)]
    assert len(damage) == 10
    assert all(issubclass(kind, errors.IntegrityError) for kind in damage)
