"""What a login needs of an identity provider: who a person is, said by somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class Departure:
    """A login that goes to a provider: where the browser is sent, and what its return is compared with."""

    url: str
    callback: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True)
class Claims:
    """What a provider says of somebody, after its answer was verified. Together, issuer and subject are one person."""

    issuer: str
    subject: str
    name: str
    email: str | None = None
    email_verified: bool = False
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProviderInfo:
    """What a provider answers when it is tried; ``client_accepted`` is None where it did not tell."""

    issuer: str
    keys: int
    logs_out: bool
    client_accepted: bool | None


class IdentityProvider(Protocol):
    """Somebody who can say who a person is."""

    kind: ClassVar[str]

    def describe(self) -> str:
        """What people call it, without any secret: ``id.example.org``."""

    def check(self) -> ProviderInfo:
        """Ask what it announces, and whether it knows us. Raises ConnectionError or AdapterError."""

    def begin(self, callback: str) -> Departure:
        """Begin a login that is to come back to ``callback``. Raises ConnectionError or AdapterError."""

    def finish(self, departure: Departure, answer: Mapping[str, str]) -> Claims:
        """Who came back with these parameters.

        Raises AuthenticationError for whatever is not proven, ConnectionError and AdapterError.
        """

    def logout_url(self, after: str) -> str | None:
        """Where somebody logs out there, to come back to ``after``; None where it announces no such place.

        Raises ConnectionError or AdapterError.
        """
