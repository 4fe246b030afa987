"""The audit as a table: who may have it, what is in it, and what a spreadsheet makes of it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

import pytest

from actions import users
from actions.door import LOCAL_ADMINISTRATOR, Identity
from core.errors import PermissionError
from core.permissions import Permission
from dashboard.audit_export import HEADINGS, asked_for, link, written
from db.audit import Entry, Wanted
from tests.dashboard.entering import Site, person

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    table = list(csv.reader("".join(written([Entry(MOMENT, "ada", "login", cell, "::1", "done")])).splitlines(True)))
    assert table[1][3] == f"'{cell}"


def test_what_has_commas_quotes_and_lines_comes_back_as_it_was() -> None:
    entry = Entry(MOMENT, "ada", "jobs.run", 'a "b", c\nd', "::1", "failed", "it, broke")
    heading, row = csv.reader("".join(written([entry])).splitlines(keepends=True))
    assert tuple(heading) == HEADINGS
    assert row == ["2026-03-01T12:00:00+00:00", "ada", "jobs.run", 'a "b", c\nd', "::1", "failed", "it, broke"]


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(MOMENT, "ada+x", "users.", "done", MOMENT), Wanted(who="a&b=c")])
def test_a_link_asks_for_what_the_page_shows(wanted: Wanted) -> None:
    from urllib.parse import parse_qsl, urlsplit

    assert asked_for(dict(parse_qsl(urlsplit(link(wanted)).query))) == wanted


def test_whoever_may_not_see_the_audit_gets_no_table(site: Site) -> None:
    client = site.inside(person("curious", Permission.ACCOUNT_OWN))
    refused = client.get("/audit.csv")
    assert (refused.status_code, "audit:read" in refused.text) == (403, True)
    assert site.client(accept="*/*").get("/audit.csv").status_code == 401


def test_the_table_holds_what_was_asked_for(site: Site) -> None:
    with pytest.raises(PermissionError):
        users.create(Identity("intruder"), users.NewUser("x"))
    auditor = site.inside(person("auditor", Permission.AUDIT_READ))
    answer = auditor.get(link(Wanted(who="intruder")))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    _, *rows = csv.reader(answer.text.splitlines())
    assert [(row[1], row[2], row[5]) for row in rows] == [("intruder", "users.create", "refused")]
    assert auditor.get("/audit.csv?since=yesterday").status_code == 400
    assert LOCAL_ADMINISTRATOR.name not in answer.text
