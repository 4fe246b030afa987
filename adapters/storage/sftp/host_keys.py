"""Whether a server is the one it is taken for. An unknown or changed host key is always an error, never a question."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import paramiko
from paramiko.hostkeys import InvalidHostKey

from adapters.storage.sftp.config import SFTPConfig
from core.errors import ConfigurationError, ConnectionError

KNOWN_HOSTS = Path(".ssh", "known_hosts")  # below the home of whoever runs this
DEFAULT_PORT = 22


class KnownHost:
    """What is known of a server before it is spoken to. Raises ConfigurationError for an unreadable file."""

    def __init__(self, config: SFTPConfig) -> None:
        self._config = config
        self._file = config.known_hosts or Path.home() / KNOWN_HOSTS
        self._keys = {} if config.fingerprint else self._known()

    def preferred(self, types: Iterable[str]) -> tuple[str, ...]:
        """The key types in the order to ask for: those that are known come first, as the server shows only one."""
        return tuple(sorted(types, key=lambda name: _plain(name) not in self._keys))

    def require(self, shown: paramiko.PKey) -> None:
        """Raise ConnectionError unless this is the server's key; the message has the fingerprint that was seen."""
        if pinned := self._config.fingerprint:
            if shown.fingerprint != pinned:
                raise self._changed(shown, f"the fingerprint that was given is {pinned}")
        elif not self._keys:
            raise self._unknown(shown)
        elif (known := self._keys.get(shown.get_name())) is None or known != shown:
            seen = ", ".join(sorted(f"{key.get_name()} {key.fingerprint}" for key in self._keys.values()))
            raise self._changed(shown, f"{self._file} has {seen}")

    def _known(self) -> dict[str, paramiko.PKey]:
        name = self._config.host if self._config.port == DEFAULT_PORT else f"[{self._config.host}]:{self._config.port}"
        found = self._read().lookup(name)
        return dict(found) if found else {}

    def _read(self) -> paramiko.HostKeys:
        keys = paramiko.HostKeys()
        try:
            keys.load(str(self._file))
        except FileNotFoundError:
            if self._config.known_hosts:
                raise ConfigurationError(f"the file {self._file} does not exist", hint="check known_hosts") from None
        except (OSError, ValueError, InvalidHostKey) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no known_hosts file"
            raise ConfigurationError(f"{self._file} cannot be read: {reason}", hint="check known_hosts") from None
        return keys

    def _unknown(self, shown: paramiko.PKey) -> ConnectionError:
        return ConnectionError(
            f"the host key of {self._config.address} is not known: it shows {_named(shown)}, "
            f"and {self._file} has no key of this server",
            hint=f"compare with what the server's administrator says (there: ssh-keygen -lf /etc/ssh/{_file(shown)}); "
            f"if it is the same, add the option fingerprint={shown.fingerprint}, "
            f"or: ssh-keyscan -p {self._config.port} {self._config.host} >> {self._file}",
            permanent=True,
        )

    def _changed(self, shown: paramiko.PKey, known: str) -> ConnectionError:
        return ConnectionError(
            f"the host key of {self._config.address} is not the one that is known: it shows {_named(shown)}, "
            f"but {known}. Somebody may be in between; nothing was sent",
            hint=f"ask the server's administrator (there: ssh-keygen -lf /etc/ssh/{_file(shown)}); only if the key was "
            "changed on purpose, replace the fingerprint, or the server's lines in known_hosts",
            permanent=True,
        )


def _named(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _file(key: paramiko.PKey) -> str:
    kind = key.get_name().removeprefix("ssh-").partition("-")[0]
    return f"ssh_host_{kind}_key.pub"


def _plain(algorithm: str) -> str:
    """The type of key that an algorithm uses: RSA has several."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2") else algorithm
