"""Whose certificates are believed: the system's authorities, or only the ones of a file. There is no third way."""

from __future__ import annotations

import ssl

from core.errors import ConfigurationError


def verifying(ca_file: str | None) -> ssl.SSLContext:
    """A TLS context that verifies certificate and name. Raises ConfigurationError for a file that cannot be used."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as failure:  # an SSLError is an OSError
        reason = getattr(failure, "strerror", None) or str(failure)
        raise ConfigurationError(
            f"the authorities in {ca_file} cannot be used: {reason}",
            hint="ca_file is the path of a file with certificates in PEM form",
        ) from None


def mistrusted(failure: BaseException) -> ssl.SSLError | None:
    """The TLS error that is behind a failure, or None."""
    seen: BaseException | None = failure
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    return seen


def reason_of(failure: ssl.SSLError) -> str:
    """What is wrong with the other side's TLS, in a few words."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return failure.verify_message.rstrip(".")
    return (failure.reason or str(failure)).replace("_", " ").lower()
