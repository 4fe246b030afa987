"""A real OpenSSH server for the tests, with host keys and a user of its own, and folders that are thrown away.

The user is an account of this machine, made for the session and removed with it: sshd knows no others.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.sftp import SFTP, SFTPConfig
from tests.servers import install
from tests.servers.processes import free_port, started

SSHD = Path("/usr/sbin/sshd")
# Several servers on one machine, each for a few tests: nothing of the distribution's own settings is used.
SETTINGS = (
    "ListenAddress 127.0.0.1",
    "UsePAM no",
    "StrictModes no",
    "PidFile none",
    "LogLevel VERBOSE",
    "AuthorizedKeysFile {folder}/authorized_keys",
)
SFTP_INSIDE = "Subsystem sftp internal-sftp"


@dataclass(frozen=True)
class Account:
    """A user of this machine, and the folder that everything of the tests lies in."""

    name: str
    password: str
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def key(self, kind: str = "ed25519", passphrase: str = "") -> Path:
        """A private key that may log in, made when it is first asked for."""
        path = self.folder / f"{kind}{'-locked' if passphrase else ''}"
        if not path.exists():
            make_key(path, kind, passphrase)
            with (self.folder / "authorized_keys").open("a") as keys:
                keys.write(path.with_name(f"{path.name}.pub").read_text())
        return path

    def new_folder(self) -> Path:
        """An empty folder of this user."""
        made = Path(tempfile.mkdtemp(dir=self.home))
        shutil.chown(made, self.name)
        return made


@dataclass(frozen=True)
class Server:
    """A running server."""

    account: Account
    port: int
    host_keys: Path
    log: Path

    def fingerprint(self, kind: str = "ed25519") -> str:
        shown = subprocess.run(
            ["ssh-keygen", "-lf", f"{self.host_keys}/{kind}.pub"], check=True, capture_output=True, text=True
        )
        return shown.stdout.split()[1]

    def known_hosts(self, path: Path, kind: str = "ed25519") -> Path:
        """A known_hosts file with this server's key."""
        name, key, _ = (self.host_keys / f"{kind}.pub").read_text().split()
        path.write_text(f"[127.0.0.1]:{self.port} {name} {key}\n")
        return path

    def config(self, folder: Path, **facts: Any) -> SFTPConfig:
        """How the account reaches a folder, with its password and the right fingerprint unless ``facts`` differ."""
        usual = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.account.name,
            "password": self.account.password,
            "path": str(folder),
            "fingerprint": self.fingerprint(),
        }
        return SFTPConfig.model_validate({name: value for name, value in {**usual, **facts}.items() if value != ""})

    def storage(self, folder: Path, **facts: Any) -> SFTP:
        return SFTP(self.config(folder, **facts))


def make_key(path: Path, kind: str, passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True)


@contextmanager
def running(
    account: Account, *settings: str, host_keys: Sequence[str] = ("ed25519",), port: int = 0
) -> Iterator[Server]:
    """Start a server with new host keys, on this port or a free one; a setting of these goes first, and so wins."""
    if not SSHD.exists():
        pytest.fail(f"no OpenSSH server is installed; {install.INSTALL}")
    Path("/run/sshd").mkdir(exist_ok=True)
    folder, port = Path(tempfile.mkdtemp(dir=account.folder)), port or free_port()
    for kind in host_keys:
        make_key(folder / kind, kind)
    usual = (line.format(folder=account.folder) for line in SETTINGS)
    own = (f"Port {port}", *(f"HostKey {folder / kind}" for kind in host_keys))
    (folder / "sshd_config").write_text("\n".join((*settings, *own, *usual, "")))
    log = folder / "log"
    with started([SSHD, "-D", "-e", "-f", folder / "sshd_config"], lambda: _answers(port), log):
        yield Server(account, port, folder, log)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _run(*command: str, told: str = "") -> None:
    subprocess.run(command, check=True, input=told, text=True, capture_output=True)


@contextmanager
def account(place: str | None = None) -> Iterator[Account]:
    """A user of this machine with a folder in ``place``; both are removed with the context."""
    if os.geteuid():
        pytest.fail("these tests make a user of their own: run them as root")
    made = Account(
        f"dbackup-{secrets.token_hex(4)}", secrets.token_urlsafe(16), Path(tempfile.mkdtemp(dir=place or "/var/tmp"))
    )
    made.folder.chmod(0o755)
    try:
        _run("useradd", "--no-create-home", "--home-dir", str(made.home), "--shell", "/bin/sh", made.name)
        try:
            _run("chpasswd", "--crypt-method", "SHA512", told=f"{made.name}:{made.password}\n")
            made.home.mkdir()
            shutil.chown(made.home, made.name)
            (made.folder / "authorized_keys").touch()
            yield made
        finally:
            _run("userdel", "--force", made.name)
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)


def agent_environment(lines: Sequence[str]) -> dict[str, str]:
    """The variables that ``ssh-agent`` prints."""
    assignments = (line.partition(";")[0].partition("=") for line in lines if "=" in line)
    return {name: value for name, _, value in assignments}


@pytest.fixture(scope="session")
def ssh_account() -> Iterator[Account]:
    """The user that logs in."""
    with account() as made:
        yield made


@pytest.fixture(scope="session")
def openssh(ssh_account: Account) -> Iterator[Server]:
    """A server with SFTP and a shell."""
    with running(ssh_account, SFTP_INSIDE, host_keys=("ed25519", "rsa")) as server:
        yield server
