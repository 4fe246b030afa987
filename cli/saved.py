"""``dbackup source``, ``dbackup storage`` and ``dbackup notification``: what is saved under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import addresses, words
from cli.command import command
from cli.editing import Editable, add_edit
from cli.options import Name
from cli.output import Output
from cli.passwords import Asked, FromStdin, Password

if TYPE_CHECKING:
    from rich.console import RenderableType

    from actions.saved import Saved

Url = Annotated[str, typer.Argument(metavar="URL", help="A URL, or a path.", show_default=False)]
ChannelUrl = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="A Discord webhook, smtp://…, smtps://… or apprise+SERVICE://…", show_default=False
    ),
]
NameOrUrl = Annotated[str, typer.Argument(metavar="NAME", help="A saved name, a URL, or a path.", show_default=False)]


sources = typer.Typer(help="Databases that can be backed up, saved under a name.", no_args_is_help=True)
storages = typer.Typer(help="Places that backups are stored in, saved under a name.", no_args_is_help=True)
notifications = typer.Typer(help="Channels by which somebody is told, saved under a name.", no_args_is_help=True)


@command(sources, "add")
def add_source(
    out: Output, name: Name, url: Url, password_stdin: FromStdin = False, ask_password: Asked = False
) -> None:
    """Save a source: a server, one of its databases, or an SQLite file."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    address = Password(password_stdin, ask_password).into(addresses.source(url))
    with out.waiting("saving"):
        added = saved.add_source(LOCAL_ADMINISTRATOR, name, address)
    out.answer({"added": name} | _kind(added), render.done(_told("source", added)), _trial("source", name))


@command(storages, "add")
def add_storage(
    out: Output, name: Name, url: Url, password_stdin: FromStdin = False, ask_password: Asked = False
) -> None:
    """Save a storage: a folder, or a place elsewhere."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    address = Password(password_stdin, ask_password).into(addresses.storage(url))
    with out.waiting("saving"):
        added = saved.add_storage(LOCAL_ADMINISTRATOR, name, address)
    out.answer({"added": name} | _kind(added), render.done(_told("storage", added)), _trial("storage", name))


@command(notifications, "add")
def add_channel(
    out: Output, name: Name, url: ChannelUrl, password_stdin: FromStdin = False, ask_password: Asked = False
) -> None:
    """Save a channel: a Discord webhook, a mail server, or a service that Apprise knows."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    address = Password(password_stdin, ask_password).into(addresses.channel(url))
    with out.waiting("saving"):
        added = saved.add_channel(LOCAL_ADMINISTRATOR, name, address)
    out.answer({"added": name} | _kind(added), render.done(_told("channel", added)), _trial("notification", name))


def _kind(added: Saved) -> dict[str, str]:
    return {"kind": added.kind, "address": added.description}


def _told(what: str, added: Saved) -> str:
    """What was understood of a URL, so that a slip shows before the first night."""
    return f"{what} {added.name} is saved: {added.kind}, {added.description or added.problem}"


def _trial(group: str, name: str) -> RenderableType:
    from cli import render

    return render.note(f"  try it: dbackup {group} test {name}")


@command(sources, "list")
def list_sources(out: Output) -> None:
    """List the saved sources."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR

    with out.waiting("looking"):
        found = saved.sources(LOCAL_ADMINISTRATOR)
    out.answer({"sources": found}, listed(found, "no source is saved yet; add one: dbackup source add NAME URL"))


@command(storages, "list")
def list_storages(out: Output) -> None:
    """List the saved storages."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR

    with out.waiting("looking"):
        found = saved.storages(LOCAL_ADMINISTRATOR)
    out.answer({"storages": found}, listed(found, "no storage is saved yet; add one: dbackup storage add NAME URL"))


@command(notifications, "list")
def list_channels(out: Output) -> None:
    """List the saved channels."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR

    with out.waiting("looking"):
        found = saved.channels(LOCAL_ADMINISTRATOR)
    nothing = "no channel is saved yet; add one: dbackup notification add NAME URL"
    out.answer({"notifications": found}, listed(found, nothing))


def listed(found: list[Saved], nothing: str) -> RenderableType:
    """What is saved, as a table, or what to do when nothing is."""
    from rich.text import Text

    from cli import render

    rows = [(one.name, one.kind, one.description or Text(one.problem, "red")) for one in found]
    return render.table(("Name", "Kind", "Address"), rows) if rows else render.note(nothing)


@command(sources, "test")
def test_source(out: Output, name: NameOrUrl, password_stdin: FromStdin = False, ask_password: Asked = False) -> None:
    """Connect to a source and show its databases."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    address = Password(password_stdin, ask_password).into(addresses.source(name))
    with out.waiting("connecting"):
        server, databases = saved.test_source(LOCAL_ADMINISTRATOR, address)
    rows = [
        (
            one.name,
            "?" if one.size is None else words.size(one.size),
            "?" if one.tables is None else f"{one.tables:,}",
        )
        for one in databases
    ]
    answered = render.done(f"{server.engine} {server.version} answers, to be dumped by {server.tool}")
    shown = render.table(("Database", "Size", "Tables"), rows, figures=("Size", "Tables"))
    out.answer({"server": server, "databases": databases}, answered, "", shown)


@command(storages, "test")
def test_storage(out: Output, name: NameOrUrl) -> None:
    """Write, read and delete something on a storage."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("writing and reading"):
        free = saved.test_storage(LOCAL_ADMINISTRATOR, addresses.storage(name))
    room = f", {words.size(free)} free" if free is not None else ""
    out.answer({"storage": name, "free": free}, render.done(f"written, read and deleted{room}"))


@command(notifications, "test")
def test_channel(out: Output, name: NameOrUrl, password_stdin: FromStdin = False, ask_password: Asked = False) -> None:
    """Send a test message."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    address = Password(password_stdin, ask_password).into(addresses.channel(name))
    with out.waiting("sending"):
        channel = saved.test_channel(LOCAL_ADMINISTRATOR, address)
    out.answer({"delivered": True, "channel": channel}, render.done(f"a test message was taken by: {channel}"))


@command(sources, "remove")
def remove_source(out: Output, name: Name) -> None:
    """Forget a source. Its backups stay."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    saved.remove_source(LOCAL_ADMINISTRATOR, name)
    out.answer({"removed": name}, render.done(f"source {name} is forgotten; its backups stay"))


@command(storages, "remove")
def remove_storage(out: Output, name: Name) -> None:
    """Forget a storage. What lies on it stays."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    saved.remove_storage(LOCAL_ADMINISTRATOR, name)
    out.answer({"removed": name}, render.done(f"storage {name} is forgotten; what lies on it stays"))


@command(notifications, "remove")
def remove_channel(out: Output, name: Name) -> None:
    """Forget a channel."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    saved.remove_channel(LOCAL_ADMINISTRATOR, name)
    out.answer({"removed": name}, render.done(f"channel {name} is forgotten"))


def _editable_source() -> Editable:
    from actions import forms

    return Editable("source", "source", forms.source_form, forms.change_source)


add_edit(sources, "source", _editable_source)


def _editable_storage() -> Editable:
    from actions import forms

    return Editable("storage", "storage", forms.storage_form, forms.change_storage)


add_edit(storages, "storage", _editable_storage)


def _editable_channel() -> Editable:
    from actions import forms

    return Editable("channel", "notification", forms.channel_form, forms.change_channel)


add_edit(notifications, "channel", _editable_channel)
