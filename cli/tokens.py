"""``dbackup token``: API tokens for scripts elsewhere. Scripts on this machine use the command line, and need none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli import words
from cli.command import command
from cli.groups import permissions
from cli.options import Limit, Name, Permissions
from cli.output import Output

if TYPE_CHECKING:
    from services.accounts.tokens import Token

tokens = typer.Typer(help="API tokens for scripts.", no_args_is_help=True)

Owner = typer.Option("--user", metavar="USER", help="Whose it is: it can never do more than they can.")
Reference = Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, or its beginning.", show_default=False)]


@command(tokens)
def create(
    out: Output,
    name: Name,
    user: Annotated[str, Owner],
    permission: Permissions = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How long it lives.")] = 90,
) -> None:
    """Make a token in the name of a user, and show it once."""
    from actions import tokens as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from services.accounts.tokens import Wish

    wish = Wish(name, permissions(permission or ()), timedelta(days=days))
    made = actions.create_for(LOCAL_ADMINISTRATOR, user, wish)
    until = words.moment(made.token.expires_at)
    told = render.done(f"token {name} of {made.token.owner}, until {until}; it is shown only now:")
    out.answer(_plain(made.token) | {"token": made.secret}, told, render.command(made.secret))


@command(tokens, "list")
def list_tokens(out: Output, user: Annotated[str | None, Owner] = None, limit: Limit = 100) -> None:
    """List the tokens of a user or of all, newest first."""
    from actions import tokens as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    found = actions.page(LOCAL_ADMINISTRATOR, owner=user, limit=limit)
    rows = [(one.prefix, one.name, one.owner, ", ".join(sorted(one.scopes)), _ends(one)) for one in found]
    nothing = render.note("there is no token; make one: dbackup token create NAME --user USER --permission …")
    table = render.table(("Token", "Name", "User", "Permits", "Ends"), rows, whole=("Token",)) if rows else nothing
    out.answer({"tokens": [_plain(one) for one in found]}, table)


@command(tokens)
def revoke(out: Output, token: Reference) -> None:
    """End a token."""
    from actions import tokens as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    ended = actions.revoke_any(LOCAL_ADMINISTRATOR, token)
    out.answer({"revoked": ended.token_id}, render.done(f"token {ended.name} of {ended.owner} opens nothing now"))


def _ends(token: Token) -> str:
    return "has expired" if token.expires_at <= datetime.now(UTC) else words.moment(token.expires_at)


def _plain(token: Token) -> dict[str, object]:
    return vars(token) | {"scopes": sorted(token.scopes)}
