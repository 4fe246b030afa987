"""``dbackup download``: a file of a backup, streamed into a file or to standard output, as stored or decrypted.

Bytes are proven only when the last of them has come. A file therefore gets its name at the end; what goes to
standard output is cut short by an exit code other than 0.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Annotated

import typer

from cli import addresses, words
from cli.command import command
from cli.options import At, Reference
from cli.output import Output, WrongUsage
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from core.manifest import Manifest
    from core.streams import Chunk
    from services.takeaway import Takeaway

app = typer.Typer()
STDOUT = "-"


@command(app)
def download(
    out: Output,
    *,
    backup: Reference,
    at: At,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Which of its files, or backup.meta.json; needless if there is one only.",
            show_default=False,
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--decrypted", help="What the dump tool wrote: decrypted and decompressed.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option("--out", metavar="PATH", help="A new file or a folder; - is standard output.", show_default="-"),
    ] = None,
) -> None:
    """Take a file of a backup away, as it is stored or decrypted."""  # fmt: skip
    from actions import backups, downloads
    from actions.door import LOCAL_ADMINISTRATOR
    from services.takeaway import Form

    path = _path(out, to)
    where = addresses.storage(at)
    with out.waiting("looking"):
        manifest = backups.show(LOCAL_ADMINISTRATOR, backup, where).manifest
        form = Form.PLAIN if plain else Form.STORED
        choice = downloads.Choice(manifest.backup_id, where, file or _only_file(manifest), form)
        found = downloads.download(LOCAL_ADMINISTRATOR, choice)
    if path is None:
        _write(found.chunks, sys.stdout.buffer)
        return
    if path.is_dir():
        path /= found.name
    with out.waiting("downloading"):
        size = _kept(found, path)
    from cli import render

    out.answer(
        {"file": str(path), "size": size}, render.done(f"{path} holds {words.size(size)}, proven to be the backup's")
    )


def _path(out: Output, to: str | None) -> Path | None:
    """Where to, or None for standard output. Raises WrongUsage for a terminal, which bytes would upset."""
    if to not in (None, STDOUT):
        return Path(str(to))
    if out.as_json:
        raise WrongUsage("standard output gets either the file or JSON", hint="name a file with --out PATH")
    if sys.stdout.isatty():
        raise WrongUsage(
            "the bytes of a backup are nothing for a terminal", hint="name a file with --out PATH, or pipe it"
        )
    return None


def _only_file(manifest: Manifest) -> str:
    """The one file of a backup. Raises WrongUsage that names them when there are several."""
    names = [file.name for file in manifest.files]
    if len(names) == 1:
        return names[0]
    raise WrongUsage(
        f"the backup has {words.count(len(names), 'file')}", hint=f"choose one: --file {', --file '.join(names)}"
    )


def _write(chunks: Iterable[Chunk], to: IO[bytes]) -> int:
    size = 0
    for chunk in chunks:
        size += to.write(chunk)
    to.flush()
    return size


def _kept(found: Takeaway, path: Path) -> int:
    """Write a new file, readable to its owner alone, that is whole or not there. Raises ConfigurationError."""
    with _translated(path), NamedTemporaryFile(dir=path.parent, prefix=".dbackup-") as file:
        size = _write(found.chunks, file)
        os.fsync(file.fileno())
        os.link(file.name, path)  # unlike a rename, it never takes the place of what is there
    return size


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already", hint="name another file; nothing is overwritten") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}", hint="see to its folder, or pipe it away: --out -"
        ) from None
