"""One SSH connection for an adapter, made when it is first needed and again after a cut; a channel per transfer.

A channel is lent to one thread at a time, and kept for the next. When the adapter is forgotten, or the program ends,
the connection and its thread end with it.
"""

from __future__ import annotations

import logging
import shlex
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import paramiko

from adapters.storage.sftp.config import SFTPConfig
from adapters.storage.sftp.credentials import log_in
from adapters.storage.sftp.errors import no_subsystem, reaching, translated
from adapters.storage.sftp.host_keys import KnownHost
from adapters.storage.sftp.protocol import Session

FAST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")  # ciphers that need no second pass for authentication
CHANNEL_WINDOW = 8 << 20  # bytes; more than is ever on its way
HASHED_PER_SECOND = 10 << 20  # bytes; a server slower than this is not waited for
MOST_ANSWERED = 4096  # bytes of a command's answer
LOG = "dbackup.paramiko"

logging.getLogger(LOG).addHandler(logging.NullHandler())  # what matters is raised; its tracebacks are for nobody
logging.getLogger(LOG).propagate = False


class Connection:
    """May be shared by threads. What it raises is ours."""

    def __init__(self, config: SFTPConfig) -> None:
        self._config = config
        self._lock = Lock()
        self._transport: paramiko.Transport | None = None
        self._idle: list[Session] = []
        self.following = Lock()  # held by the one upload whose file the server hashes while it arrives

    @property
    def fingerprint(self) -> str:
        """The host key of the server that answers. Raises ConnectionError."""
        with translated(self._config):
            return self._connected().get_remote_server_key().fingerprint

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend a session; one in which anything was raised is not used again. Raises ConnectionError, StorageError."""
        session = self._borrowed()
        try:
            yield session
        except BaseException:
            session.close()
            raise
        with self._lock:
            self._idle.append(session)

    def sha256(self, path: bytes, size: int, *, beginning: bool = False) -> str | None:
        """What the server's own ``sha256sum`` says of a file, or None where no command may be run there.

        With ``beginning``, of the file's first ``size`` bytes, whatever follows them. Raises ConnectionError.
        """
        feed = f"head -c {size} < %s | sha256sum" if beginning else "sha256sum < %s"
        with translated(self._config):
            try:
                with self.command(feed % shlex.quote(path.decode())) as channel:
                    return self.told_sha256(channel, size)
            except paramiko.SSHException:  # refused; a broken connection shows itself at its next use
                return None

    @contextmanager
    def command(self, line: str) -> Iterator[paramiko.Channel]:
        """The channel of a command that the login shell runs; it is closed behind.

        Raises SSHException where the server runs none, or has no channel left; a server may allow one, which SFTP has.
        """
        channel = self._connected().open_session(timeout=self._config.timeout)
        try:
            channel.settimeout(self._config.timeout)
            channel.exec_command(line.encode())
            yield channel
        finally:
            channel.close()

    def told_sha256(self, channel: paramiko.Channel, size: int) -> str | None:
        """The answer of a command that hashes ``size`` bytes, in hex, or None where it is none.

        It is told that nothing follows. Raises what the channel raises.
        """
        channel.settimeout(self._config.timeout + size / HASHED_PER_SECOND)
        channel.shutdown_write()
        answer = b""
        while not answer.endswith(b"\n") and len(answer) < MOST_ANSWERED and (more := channel.recv(MOST_ANSWERED)):
            answer += more
        words = answer.decode(errors="replace").split()
        return words[0] if words[1:] == ["-"] and len(words[0]) == 64 else None

    def _borrowed(self) -> Session:
        with translated(self._config):
            transport = self._connected()
            try:
                return self._opened(transport)
            except (paramiko.ChannelException, TimeoutError):
                raise
            except (EOFError, OSError, paramiko.SSHException):
                transport.close()  # it broke some time ago, and nobody has noticed until now
                return self._opened(self._connected())

    def _opened(self, transport: paramiko.Transport) -> Session:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        channel = transport.open_session(timeout=self._config.timeout)
        channel.settimeout(self._config.timeout)
        try:
            channel.invoke_subsystem("sftp")
        except paramiko.SSHException:
            channel.close()
            if transport.is_active():
                raise no_subsystem(self._config) from None
            raise
        return Session(channel)

    def _connected(self) -> paramiko.Transport:
        with self._lock:
            if self._transport is None or not self._transport.is_active():
                self._idle.clear()
                self._transport = _connect(self._config)
                weakref.finalize(self, self._transport.close)
            return self._transport


def _connect(config: SFTPConfig) -> paramiko.Transport:
    """Reach the server, know it by its key, and log in. Raises ConnectionError or ConfigurationError."""
    known = KnownHost(config)
    with reaching(config):
        transport = _transport(config)
        try:
            options = transport.get_security_options()
            options.key_types = known.preferred(options.key_types)
            options.ciphers = (*FAST, *(name for name in options.ciphers if name not in FAST))
            transport.start_client(timeout=config.connect_timeout)
            if not transport.initial_kex_done:  # its own timeout is not an error to paramiko
                raise TimeoutError
            known.require(transport.get_remote_server_key())
            log_in(transport, config)
            transport.set_keepalive(config.keepalive)
        except BaseException:
            transport.close()
            raise
    return transport


def _transport(config: SFTPConfig) -> paramiko.Transport:
    connection = socket.create_connection((config.host, config.port), config.connect_timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # paramiko waits for ever for a peer that takes nothing any more; the kernel does not.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, config.timeout * 1000)
    transport = paramiko.Transport(connection, default_window_size=CHANNEL_WINDOW)
    transport.set_log_channel(LOG)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = config.connect_timeout
    return transport
