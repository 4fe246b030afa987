"""Customers who go on ordering while the shop is backed up: ``python -m cli.demo.customers SHOP``.

A process of its own. It ends when its standard input is closed, so it cannot outlive who started it.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cli.demo.shop import Till, open_shop
from core.errors import AdapterError

_PAUSE = 0.002  # seconds between two orders


@contextmanager
def customers(path: Path) -> Iterator[None]:
    """Within this context a process writes to the shop. At the end it has committed its last order and is gone."""
    command = [sys.executable, "-m", __name__, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:  # leaving closes its input, and waits
        yield
    if process.returncode:
        raise AdapterError("the customers of the sample shop could not order", hint="look at what was printed above")


def main() -> None:
    """Order until standard input is closed."""
    with closing(open_shop(Path(sys.argv[1]))) as shop:
        till = Till(shop)
        while not select.select([sys.stdin], [], [], _PAUSE)[0]:
            till.take()


if __name__ == "__main__":
    main()
