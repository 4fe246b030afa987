"""Options become a specification, or wrong usage that names the option."""

from __future__ import annotations

import pytest

from cli.output import WrongUsage
from cli.specs import compression, names, restored, retention_at, specified
from core.jobs import JobSpec


@pytest.mark.parametrize(
    ("texts", "meant"),
    [(["a,b"], ("a", "b")), (["a", "b"], ("a", "b")), (['"a,b",c'], ("a,b", "c")), (["a, b,"], ("a", "b")), ([], ())],
)
def test_names_are_separated_by_commas_as_in_csv(texts: list[str], meant: tuple[str, ...]) -> None:
    assert names(texts) == meant


@pytest.mark.parametrize(
    ("option", "fields"),
    [("--to", {"destinations": ("a", "a")}), ("--retries", {"retries": 99}), ("--exact-rows", {"exact_rows": -1})],
)
def test_a_field_that_does_not_validate_is_wrong_usage_of_its_option(option: str, fields: dict[str, object]) -> None:
    with pytest.raises(WrongUsage, match=f"^{option} cannot be used"):
        specified(JobSpec, **{"source": "shop", "destinations": ("a",), **fields})


@pytest.mark.parametrize("text", ["zip", "zstd:99", "none:1", "zstd:x", ""])
def test_a_compression_that_does_not_exist_is_wrong_usage_with_advice(text: str) -> None:
    with pytest.raises(WrongUsage) as wrong:
        compression(text)
    assert wrong.value.hint


@pytest.mark.parametrize("texts", [["nas"], ["nas="], ["=last=1"], ["nas=daily=30", "nas=last=1"], ["nas=nightly=1"]])
def test_rules_for_a_destination_that_are_missing_doubled_or_unknown_are_wrong_usage(texts: list[str]) -> None:
    with pytest.raises(WrongUsage) as wrong:
        retention_at(texts)
    assert wrong.value.hint


def test_each_destination_may_have_rules_of_its_own() -> None:
    chosen = retention_at(["nas=daily=30,last=1", "tape=min_keep=3"])
    assert {name: str(rules) for name, rules in chosen.items()} == {"nas": "last=1,daily=30", "tape": ""}


@pytest.mark.parametrize(
    ("typed", "rename", "fields"),
    [
        ([], None, {"database": None, "rename": None}),
        (["shop"], None, {"database": "shop", "rename": None}),
        (["shop"], "new", {"database": "shop", "rename": "new"}),
        (["a=b"], "new", {"database": "a=b", "rename": "new"}),
        (["shop=new"], None, {"names": {"shop": "new"}}),
        (["shop=new", "crm"], None, {"names": {"shop": "new", "crm": ""}}),
    ],
)
def test_databases_come_back_under_the_names_beside_them(
    typed: list[str], rename: str | None, fields: dict[str, object]
) -> None:
    assert restored(typed, rename) == fields


@pytest.mark.parametrize(("typed", "rename"), [(["a", "b"], "c"), (["a=b", "a=c"], None), (["=b", "c"], None)])
def test_a_name_for_several_or_two_for_one_is_wrong_usage(typed: list[str], rename: str | None) -> None:
    with pytest.raises(WrongUsage) as wrong:
        restored(typed, rename)
    assert wrong.value.hint
