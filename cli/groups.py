"""``dbackup group``: what people may do, and on which sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import command
from cli.options import Group, Permissions, UserName, Yes
from cli.output import Output, WrongUsage
from cli.users import confirm

if TYPE_CHECKING:
    from core.permissions import Permission
    from services.accounts.groups import Group as Described

groups = typer.Typer(help="What people may do: permissions, and on which sources.", no_args_is_help=True)

Sources = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="SOURCE", help="Only for this saved source. Can be repeated.", show_default=False),
]


def permissions(patterns: Iterable[str]) -> frozenset[Permission]:
    """The permissions that are named, or match a pattern such as ``backups:*``. Raises WrongUsage for what is none."""
    from core.permissions import Permission

    found: set[Permission] = set()
    for pattern in patterns:
        matching = Permission.matching(pattern)
        if not matching:
            raise WrongUsage(f"there is no permission {pattern}", hint=f"there are: {', '.join(Permission)}")
        found |= matching
    return frozenset(found)


@command(groups)
def create(out: Output, name: Group, permission: Permissions = None, source: Sources = None) -> None:
    """Make a group."""
    from actions import groups as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.rights import Grant

    grant = Grant(permissions(permission or ()), frozenset(source) if source else None)
    made = actions.create(LOCAL_ADMINISTRATOR, name, grant)
    advice = render.note(f"  put somebody into it: dbackup group add {made.name!r} USER")
    out.answer(_plain(made), render.done(f"group {made.name} is made"), advice)


@command(groups, "list")
def list_groups(out: Output) -> None:
    """List the groups."""
    from actions import groups as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    found = actions.page(LOCAL_ADMINISTRATOR, limit=10_000)
    rows = [(one.name, _permitted(one), _where(one)) for one in found]
    out.answer({"groups": [_plain(one) for one in found]}, render.table(("Group", "Permits", "For sources"), rows))


@command(groups)
def show(out: Output, name: Group) -> None:
    """Show one group and who is in it."""
    from actions import groups as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    one = actions.get(LOCAL_ADMINISTRATOR, name)
    facts = [
        ("name", one.name),
        ("permits", _permitted(one)),
        ("for sources", _where(one)),
        ("members", ", ".join(one.members) or "nobody"),
    ]
    out.answer(_plain(one), render.facts(facts))


@command(groups, "set")
def change(
    out: Output,
    name: Group,
    permission: Permissions = None,
    source: Sources = None,
    all_sources: Annotated[bool, typer.Option("--all-sources", help="Lift the limit to some sources.")] = False,
) -> None:
    """Give a group other permissions or sources. What is not mentioned stays as it is."""
    from actions import groups as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.rights import Grant

    if source and all_sources:
        raise WrongUsage("a group is for some sources or for all", hint="choose one of the two")
    before = actions.get(LOCAL_ADMINISTRATOR, name)
    allowed = permissions(permission) if permission else before.permissions
    sources = None if all_sources else frozenset(source) if source else before.sources
    actions.change(LOCAL_ADMINISTRATOR, name, Grant(allowed, sources))
    out.answer(_plain(actions.get(LOCAL_ADMINISTRATOR, name)), render.done(f"group {name} is changed"))


@command(groups)
def delete(out: Output, name: Group, yes: Yes = False) -> None:
    """Forget a group. Its members stay, without what it gave them."""
    from actions import groups as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    if not yes:
        confirm(f"Delete the group {name}?")
    actions.delete(LOCAL_ADMINISTRATOR, name)
    out.answer({"deleted": name}, render.done(f"group {name} is forgotten"))


@command(groups)
def add(out: Output, name: Group, user: UserName) -> None:
    """Put a user into a group."""
    from actions import groups as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.add(LOCAL_ADMINISTRATOR, name, user)
    out.answer({"group": name, "added": user}, render.done(f"{user} is in {name}"))


@command(groups)
def remove(out: Output, name: Group, user: UserName) -> None:
    """Take a user out of a group."""
    from actions import groups as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.remove(LOCAL_ADMINISTRATOR, name, user)
    out.answer({"group": name, "removed": user}, render.done(f"{user} is no longer in {name}"))


def _permitted(group: Described) -> str:
    return "everything" if group.protected else ", ".join(sorted(group.permissions)) or "nothing"


def _where(group: Described) -> str:
    return "all" if group.sources is None else ", ".join(sorted(group.sources)) or "none"


def _plain(group: Described) -> dict[str, object]:
    """The same in an order that does not change."""

    def ordered(values: Iterable[str] | None) -> Sequence[str] | None:
        return None if values is None else sorted(map(str, values))

    return vars(group) | {"permissions": ordered(group.permissions), "sources": ordered(group.sources)}
