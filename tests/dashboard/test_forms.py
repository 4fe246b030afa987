"""Forms are drawn from the adapters' own configurations: whatever adapter there is has one, and no secret comes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from streamlit.testing.v1 import AppTest

from actions import forms, saved
from actions.door import LOCAL_ADMINISTRATOR as ME
from actions.door import Identity
from adapters.database import ENGINES
from adapters.notification import CHANNELS
from adapters.storage import STORAGES
from blocks.saved import load_source
from core.errors import ConfigurationError, PermissionError
from core.fields import RECEIVES, UNASKED, has, is_secret, label
from core.jobs import Address
from core.permissions import Permission

ADAPTERS: list[Any] = [*ENGINES.values(), *STORAGES.values(), *CHANNELS.values()]
SECRET = "hunter2-of-the-shop"


@pytest.fixture
def shop(home: Path) -> Iterator[str]:
    """A saved PostgreSQL source, which nobody has to reach."""
    given = {"host": "db.example.org", "user": "backup", "password": SecretStr(SECRET)}
    forms.add_source(ME, "form-shop", "PostgreSQL", given)
    yield "form-shop"
    saved.remove_source(ME, "form-shop")


def fields_of(name: str) -> dict[str, Any]:
    return load_source(name).opened()


def _page(number: int) -> None:
    import streamlit as st

    from actions.forms import Form
    from dashboard.components.forms import fields
    from tests.dashboard.test_forms import ADAPTERS

    adapter = ADAPTERS[number]
    st.session_state["given"] = fields(Form(adapter.label, adapter.config_type), "form")


@pytest.mark.parametrize("number", range(len(ADAPTERS)), ids=[one.label for one in ADAPTERS])
def test_every_adapter_has_a_form_that_gives_nothing_while_nothing_is_entered(number: int) -> None:
    page = AppTest.from_function(_page, args=(number,)).run(timeout=30)
    assert not page.exception
    assert page.session_state["given"] == {}
    shown = {one.label.removesuffix(" *") for kind in ("text_input", "number_input", "selectbox", "checkbox")
             for one in page.get(kind)} | {one.label for one in page.text_area}  # fmt: skip
    config = ADAPTERS[number].config_type
    asked = {label(config, name) for name, field in config.model_fields.items() if not has(field, UNASKED)}
    assert asked <= shown


@pytest.mark.parametrize("config", [one.config_type for one in ADAPTERS])
def test_every_configuration_says_where_its_secrets_are_sent(config: type[BaseModel]) -> None:
    """One whose address is a secret itself has to give all of it anew anyway."""
    fields = config.model_fields.values()
    optional = [field for field in fields if is_secret(field) and not field.is_required()]
    assert not optional or any(has(field, RECEIVES) for field in fields)


def test_a_form_is_told_which_secrets_are_set_and_never_what_they_are(shop: str) -> None:
    form = forms.source_form(ME, shop)
    assert form.secrets == {"password"}
    assert form.values["host"] == "db.example.org"
    assert SECRET not in repr(form)


def test_a_secret_that_is_left_empty_stays_as_it_is(shop: str) -> None:
    forms.change_source(ME, shop, {"host": "db.example.org", "user": "backup", "sslmode": "require"})
    assert (fields_of(shop)["password"], fields_of(shop)["sslmode"]) == (SECRET, "require")


@pytest.mark.parametrize("change", [{"host": "evil.example.org"}, {"host": "db.example.org", "port": 5433}, {}])
def test_a_saved_secret_is_not_sent_to_another_address(shop: str, change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="saved secrets are not sent there") as refused:
        forms.change_source(ME, shop, {"user": "backup", **change})
    assert "Password" in refused.value.hint
    assert fields_of(shop)["host"] == "db.example.org"
    forms.change_source(ME, shop, {"user": "backup", **change, "password": SecretStr("another")})
    assert fields_of(shop)["password"] == "another"


def test_a_secret_can_be_taken_away(shop: str) -> None:
    forms.change_source(ME, shop, {"host": "evil.example.org", "user": "backup", "password": None})
    assert "password" not in fields_of(shop)


def test_what_cannot_be_used_names_its_field_and_is_not_saved(shop: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^Port cannot be used"):
        forms.change_source(ME, shop, {"host": "db.example.org", "port": 99999, "password": SecretStr(SECRET)})
    assert "port" not in fields_of(shop) or fields_of(shop)["port"] == 5432
    with pytest.raises(ConfigurationError, match="Path is missing"):
        forms.add_storage(ME, "form-nowhere", "Local folder", {})


def test_a_limited_person_reads_and_changes_the_sources_of_their_own_only(shop: str) -> None:
    limits = {Permission.SOURCES_WRITE: frozenset({"another"})}
    limited = Identity("eve", frozenset({Permission.SOURCES_WRITE}), limits)
    for attempt in (
        lambda: forms.source_form(limited, shop),
        lambda: forms.change_source(limited, shop, {"host": "evil.example.org"}),
        lambda: forms.add_source(limited, "third", "PostgreSQL", {}),
    ):
        with pytest.raises(PermissionError):
            attempt()


def test_a_storage_that_moves_is_marked_at_its_new_place(home: Path, tmp_path: Path) -> None:
    forms.add_storage(ME, "form-shelf", "Local folder", {"path": str(tmp_path / "old")})
    forms.change_storage(ME, "form-shelf", {"path": str(tmp_path / "new")})
    assert saved.test_storage(ME, Address("form-shelf")) is not None
    saved.remove_storage(ME, "form-shelf")
