"""The guard of every action: permission first, and an audit line however it ends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

from core.errors import PermissionError
from core.log import logger
from core.permissions import Permission

P = ParamSpec("P")
R = TypeVar("R")
log = logger(service="audit")


@dataclass(frozen=True)
class Identity:
    """Who asks, and what they may do."""

    name: str
    permissions: frozenset[Permission] = field(default_factory=frozenset)


LOCAL_ADMINISTRATOR = Identity("local administrator", frozenset(Permission))
"""Whoever can run the command line with this home's key can do everything anyway."""


def action(
    permission: Permission,
) -> Callable[[Callable[Concatenate[Identity, P], R]], Callable[Concatenate[Identity, P], R]]:
    """Guard an action. Raises PermissionError before anything else happens."""

    def decorate(function: Callable[Concatenate[Identity, P], R]) -> Callable[Concatenate[Identity, P], R]:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"

        @functools.wraps(function)
        def call(who: Identity, /, *args: P.args, **kwargs: P.kwargs) -> R:
            audit = log.bind(who=who.name, action=name)
            if permission not in who.permissions:
                audit.warning("refused", permission=permission.value)
                raise PermissionError(
                    f"{who.name} may not do this: it takes the permission {permission.value}",
                    hint="ask an administrator for it",
                )
            try:
                result = function(who, *args, **kwargs)
            except BaseException as error:
                audit.info("failed", permission=permission.value, reason=str(error) or type(error).__name__)
                raise
            audit.info("done", permission=permission.value)
            return result

        return call

    return decorate
