"""The guard of every action: permission first, and an entry in the audit however it ends.

What only looks is not written down when it succeeds: a page that lives would bury everything else. Whatever changes
or reveals something is, and every refusal. Arguments are named in the audit only as far as they identify what was asked
for: never a URL, never a secret.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from core.errors import BackupNotFound, DBackupError, NotFound, PermissionError
from core.jobs import Address
from core.log import logger
from core.masking import mask
from core.permissions import Permission
from core.rights import Rights

P = ParamSpec("P")
R = TypeVar("R")
_LONGEST = 500  # characters of a target or a reason
log = logger(service="audit")


@dataclass(frozen=True)
class Identity:
    """Who asks, what they may do, on which sources where that is limited, and where they come from."""

    name: str
    permissions: frozenset[Permission] = frozenset()
    limits: Mapping[Permission, frozenset[str]] = field(default_factory=dict, hash=False)
    administrator: bool = False
    origin: str = ""
    user_id: str | None = None
    session_id: str | None = None
    token_id: str | None = None

    @property
    def rights(self) -> Rights:
        """What they may do, to be compared with what somebody else may."""
        return Rights(self.permissions, self.limits, self.administrator)

    def reaches(self, permission: Permission, source: str) -> bool:
        """Whether they have the permission for this source."""
        return self.rights.reaches(permission, source)

    def require(self, permission: Permission, *sources: str) -> None:
        """Raises PermissionError unless they have the permission, for each of these sources."""
        if permission not in self.permissions:
            raise PermissionError(
                f"{self.name} may not do this: it takes the permission {permission.value}",
                hint="ask an administrator for it",
            )
        if not all(self.reaches(permission, source) for source in sources):
            self._refuse_other(permission)

    def is_limited(self, permission: Permission) -> bool:
        """Whether they have the permission for some sources only."""
        return permission in self.limits

    def require_everywhere(self, permission: Permission) -> None:
        """Raises PermissionError unless they have the permission for every source, those that nobody knows included."""
        self.require(permission)
        if self.is_limited(permission):
            self._refuse_other(permission)

    def require_of(self, permission: Permission, source: Callable[[], str]) -> None:
        """As :meth:`require`, where it takes a look to know the source: only whoever is limited waits for that."""
        if self.is_limited(permission):
            with self.concealing(permission):
                found = source()
            self.require(permission, found)

    @contextmanager
    def concealing(self, permission: Permission) -> Iterator[None]:
        """While something is looked up: whoever is limited is not told that it does not exist.

        It is refused to them like what is somebody else's, or they could find out what others have.
        """
        try:
            yield
        except (NotFound, BackupNotFound):
            self.require_everywhere(permission)
            raise

    def _refuse_other(self, permission: Permission) -> NoReturn:
        raise PermissionError(
            f"{self.name} has the permission {permission.value} for some sources only, and not for this",
            hint="ask an administrator for it",
        )


LOCAL_ADMINISTRATOR = Identity("local administrator", frozenset(Permission), administrator=True, origin="command line")
"""Whoever can run the command line with this home's key can do everything anyway."""


def action(
    permission: Permission, *, target: Callable[..., str] | None = None, looks: bool = False
) -> Callable[[Callable[Concatenate[Identity, P], R]], Callable[Concatenate[Identity, P], R]]:
    """Guard an action. Raises PermissionError before anything else happens.

    ``target`` says from the arguments what the audit shall name; without it, that is the first of them. ``looks`` marks
    an action that changes and reveals nothing although its permission could.
    """

    def decorate(function: Callable[Concatenate[Identity, P], R]) -> Callable[Concatenate[Identity, P], R]:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"

        @functools.wraps(function)
        def call(who: Identity, /, *args: P.args, **kwargs: P.kwargs) -> R:
            record = functools.partial(_record, who, permission, name, _named(target or _first, args, kwargs))
            try:
                who.require(permission)
                result = function(who, *args, **kwargs)
            except PermissionError as error:
                record("refused", error.message)
                raise
            except BaseException as error:
                record("failed", str(error) or type(error).__name__)
                raise
            if not looks:
                record("done")
            return result

        return call

    return decorate


def shown(value: object) -> str:
    """What the audit may say of an argument: names and paths, never a URL."""
    if isinstance(value, Address):
        return value.shown
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, tuple | list):
        return ", ".join(filter(None, map(shown, value)))
    return ""


def _named(target: Callable[..., str], args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    """What is asked for. It is asked before the permission, so the arguments may be anything."""
    try:
        return target(*args, **kwargs)
    except (TypeError, AttributeError):
        return ""


def _first(*args: Any, **kwargs: Any) -> str:
    return shown(next(iter((*args, *kwargs.values())), ""))


def _record(who: Identity, permission: Permission, name: str, target: str, result: str, reason: str = "") -> None:
    """Into the log, and into the database. Where that fails, the log says so: nobody is kept from a restore."""
    line = log.bind(who=who.name, action=name)
    (line.warning if result == "refused" else line.info)(result, permission=permission.value, reason=reason)
    if permission.is_reading and result != "refused":
        return
    from db.audit import Entry
    from services.records import audit

    where = who.origin + (f", token {who.token_id}" if who.token_id else "")
    seen = (mask(text)[:_LONGEST] for text in (target, where, result, reason))
    try:
        audit().record(Entry(datetime.now(UTC), who.name, name, *seen))
    except DBackupError as error:
        line.warning("the audit could not be written", reason=error.message)
