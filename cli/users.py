"""``dbackup user``: who may log in to the dashboard. On this machine nobody needs to: its command line may do all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli import words
from cli.command import command
from cli.options import Limit, UserName, Yes
from cli.output import Output, WrongUsage
from cli.passwords import FromStdin, new_password

if TYPE_CHECKING:
    from rich.console import RenderableType

    from services.accounts.sessions import LoginSession
    from services.accounts.users import User

users = typer.Typer(help="People who may log in to the dashboard.", no_args_is_help=True)


@command(users)
def create(
    out: Output,
    name: UserName,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", help="A group to be in. Can be repeated.", show_default=False),
    ] = None,
    email: Annotated[str | None, typer.Option("--email", metavar="ADDRESS", help="Their address.")] = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="They log in by single sign-on only.")] = False,
    password_stdin: FromStdin = False,
) -> None:
    """Make a user. The first one belongs into the group Administrators."""
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from services.accounts.users import NewUser

    if no_password and password_stdin:
        raise WrongUsage("a user with a password from standard input has one", hint="choose one of the two")
    password = None if no_password else new_password(stdin=password_stdin)
    made = actions.create(LOCAL_ADMINISTRATOR, NewUser(name, password, email, tuple(group or ())))
    told = [] if made.groups else [render.note("  in no group they may do nothing: dbackup group add GROUP USER")]
    out.answer(made, render.done(f"user {made.name} is made"), *told)


@command(users)
def invite(out: Output) -> None:
    """Make a link for the first administrator, which works once and for an hour."""
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    path = f"/setup?link={actions.invite_administrator(LOCAL_ADMINISTRATOR)}"
    told = render.done("open this on the address of the dashboard, within an hour:")
    out.answer({"path": path}, told, render.command(path))


@command(users, "list")
def list_users(
    out: Output,
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="Only names and addresses with this.")] = "",
    limit: Limit = 100,
) -> None:
    """List the users."""
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR

    found = actions.page(LOCAL_ADMINISTRATOR, limit=limit + 1, search=search)
    out.answer({"users": found[:limit], "more": len(found) > limit}, _listed(found[:limit]))
    if len(found) > limit:
        out.note(f"there are more than {limit}: narrow it with --search, or raise --limit")


def _listed(found: Sequence[User]) -> RenderableType:
    from cli import render

    rows = [(one.name, ", ".join(one.groups) or "none", _login(one), _seen(one)) for one in found]
    nothing = "nobody; make the first one: dbackup user create NAME --group Administrators"
    return render.table(("User", "Groups", "Login", "Last seen"), rows) if rows else render.note(nothing)


def _login(user: User) -> str:
    if not user.enabled:
        return "disabled"
    return ("password" if user.has_password else "single sign-on") + (" and code" if user.second_factor else "")


def _seen(user: User) -> str:
    return words.moment(user.last_login_at) if user.last_login_at else "never"


@command(users)
def show(out: Output, name: UserName) -> None:
    """Show one user."""
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    one = actions.get(LOCAL_ADMINISTRATOR, name)
    facts = [
        ("name", one.name),
        ("email", one.email or "none"),
        ("groups", ", ".join(one.groups) or "none"),
        ("login", _login(one)),
        ("made", words.moment(one.created_at)),
        ("last seen", _seen(one)),
    ]
    out.answer(one, render.facts(facts))


@command(users)
def disable(out: Output, name: UserName) -> None:
    """Let a user in no longer. Their sessions end, and their tokens open nothing."""
    _set_enabled(out, name, enabled=False)


@command(users)
def enable(out: Output, name: UserName) -> None:
    """Let a user in again."""
    _set_enabled(out, name, enabled=True)


def _set_enabled(out: Output, name: str, *, enabled: bool) -> None:
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.set_enabled(LOCAL_ADMINISTRATOR, name, enabled=enabled)
    told = f"{name} may log in again" if enabled else f"{name} is let in no longer, and logged out"
    out.answer({"user": name, "enabled": enabled}, render.done(told))


@command(users)
def password(out: Output, name: UserName, password_stdin: FromStdin = False) -> None:
    """Give a user another password. All of their sessions end."""
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.set_password(LOCAL_ADMINISTRATOR, name, new_password(stdin=password_stdin))
    out.answer({"user": name}, render.done(f"{name} has another password, and is logged out everywhere"))


@command(users)
def delete(out: Output, name: UserName, yes: Yes = False) -> None:
    """Forget a user, their sessions and tokens. The audit keeps what they did."""
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    if not yes:
        confirm(f"Delete the user {name}?")
    actions.delete(LOCAL_ADMINISTRATOR, name)
    out.answer({"deleted": name}, render.done(f"user {name} is forgotten"))


def confirm(question: str) -> None:
    """Ask. Raises WrongUsage where nobody can be asked."""
    if not sys.stdin.isatty():
        raise WrongUsage("there is no terminal to ask on whether to delete", hint="say it with --yes")
    typer.confirm(question, abort=True, err=True)


@command(users, "reset-second-factor")
def reset_second_factor(out: Output, name: UserName) -> None:
    """Take the second factor of a user away, who has lost it. Their sessions end."""
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.reset_second_factor(LOCAL_ADMINISTRATOR, name)
    out.answer({"user": name}, render.done(f"{name} logs in with the password alone, and is logged out"))


@command(users)
def sessions(
    out: Output,
    name: UserName,
    end: Annotated[str | None, typer.Option("--end", metavar="ID", help="End this one.")] = None,
    end_all: Annotated[bool, typer.Option("--end-all", help="End all of them.")] = False,
) -> None:
    """Show where a user is logged in, and end that."""
    from actions import users as actions
    from actions.door import LOCAL_ADMINISTRATOR

    if end or end_all:
        actions.end_sessions(LOCAL_ADMINISTRATOR, name, None if end_all else end)
    left = actions.sessions(LOCAL_ADMINISTRATOR, name)
    out.answer({"sessions": left}, _sessions(name, list(left)))


def _sessions(name: str, found: list[LoginSession]) -> RenderableType:
    from cli import render

    rows = [(one.session_id, one.address or "?", words.moment(one.used_at), words.moment(one.ends_at)) for one in found]
    headings = ("Session", "From", "Last used", "Ends")
    return render.table(headings, rows) if rows else render.note(f"{name} is logged in nowhere")
