"""Logging in: with keys (given, or an agent's), then with the password. Nothing of them reaches a message."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import paramiko
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from adapters.storage.sftp.config import SFTPConfig
from core.errors import ConfigurationError, ConnectionError

MOST_AGENT_KEYS = 5  # a server hangs up after six failures, by default
Method = Callable[[paramiko.Transport], Sequence[str]]  # gives what the server still wants, as paramiko does
_KEY_TYPES: dict[type, type[paramiko.RSAKey | paramiko.ECDSAKey | paramiko.Ed25519Key]] = {
    rsa.RSAPrivateKey: paramiko.RSAKey,
    ec.EllipticCurvePrivateKey: paramiko.ECDSAKey,
    ed25519.Ed25519PrivateKey: paramiko.Ed25519Key,
}


def log_in(transport: paramiko.Transport, config: SFTPConfig) -> None:
    """Try every way there is, in turn. Raises ConnectionError when none is taken, ConfigurationError for a bad key."""
    allowed: set[str] = set()
    tried: list[str] = []
    for name, method in _methods(config):
        try:
            still_wanted = method(transport)
        except paramiko.BadAuthenticationType as refusal:
            allowed |= set(refusal.allowed_types)
        except paramiko.AuthenticationException:
            tried.append(name)
        else:
            if not still_wanted:
                return
            allowed |= set(still_wanted)
        if not transport.is_active():  # it hung up after too many tries
            break
    raise _refused(config, tried, allowed)


def _methods(config: SFTPConfig) -> Iterator[tuple[str, Method]]:
    if (key := private_key(config)) is not None:
        yield "the private key", _with_key(config.login, key)
    if config.agent:
        with closing(paramiko.Agent()) as agent:
            for one in agent.get_keys()[:MOST_AGENT_KEYS]:
                yield "a key of the agent", _with_key(config.login, one)
    if config.password is not None:
        password = config.password.get_secret_value()
        yield "the password", lambda transport: transport.auth_password(config.login, password, fallback=False)
        yield "the password", _asked_for(config.login, password)


def _with_key(user: str, key: paramiko.PKey) -> Method:
    return lambda transport: transport.auth_publickey(user, key)


def _asked_for(user: str, password: str) -> Method:
    """Answer with the password what is asked for without showing it on the screen, and nothing else."""

    def answers(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        return ["" if shown else password for _, shown in prompts]

    return lambda transport: transport.auth_interactive(user, answers)


def _refused(config: SFTPConfig, tried: Sequence[str], allowed: set[str]) -> ConnectionError:
    what = " and ".join(dict.fromkeys(tried)) or "a login without password and key"
    takes = f"; it takes: {', '.join(sorted(allowed))}" if allowed else ""
    return ConnectionError(
        f"{config.address} refused {what} of '{config.login}'{takes}",
        hint="check user, password and key; give one with password, private_key_file, private_key or agent=true",
        permanent=True,
    )


def private_key(config: SFTPConfig) -> paramiko.PKey | None:
    """The key of the configuration, opened. Raises ConfigurationError; None when there is none."""
    if config.private_key is not None:
        return _opened(config.private_key.get_secret_value().encode(), "private_key", config)
    if config.private_key_file is None:
        return None
    try:
        text = config.private_key_file.expanduser().read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the private key {config.private_key_file} cannot be read: {error.strerror}",
            hint="check private_key_file and who may read it",
        ) from None
    return _opened(text, str(config.private_key_file), config)


def _opened(text: bytes, name: str, config: SFTPConfig) -> paramiko.PKey:
    passphrase = config.passphrase.get_secret_value().encode() if config.passphrase else None
    text = text.strip() + b"\n"
    load = serialization.load_ssh_private_key if b"BEGIN OPENSSH" in text else serialization.load_pem_private_key
    try:
        try:
            key = load(text, passphrase)
        except TypeError:  # a passphrase is missing, or was given for a key without one
            if passphrase is None:
                raise _locked(name) from None
            key = load(text, None)
    except (ValueError, InvalidTag, UnsupportedAlgorithm, TypeError):
        raise _unreadable(name, passphrase) from None
    for kind, ours in _KEY_TYPES.items():
        if isinstance(key, kind):
            plain = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
            return ours.from_private_key(io.StringIO(plain.decode()))
    raise ConfigurationError(f"the private key {name} is of a type that is not taken", hint="use ed25519, ecdsa or rsa")


def _locked(name: str) -> ConfigurationError:
    return ConfigurationError(f"the private key {name} has a passphrase", hint="give it with the option passphrase")


def _unreadable(name: str, passphrase: bytes | None) -> ConfigurationError:
    if passphrase:
        return ConfigurationError(
            f"the passphrase does not open the private key {name}", hint="check passphrase; is the file a private key?"
        )
    return ConfigurationError(
        f"{name} holds no private key that can be read",
        hint="it takes OpenSSH's and PEM's forms of ed25519, ecdsa, rsa",
    )
