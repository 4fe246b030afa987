"""``dbackup sso``: the identity providers that people may log in to the dashboard by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import command
from cli.editing import Editable, add_edit
from cli.options import Name
from cli.output import Output
from cli.passwords import existing_secret

if TYPE_CHECKING:
    from rich.console import RenderableType

sso = typer.Typer(help="Providers that people log in by, saved under a name.", no_args_is_help=True)

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="Its issuer, https://id.example.org/…, or authentik+https://auth.example.org/SLUG.",
        show_default=False,
    ),
]
ClientId = Annotated[str, typer.Option("--client-id", metavar="ID", help="What it calls us.", show_default=False)]
FromStdin = Annotated[
    bool, typer.Option("--secret-stdin", help="Read the client secret from the first line of standard input.")
]
Public = Annotated[bool, typer.Option("--no-secret", help="It gave us no client secret.")]
Caption = Annotated[str | None, typer.Option("--caption", help="What the button says: Log in with …")]
Provision = Annotated[bool, typer.Option("--provision", help="Make users of those who are not known here.")]
DefaultGroup = Annotated[
    str | None, typer.Option("--default-group", metavar="GROUP", help="The group of users who are made.")
]
Mapping = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="THEIRS=OURS",
        help="Whoever is in a group there is in this group here. Can be repeated.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Settings:
    """What is said of a provider beside its name and address."""

    client_id: ClientId
    secret_stdin: FromStdin = False
    no_secret: Public = False
    caption: Caption = None
    provision: Provision = False
    default_group: DefaultGroup = None
    map: Mapping = None

    def facts(self) -> dict[str, Any]:
        """The same as the configuration calls it. Asks for the secret."""
        facts = {
            "client_id": self.client_id,
            "client_secret": None if self.no_secret else existing_secret(stdin=self.secret_stdin),
            "caption": self.caption,
            "provision": self.provision or None,
            "default_group": self.default_group,
            "mapping": ", ".join(self.map or ()) or None,
        }
        return {name: value for name, value in facts.items() if value is not None}


@command(sso, takes=Settings)
def add(out: Output, settings: Settings, name: Name, url: Url) -> None:
    """Save a provider. Its client secret is asked for."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    wish = saved.NewProvider(url, settings.facts())
    with out.waiting("saving"):
        added = saved.add_provider(LOCAL_ADMINISTRATOR, name, wish)
    told = render.done(f"provider {name} is saved: {added.kind}, {added.description or added.problem}")
    register = [f"/sso/{name}/callback", "/login"]
    advice = "  register there, below the address of the dashboard, for login and logout:"
    out.answer(
        {"added": name, "kind": added.kind, "address": added.description, "register": register},
        told,
        render.note(advice),
        *(render.command(path) for path in register),
        render.note(f"  try it: dbackup sso test {name}"),
    )


@command(sso, "list")
def list_providers(out: Output) -> None:
    """List the saved providers."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli.saved import listed

    with out.waiting("looking"):
        found = saved.providers(LOCAL_ADMINISTRATOR)
    out.answer({"providers": found}, listed(found, "no provider is saved yet; add one: dbackup sso add NAME URL"))


@command(sso)
def test(out: Output, name: Name) -> None:
    """Ask a provider what it announces, and whether it knows us."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR

    with out.waiting("asking"):
        found = saved.test_provider(LOCAL_ADMINISTRATOR, name)
    out.answer(found, *_told(found))


def _told(found: Any) -> list[RenderableType]:
    from cli import render

    says = {True: "it knows our client id and secret", False: "it refuses our client id or its secret"}
    logout = "people are logged out there, too" if found.logs_out else "it has no place to log out at"
    known = says.get(found.client_accepted, "whether it knows our client id it did not say")
    facts = [("keys", str(found.keys)), ("client", known), ("logout", logout)]
    return [render.done(f"{found.issuer} answers"), render.facts(facts)]


@command(sso)
def remove(out: Output, name: Name) -> None:
    """Forget a provider. Users who came by it stay, and so do their sessions."""
    from actions import saved
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    saved.remove_provider(LOCAL_ADMINISTRATOR, name)
    out.answer({"removed": name}, render.done(f"provider {name} is forgotten; users who came by it stay"))


def _editable() -> Editable:
    from actions import forms

    return Editable("provider", "sso", forms.provider_form, forms.change_provider)


add_edit(sso, "provider", _editable)
