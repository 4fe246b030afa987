"""What a person types becomes a name, a URL, or the URL of a path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.database.sqlite import SQLiteConfig
from adapters.file_urls import path_of
from cli import addresses
from cli.output import WrongUsage


@pytest.mark.parametrize("text", ["shop", "shop-2", "postgresql://me@host/db", "sqlite:///a.db", "sealed:v1://x"])
def test_a_name_or_a_url_stays_as_it_is(text: str) -> None:
    assert addresses.source(text) == addresses.storage(text) == text


@pytest.mark.parametrize(
    "name", ["shop.db", "a b.db", "ü?#%20.db", "-x.db", "a@b:c.db", "new\nline.db", os.fsdecode(b"\xff.db"), "~.db"]
)
def test_a_path_becomes_a_url_that_names_the_same_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    for typed in (name, f"./{name}", str(tmp_path / name)):
        assert SQLiteConfig.from_url(addresses.source(typed)).path == tmp_path / name
        assert path_of(addresses.storage(typed), "file") == tmp_path / name


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert addresses.storage("~/backups") == "file:///home/ada/backups"


def test_a_url_without_its_scheme_is_refused_and_not_repeated() -> None:
    with pytest.raises(WrongUsage) as refused:
        addresses.source("ada:geheim@db.example/shop")
    assert "geheim" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("text", ["", "Shop", "my shop", "127.0.0.1:5432/shop", "db.example:3306"])
def test_what_is_neither_name_nor_path_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        addresses.storage(text)
