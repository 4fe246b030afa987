"""The way in and out, for whoever is not known yet: the only functions here without an :class:`Identity`.

They write into the audit themselves, and give identities, which every other action asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, cast

from pydantic import SecretStr

from actions.door import Identity
from actions.vouching import policy_of
from blocks.encryption_key import encryption_keys
from core.errors import AuthenticationError, DBackupError
from core.jobs import SAVED_NAME
from core.log import logger
from db.audit import Entry
from services.accounts import invitation, journeys, lockout, sessions, single_sign_on, tokens
from services.accounts.journeys import Journey
from services.accounts.login import Credentials, Entrance
from services.accounts.sessions import Client, Opened, Visitor
from services.accounts.users import User
from services.records import audit, database

if TYPE_CHECKING:
    from blocks.providers import ProviderBlock

log = logger(service="login")


def log_in(name: str, password: SecretStr, client: Client, code: SecretStr | None = None) -> Opened:
    """Begin a session; its token is for the browser alone.

    Raises TooManyAttempts with the seconds to wait, SecondFactorNeeded when all that is missing is the code, and
    AuthenticationError, in the same words, for everything else that is wrong.
    """
    entrance = Entrance(database(), encryption_keys())
    return entrance.log_in(Credentials(name, password, code), client, datetime.now(UTC))


def identify(token: str, address: str) -> Identity:
    """Who has this session, with what they may do at this moment. Raises AuthenticationError when it has ended.

    It may be asked at any time and does not count as use.
    """
    return _identity(sessions.visitor(database(), token, datetime.now(UTC)), address)


def used(token: str) -> None:
    """Note that a person, not a page by itself, has used this session: what is not used for a while ends."""
    if token:
        sessions.used(database(), token, datetime.now(UTC))


def identify_token(secret: str, address: str) -> Identity:
    """Who has this API token, and what it may do at this moment.

    Raises AuthenticationError for a wrong one, TooManyAttempts when too many of those came from the address.
    """
    now = datetime.now(UTC)
    try:
        return _identity(tokens.visitor(database(), secret, now), address)
    except AuthenticationError as error:
        lockout.wrong_token(database(), address, now)
        audit().record(Entry(now, "(unknown)", "token", "", address, "refused", error.message))
        raise


def log_out(token: str) -> str | None:
    """End a session; gives the name of the identity provider that it began by, if any.

    One that has ended already is no error.
    """
    method = sessions.end(database(), token) or ""
    return method.removeprefix(single_sign_on.METHOD) if method.startswith(single_sign_on.METHOD) else None


@dataclass(frozen=True)
class Offer:
    """An identity provider that the login page offers."""

    name: str
    label: str


def offers() -> list[Offer]:
    """The identity providers there are. Raises ConnectionError."""
    from blocks.saved import Kind, everything

    blocks = cast("dict[str, ProviderBlock]", everything(Kind.PROVIDER))
    return [Offer(name, block.caption or name) for name, block in blocks.items()]


@dataclass(frozen=True)
class Begun:
    """Where the browser goes, and the ticket that it brings back: for it alone, and for ten minutes."""

    url: str
    ticket: str = field(repr=False)


def begin_single_sign_on(name: str, callback: str, after: str) -> Begun:
    """Begin a login that comes back to ``callback``, and then goes to ``after``.

    Raises AuthenticationError when there is no such provider, ConnectionError and AdapterError.
    """
    departure = _provider(name).open().begin(callback)
    journey = Journey(name, departure, after, datetime.now(UTC) + journeys.LIFETIME)
    return Begun(departure.url, journeys.sealed(encryption_keys(), journey))


def finish_single_sign_on(name: str, ticket: str, answer: Mapping[str, str], client: Client) -> tuple[Opened, str]:
    """Begin a session for whoever came back with this answer; gives also where they wanted to go.

    Raises AuthenticationError for whatever is not proven and for somebody who may not log in here, TooManyAttempts when
    too much of that came from the address, ConnectionError and AdapterError. Whoever brings no ticket at all has begun
    nothing here, so that does not count: any other site could make a browser do it.
    """
    now = datetime.now(UTC)
    if not ticket:
        raise journeys.over()
    lockout.from_provider(database(), client.address, now)
    try:
        journey = journeys.opened(encryption_keys(), ticket, name, now)
        block = _provider(name)
        claims = block.open().finish(journey.departure, answer)
    except AuthenticationError as error:
        known = name if SAVED_NAME.fullmatch(name) else single_sign_on.UNKNOWN
        single_sign_on.refused(database(), known, client, now, error.message)
        raise
    except DBackupError:
        lockout.vouched_for(database(), client.address, now)
        raise
    opened = single_sign_on.log_in(database(), claims, policy_of(name, block), client, now)
    lockout.vouched_for(database(), client.address, now)
    return opened, journey.after


def provider_logout(name: str, after: str) -> str | None:
    """Where somebody logs out at a provider, too, to come back to ``after``; None where it has no such place.

    Raises AuthenticationError when there is no such provider any longer, ConnectionError and AdapterError.
    """
    return _provider(name).open().logout_url(after)


def _provider(name: str) -> ProviderBlock:
    """A saved provider. Who is not known yet is not told why there is none."""
    from blocks.saved import load_provider

    try:
        return load_provider(name)
    except DBackupError as error:
        log.warning("an identity provider could not be loaded", provider=name, reason=error.message)
        raise AuthenticationError(
            "this way to log in is not there", hint="choose another one at the login page, or try again later"
        ) from None


def needs_administrator() -> bool:
    """Whether there is nobody yet who may log in as an administrator."""
    return invitation.is_needed(database())


def accept_invitation(token: str, name: str, password: SecretStr, client: Client) -> User:
    """Make the first administrator. Raises AuthenticationError when the link opens nothing (any longer)."""
    now = datetime.now(UTC)
    record = partial(Entry, now, "(invited)", "accept_invitation", origin=client.address)
    try:
        made = invitation.accept(database(), token, name, password, now)
    except AuthenticationError as error:
        audit().record(record(target="", result="refused", reason=error.message))
        raise
    audit().record(record(target=made.name, result="done"))
    return made


def _identity(visitor: Visitor, address: str) -> Identity:
    return Identity(
        visitor.name,
        visitor.rights.permissions,
        visitor.rights.limits,
        visitor.rights.administrator,
        origin=address,
        user_id=visitor.user_id,
        session_id=visitor.session_id,
        token_id=visitor.token_id,
    )
