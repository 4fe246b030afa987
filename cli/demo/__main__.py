"""``python -m cli.demo``: run the demonstration in the folder ``.demo`` of the current folder.

``DBACKUP_DEMO_SOURCE`` may name a PostgreSQL database; without it, a sample shop is made. Settings of the caller's
own system are left out, and nothing outside the folder is touched.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from cli.command import listen
from cli.exits import exit_code
from cli.output import Output
from core.errors import ConfigurationError

FOLDER = ".demo"
VARIABLE = "DBACKUP_DEMO_SOURCE"
_IDLE = 120  # seconds after which the embedded Prefect server ends: long enough to try what is shown


def main() -> int:
    """Run it, and give the exit code: 0 only when the comparison held."""
    out = Output(as_json=False)
    return exit_code(out, lambda: _demonstrate(out, Path.cwd() / FOLDER))


def _demonstrate(out: Output, place: Path) -> None:
    source = os.environ.get(VARIABLE, "").strip()
    _make_empty(place)
    _settle_in(place)
    listen(out)
    if source:
        from cli.demo import server

        server.show(out, place, source)
    else:
        from cli.demo import sample

        sample.show(out, place)


def _make_empty(place: Path) -> None:
    """Forget an earlier demonstration; its embedded server ends when its home is gone."""
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the folder {place}: {error.strerror}", hint="run this in a folder of yours"
        ) from None


def _settle_in(place: Path) -> None:
    """Leave out the caller's settings, and keep everything in the folder."""
    for name in [name for name in os.environ if name.startswith(("DBACKUP_", "PREFECT_"))]:
        del os.environ[name]
    os.environ |= {
        "DBACKUP_HOME": str(place / "home"),
        "DBACKUP_SERVER_IDLE": str(_IDLE),
        "PREFECT_HOME": str(place / "home" / "prefect"),
    }


if __name__ == "__main__":
    sys.exit(main())
