"""A form drawn from a typed configuration: a widget for each field, by its type and its marks, for no engine by name.

What a person has to think about comes first: everything up to the last field that is needed or secret. The rest waits
under *More*. Secrets are never drawn; one that is left empty stays as it is, and one that is not needed can be taken
away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import annotated_types
import streamlit as st
from pydantic.fields import FieldInfo

from actions.forms import Form
from core.fields import MULTILINE, UNASKED, has, is_secret, label


def fields(form: Form, key: str) -> dict[str, Any]:
    """Draw the fields, as they are said now, and give what is entered: only what differs from the defaults.

    A secret that is to be taken away is None. ``key`` tells the widgets of one form from those of another.
    """
    asked = {name: field for name, field in form.config.model_fields.items() if not has(field, UNASKED)}
    important = [name for name, field in asked.items() if field.is_required() or is_secret(field)]
    last = list(asked).index(important[-1]) + 1 if important else len(asked)
    given = _drawn(form, dict(list(asked.items())[:last]), key)
    if rest := dict(list(asked.items())[last:]):
        with st.expander("More", icon=":material/tune:"):
            given |= _drawn(form, rest, key)
    return given | _taken_away(form, given, key)


def _drawn(form: Form, asked: Mapping[str, FieldInfo], key: str) -> dict[str, Any]:
    given = {name: _widget(form, name, field, f"{key}-{name}") for name, field in asked.items()}
    return {name: value for name, value in given.items() if value not in (None, "", asked[name].default)}


def _taken_away(form: Form, given: Mapping[str, Any], key: str) -> dict[str, None]:
    """The secrets that shall be forgotten, of those that are set and not needed."""
    optional = [name for name in sorted(form.secrets) if not form.config.model_fields[name].is_required()]
    if not optional:
        return {}
    chosen = st.multiselect(
        "Forget saved secrets", optional, format_func=lambda name: label(form.config, name), key=f"{key}-forgotten",
        placeholder="none",
    )  # fmt: skip
    return {name: None for name in chosen if name not in given}


def _widget(form: Form, name: str, field: FieldInfo, key: str) -> Any:
    title, text = label(form.config, name), field.description
    if is_secret(field):
        return _secret(f"{title} *" if field.is_required() else title, field, key, is_set=name in form.secrets)
    said = form.values.get(name, None if field.is_required() else field.default)
    wanted, optional = _type(field)
    if get_origin(wanted) is Literal:
        return _choice(title, get_args(wanted), said, text, key, optional=optional)
    if wanted is bool and optional:
        return _choice(title, (True, False), said, text, key, optional=True)
    if wanted is bool:
        return st.checkbox(title, bool(said), key=key, help=text)
    if wanted in (int, float):
        return _number(title, wanted, field, said, key)
    example = str(field.examples[0]) if field.examples else None
    shown = "" if said is None else str(said)
    return st.text_input(
        f"{title} *" if field.is_required() else title, shown, key=key, help=text, placeholder=example,
        autocomplete="off",
    ).strip()  # fmt: skip


def _secret(title: str, field: FieldInfo, key: str, *, is_set: bool) -> str | None:
    hint = "saved; leave it empty to keep it" if is_set else None
    if has(field, MULTILINE):
        return st.text_area(title, key=key, help=field.description, placeholder=hint, height=100)
    return st.text_input(
        title, type="password", key=key, help=field.description, placeholder=hint, autocomplete="new-password"
    )


def _choice(title: str, options: tuple[Any, ...], said: Any, text: str | None, key: str, *, optional: bool) -> Any:
    every = (None, *options) if optional else options
    return st.selectbox(title, every, every.index(said), format_func=_spoken, key=key, help=text)


def _spoken(option: Any) -> str:
    if option is None:
        return "as the server prefers"
    return {True: "yes", False: "no"}[option] if isinstance(option, bool) else str(option)


def _number(title: str, wanted: type[Any], field: FieldInfo, said: Any, key: str) -> Any:
    least = next((wanted(one.ge) for one in field.metadata if isinstance(one, annotated_types.Ge)), None)
    most = next((wanted(one.le) for one in field.metadata if isinstance(one, annotated_types.Le)), None)
    return st.number_input(
        title, least, most, None if said is None else wanted(said), step=wanted(1), key=key, help=field.description
    )


def _type(field: FieldInfo) -> tuple[Any, bool]:
    """The type of a field without its None, and whether it may be None."""
    parts = get_args(field.annotation)
    if type(None) not in parts:
        return field.annotation, False
    return next(one for one in parts if one is not type(None)), True
