"""A system is made to agree with a file, twice the same, and no secret stands in it or comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.saved import load_source
from cli.exits import FAILED, PARTIAL, USAGE
from tests.cli.conftest import Dbackup
from tests.home import files_of

PAGE = Path(__file__).parents[2] / "docs" / "apply.md"
SECRET = "hunter2-of-the-file"
OTHER = "another-hunter3-of-it"
WEBHOOK = f"https://discord.com/api/webhooks/123456789012345678/{'a1B2' * 17}"
SECRETS = {"ORDERS_PASSWORD": SECRET, "OPS_WEBHOOK": WEBHOOK}


@pytest.fixture
def page(dbackup: Dbackup, tmp_path: Path) -> Iterator[Path]:
    """The example of the page, in a folder of its own; what it makes is removed."""
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    file = tmp_path / "dbackup.yaml"
    file.write_text(found[1].replace("/srv/shop", str(tmp_path)).replace("/backups", f"{tmp_path}/backups"))
    (tmp_path / "shop.db").touch()
    yield file
    for job in ("nightly-shop", "nightly-orders"):
        dbackup("job", "delete", job)
    for group, name in (("source", "shop"), ("source", "orders"), ("storage", "near"), ("notification", "ops")):
        dbackup(group, "remove", name)
    dbackup("group", "delete", "operators", "--yes")


def test_the_example_of_the_page_is_done_once_and_the_second_time_nothing(
    dbackup: Dbackup, page: Path, home: Path
) -> None:
    first = dbackup("apply", page, "--yes", "--verbose", **SECRETS)
    assert first.code == 0, first
    assert load_source("orders").opened()["password"] == SECRET
    assert dbackup.succeeds("job", "show", "nightly-orders")["schedule"]["paused"]
    again = dbackup("apply", page, **SECRETS)
    assert (again.code, "nothing to do" in again.out) == (0, True), again
    changed = dbackup("apply", page, "--dry-run", **{**SECRETS, "ORDERS_PASSWORD": OTHER})
    assert changed.code == PARTIAL
    assert "password: changed" in changed.out
    page.write_text(page.read_text().replace("last=7,", "last=9,").replace("    paused: true\n", ""))
    third = dbackup("apply", page, "--yes", "--json", **{**SECRETS, "ORDERS_PASSWORD": OTHER})
    assert third.json["done"] == ["source orders changed", "job nightly-shop changed", "job nightly-orders changed"]
    assert load_source("orders").opened()["password"] == OTHER
    assert not dbackup.succeeds("job", "show", "nightly-orders")["schedule"]["paused"]
    said = "".join(one.out + one.err for one in (first, again, changed, third)).encode()
    for secret in (SECRET, OTHER, WEBHOOK):
        assert secret.encode() not in said
        assert [name for name, content in files_of(home).items() if secret.encode() in content] == []


def test_nothing_is_changed_without_a_terminal_to_ask_on(dbackup: Dbackup, page: Path) -> None:
    answer = dbackup("apply", page, **SECRETS)
    assert (answer.code, "+ create source shop" in answer.err) == (USAGE, True)
    assert "shop" not in [one["name"] for one in dbackup.succeeds("source", "list")["sources"]]


def test_what_a_job_needs_is_not_pruned_and_the_rest_is(dbackup: Dbackup, tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    dbackup.succeeds("storage", "add", "prune-near", tmp_path / "near")
    dbackup.succeeds("source", "add", "prune-shop", tmp_path / "a.db")
    dbackup.succeeds("job", "create", "prune-job", "--source", "prune-shop", "--to", "prune-near")
    file = tmp_path / "prune.yaml"
    file.write_text("sources: {}\n")
    refused = dbackup("apply", file, "--prune", "--yes")
    assert refused.code == FAILED
    assert "prune-shop cannot be pruned: the job prune-job needs it" in refused.err
    file.write_text("jobs: {}\nsources: {}\nstorages: {}\n")
    assert dbackup.succeeds("apply", file, "--prune", "--yes")["done"][-1] == "source prune-shop removed"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sources:\n  s: {url: 'postgresql://u:hunter2x@h/d'}\n", "line 2, column 7: sources.s.url: here stands a"),
        ("sources:\n  s:\n    url: postgresql://h/d\n    password: hunter2x\n", "line 4, column 5: sources.s.password"),
        ("sources:\n  s: {url: 'postgresql://h/d'}\n  s: {}\n", "line 3, column 3: this key stands already in line 2"),
        ("sources:\n  s:\n    url: postgresql://h/d\n    pasword: hunter2x\n", "line 4, column 5"),
        ("sources:\n  s: {url: 'postgresql://h/d', password: env:NOT_SET_AT_ALL}\n", "NOT_SET_AT_ALL is not set"),
        ("jobs:\n  j:\n    source: nowhere\n    destinations: [x]\n", "line 3, column 5: jobs.j.source: there is no"),
        ("jobs:\n  j: {source: s, destinations: [x], retries: hunter2x}\n", "line 2, column 37: jobs.j.retries"),
        ("sources:\n  - [\n", "line 3, column 1: this is not YAML"),
        ("sources: *hunter2x\n", "line 1, column 10: this alias"),
        ("sorces: {}\n", "line 1, column 1: sorces: there is no such key"),
        ("a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b]\n"
         "d: &d [*c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d, *d, *d]\n", "aliases or nesting"),
        ("a: &a [*a]\n", "aliases or nesting"),
        (f"a: {'[' * 20_000}\n", "nest"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_with_its_line_and_repeats_no_secret(
    dbackup: Dbackup, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    answer = dbackup("apply", file, "--yes")
    assert answer.code == USAGE, answer
    assert told in answer.err
    assert "hunter2x" not in answer.out + answer.err
