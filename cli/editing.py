"""``dbackup source edit`` and its like: change single fields of what is saved under a name, and leave the others.

A field is named as the URL and ``dbackup apply`` name it. Secrets are asked for, piped in or referred to; one that
stands on the command line in clear is refused, because other users of the machine see it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import command
from cli.options import Name
from cli.output import Output, WrongUsage
from cli.passwords import VARIABLE, asked_secret, piped_secret

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from rich.console import RenderableType

    from actions.door import Identity
    from actions.forms import Form, Given

Texts = list[str] | None
Changes = Annotated[
    Texts,
    typer.Argument(
        metavar="FIELD=VALUE",
        help="What shall be another; FIELD= goes back to the default. A secret is FIELD=env:NAME or FIELD=file:/PATH.",
        show_default=False,
    ),
]
Asked = Annotated[
    Texts,
    typer.Option(
        "--ask",
        metavar="FIELD",
        help=f"Ask for this secret. Can be repeated; {VARIABLE} works for password.",
        show_default=False,
    ),
]
Piped = Annotated[
    str | None,
    typer.Option(
        "--stdin",
        metavar="FIELD",
        help="Read this secret from the first line of standard input.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Editable:
    """A kind of saved thing: what people call it, and the actions that show and change one."""

    noun: str
    group: str  # the command's
    form: Callable[[Identity, str], Form]
    change: Callable[[Identity, str, Given], None]


def add_edit(app: typer.Typer, what: str, editable: Callable[[], Editable]) -> None:
    """Give a group of commands its ``edit``; ``editable`` is asked when that runs, for actions are heavy."""

    def edit(out: Output, name: Name, changes: Changes = None, ask: Asked = None, stdin: Piped = None) -> None:
        of = editable()
        _edit(out, of, name, _Wish(tuple(changes or ()), tuple(ask or ()), stdin))

    edit.__doc__ = f"Change fields of a saved {what}. Without any, show what is saved."
    command(app, "edit")(edit)


@dataclass(frozen=True)
class _Wish:
    changes: tuple[str, ...]
    ask: tuple[str, ...]
    stdin: str | None

    @property
    def is_empty(self) -> bool:
        return not (self.changes or self.ask or self.stdin)


def _edit(out: Output, of: Editable, name: str, wish: _Wish) -> None:
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        form = of.form(LOCAL_ADMINISTRATOR, name)
    if wish.is_empty:
        out.answer(_said(form), *_shown(of, name, form))
        return
    changes = _given(form, wish)
    with out.waiting("saving"):
        of.change(LOCAL_ADMINISTRATOR, name, {**form.values, **changes})
    told = render.done(f"{of.noun} {name} is changed: {', '.join(changes)}")
    out.answer(
        {"changed": name, "fields": list(changes)}, told, render.note(f"  try it: dbackup {of.group} test {name}")
    )


def _given(form: Form, wish: _Wish) -> Mapping[str, Any]:
    """What shall be another, by its field; None takes it away. Raises WrongUsage."""
    given: dict[str, Any] = {}
    for text in wish.changes:
        field, equals, value = text.partition("=")
        if not equals:
            raise WrongUsage(
                f"this changes nothing: {_name_only(text)}", hint="write FIELD=VALUE, or FIELD= for nothing"
            )
        _require_once(given, field)
        given[field] = _value(form, field, value)
    for field in (*wish.ask, *([wish.stdin] if wish.stdin else ())):
        _require_once(given, field)
        if not _is_secret(form, field):
            raise WrongUsage(f"{field} is no secret", hint=f"write it: {field}=VALUE")
        given[field] = piped_secret() if field == wish.stdin else asked_secret(field)
    return given


def _require_once(given: Mapping[str, Any], field: str) -> None:
    if field in given:
        raise WrongUsage(f"{field} is given twice", hint="give it once")


def _value(form: Form, field: str, value: str) -> Any:
    if not value:
        _known(form, field)
        return None
    if not _is_secret(form, field):
        return value
    from core.references import is_reference, referred

    if not is_reference(value):
        raise WrongUsage(
            f"{field} is a secret, and would be seen by other users here",
            hint=f"use --ask {field}, --stdin {field}, {field}=env:NAME or {field}=file:/PATH",
        )
    return referred(value)


def _is_secret(form: Form, field: str) -> bool:
    from core.fields import is_secret

    return is_secret(_known(form, field))


def _known(form: Form, field: str) -> FieldInfo:
    """A field that a person may change. Raises WrongUsage, which repeats nothing that could be a secret."""
    fields = dict(_asked(form))
    if field not in fields:
        raise WrongUsage(f"{form.kind} has no such field", hint=f"its fields are: {', '.join(fields)}")
    return fields[field]


def _asked(form: Form) -> Iterable[tuple[str, FieldInfo]]:
    from core.fields import UNASKED, has

    return ((name, field) for name, field in form.config.model_fields.items() if not has(field, UNASKED))


def _name_only(text: str) -> str:
    return text if text.isidentifier() and len(text) <= 40 else "an argument without ="


def _said(form: Form) -> dict[str, Any]:
    return {"kind": form.kind, "fields": form.values, "secrets": sorted(form.secrets)}


def _shown(of: Editable, name: str, form: Form) -> list[RenderableType]:
    from cli import render

    rows = [(field, *_cells(form, field, info)) for field, info in _asked(form)]
    return [
        render.note(f"{of.noun} {name}: {form.kind}"),
        render.table(("Field", "Value", ""), rows),
        render.note(f"change one: dbackup {of.group} edit {name} FIELD=VALUE"),
    ]


def _cells(form: Form, field: str, info: FieldInfo) -> tuple[str, str]:
    from core.fields import is_secret

    if is_secret(info):
        return ("saved, never shown" if field in form.secrets else "", "secret")
    said = form.values.get(field, None if info.is_required() else info.default)
    return ("" if said is None else str(said), "default" if said == info.default else "")
