"""The audit is read in pages, by person, action and time, and finds its place by an index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from db.audit import Audit, Entry, Wanted
from db.session import Database, open_database

START = datetime(2026, 3, 1, tzinfo=UTC)


def entry(number: int, who: str = "ada", action: str = "jobs.run", result: str = "done") -> Entry:
    return Entry(START + timedelta(minutes=number), who, action, f"target {number}", "192.0.2.7", result)


def test_entries_come_newest_first_in_pages(database: Database) -> None:
    audit = Audit(database)
    for number in range(7):
        audit.record(entry(number))
    found = [one for offset in (0, 3, 6) for one in audit.entries(Wanted(), limit=3, offset=offset)]
    assert found == [entry(number) for number in reversed(range(7))]


def test_all_entries_are_read_a_part_at_a_time_and_none_twice(database: Database) -> None:
    audit = Audit(database)
    for number in range(7):
        audit.record(entry(number // 3))  # some of them at the same moment
    found = audit.every(Wanted(), at_once=2)
    drawn = [next(found)]
    audit.record(entry(100))
    drawn += found
    assert drawn == [entry(number // 3) for number in reversed(range(7))]
    assert audit.count(Wanted()) == 8


def test_entries_of_one_moment_keep_their_order(database: Database) -> None:
    audit = Audit(database)
    for name in "abc":
        audit.record(Entry(START, name, "login", "", "", "done"))
    assert [one.who for one in audit.entries(Wanted(), limit=9)] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(who="eve"), [3, 1]),
        (Wanted(action="users."), [3, 2]),
        (Wanted(action="users.create"), [2]),
        (Wanted(action="%"), []),
        (Wanted(since=START + timedelta(minutes=2)), [3, 2]),
        (Wanted(until=START + timedelta(minutes=2)), [1, 0]),
        (Wanted(result="refused"), [3]),
        (Wanted(START + timedelta(minutes=2), "eve", "users"), [3]),
    ],
)
def test_entries_are_chosen_by_person_action_and_time(database: Database, wanted: Wanted, numbers: list[int]) -> None:
    audit = Audit(database)
    for number, (who, action) in enumerate(
        [("ada", "login"), ("eve", "login"), ("ada", "users.create"), ("eve", "users.delete")]
    ):
        audit.record(entry(number, who, action, "refused" if number == 3 else "done"))
    assert [one.target for one in audit.entries(wanted, limit=9)] == [f"target {number}" for number in numbers]
    assert audit.count(wanted) == len(numbers)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM audit WHERE moment >= '2026' ORDER BY moment DESC, number DESC LIMIT 50", "ix_audit_moment"),
        ("SELECT * FROM audit WHERE who = 'ada' ORDER BY moment DESC, number DESC LIMIT 50", "ix_audit_who_moment"),
        ("SELECT * FROM sessions WHERE token_hash = 'x'", "sqlite_autoindex_sessions"),
        ("SELECT * FROM api_tokens WHERE token_hash = 'x'", "sqlite_autoindex_api_tokens"),
        ("SELECT * FROM users ORDER BY name LIMIT 50", "sqlite_autoindex_users"),
        ("SELECT * FROM memberships WHERE group_id = 'x'", "ix_memberships_group_id"),
    ],
)
def test_what_is_asked_often_uses_an_index_and_sorts_nothing(
    tmp_path_factory: pytest.TempPathFactory, query: str, index: str
) -> None:
    opened = open_database(f"sqlite:///{tmp_path_factory.mktemp('plans')}/catalog.db")
    with opened.session() as session:
        plan = " ".join(str(row[-1]) for row in session.execute(text(f"EXPLAIN QUERY PLAN {query}")))
    assert index in plan
    assert "TEMP B-TREE" not in plan
