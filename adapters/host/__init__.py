"""Where the client tools run."""

from adapters.host.local import LocalHost

__all__ = ["LocalHost"]
