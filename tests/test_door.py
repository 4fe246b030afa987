"""Every action asks for its permission before anything else happens."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

import actions
from actions.door import LOCAL_ADMINISTRATOR, Identity
from core.errors import PermissionError
from core.permissions import Permission


def every_action() -> list[Callable[..., Any]]:
    modules = [import_module(f"actions.{module.name}") for module in pkgutil.iter_modules(actions.__path__)]
    functions = [
        function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_") and module.__name__ != "actions.door"
    ]
    assert len(functions) > 15
    return functions


@pytest.mark.parametrize("function", every_action(), ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_somebody_without_permissions_may_do_nothing(function: Callable[..., Any]) -> None:
    with pytest.raises(PermissionError, match="nobody may not do this") as caught:
        function(Identity("nobody"))
    assert caught.value.hint


def test_the_local_administrator_may_do_everything() -> None:
    assert LOCAL_ADMINISTRATOR.permissions == frozenset(Permission)
