"""What a killed restore leaves on a server is told from everything else, and removed only when nobody needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.database import ENGINES
from core.errors import AdapterError
from core.jobs import JobSpec
from core.ports import RestoreTarget
from core.states import RunState
from core.unfinished import Mark, UnfinishedDatabase
from services import backups, janitor
from services.janitor import ABANDONED, Judged
from services.records import executions
from tests.adapters import test_mongodb, test_mysql, test_postgresql
from tests.adapters.database_contract import Subject, put_back, taken
from tests.waiting import until

ROWS = 50
SUBJECTS: dict[str, Any] = {
    "postgresql": test_postgresql.Databases,
    "mariadb": test_mysql.Databases,
    "mysql": test_mysql.Databases,
    "mongodb": test_mongodb.Databases,
}
RESTORE = """
import json, sys, threading
from adapters.database import ENGINES
from core.ports import RestoreTarget

def here(*_, **__):
    print("here", flush=True)
    threading.Event().wait()

wish = json.load(sys.stdin)
exec(wish["stop"])
target = RestoreTarget(wish["target"], overwrite=True, run=wish["run"])
chunks = [bytes.fromhex(one) for one in wish["chunks"]]
with ENGINES[wish["engine"]].from_url(wish["url"]).restore(target) as one:
    one.load(chunks)
    if not wish["stop"]:
        here()
    one.publish()
"""
# A swap that has put the old database aside, and its tables' new ones not yet wholly in their place.
CUT = {
    "mariadb": "from adapters.database.mysql import swap; swap._set_defaults = here",
    "mysql": "from adapters.database.mysql import swap; swap._set_defaults = here",
    "mongodb": "from adapters.database.mongodb.restore import MongoDBRestoration as R; drop = R._drop; "
    "R._drop = lambda self, name: (drop(self, name), here() if name == 'shop' else None)",
}
# A swap that is complete but for what it has put aside.
SWAPPED = {
    "postgresql": "from adapters.database.postgresql import swap; swap.try_to_drop = here",
    "mariadb": "from adapters.database.mysql import swap; swap._try_to_drop = here",
    "mysql": "from adapters.database.mysql import swap; swap._try_to_drop = here",
    "mongodb": "from adapters.database.mongodb.restore import MongoDBRestoration as R; R._dropped = here",
}


@pytest.fixture(params=SUBJECTS)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def subject(request: pytest.FixtureRequest, engine: str) -> Subject:
    made: Subject = SUBJECTS[engine](request.getfixturevalue(engine))
    return made


@contextmanager
def stopped_restore(
    subject: Subject, engine: str, stop: str = "", run: str = "", target: str = "shop", code: tuple[str, ...] = ()
) -> Iterator[None]:
    """A restore of another database over ``shop`` that has come to a certain point; killed with the context."""
    subject.create("other", ROWS)
    subject.create("shop", 1)
    chunks, _ = taken(subject.adapter("other"), "other")
    server: Any = subject.server  # type: ignore[attr-defined]
    if code:
        server.run(*code, database="shop")
    wish = {"engine": engine, "url": server.url(), "stop": stop, "run": run, "target": target}
    wish["chunks"] = [chunk.hex() for chunk in chunks]
    program = subprocess.Popen(
        [sys.executable, "-c", RESTORE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdin and program.stdout
        json.dump(wish, program.stdin)
        program.stdin.close()
        assert program.stdout.readline() == "here\n"
        yield
    finally:
        program.kill()
        program.wait()
        program.stdout.close()  # type: ignore[union-attr]


def judged(subject: Subject, living: tuple[str, ...] = (), now: datetime | None = None) -> list[Judged]:
    return janitor.unfinished_databases(subject.adapter("shop"), living, now or datetime.now(UTC))


def only(subject: Subject, kind: str) -> Judged:
    [found] = [one for one in judged(subject) if f"__{kind}_" in one.database.name]
    return found


def own(subject: Subject) -> set[str]:
    """The databases that are not the server's own."""
    return subject.names() - {"postgres", "template0", "template1", "admin", "config", "local"}


def let_go(subject: Subject, engine: str) -> None:
    """Wait until the server knows that the restore has died; MongoDB does not know, so a day is gone there."""
    if engine == "mongodb":
        with subject.server.client() as client:  # type: ignore[attr-defined]
            for name in subject.names():
                for mark in client[name].list_collection_names(filter={"name": {"$regex": "^dbackup_restore_"}}):
                    client[name][mark].update_one({}, {"$set": {"beat": datetime.now(UTC) - timedelta(days=1)}})
    until(lambda: not any(one.database.in_use for one in judged(subject)), "the server to see the end of the restore")


def ended_run() -> str:
    """The id of a run that the record knows to be over."""
    run = executions().create("restore", "shop")
    executions().start(run)
    executions().finish(run, RunState.CRASHED)
    return run


def test_what_a_living_restore_builds_is_told_of_and_cannot_be_dropped(subject: Subject, engine: str) -> None:
    with stopped_restore(subject, engine):
        found = only(subject, "dbackup")
        assert (found.database.in_use, found.stays) == (True, "its restore may live")
        with pytest.raises(AdapterError, match="in use"):
            janitor.drop(subject.adapter("shop"), replace(found, stays=""))
        assert found.database.name in subject.names()


def test_what_a_killed_restore_has_built_is_removed_once_its_run_is_over_for_certain(
    subject: Subject, engine: str
) -> None:
    unknown = str(uuid.uuid4())
    with stopped_restore(subject, engine, run=unknown):
        pass
    let_go(subject, engine)
    found = only(subject, "dbackup")
    mark = found.database.mark
    assert mark is not None
    assert (mark.target, mark.run, found.database.meaning) == (
        "shop",
        unknown,
        "built by a restore that never finished",
    )
    assert "another machine" in found.stays
    assert (
        janitor.reason_to_stay(found.database, [f"restore-{unknown}"], mark.begun + ABANDONED) == "its restore may live"
    )
    over = replace(found.database, mark=replace(mark, run=ended_run()))
    assert janitor.reason_to_stay(over, (), mark.begun) == ""
    [later] = judged(subject, now=mark.begun + ABANDONED)
    assert later.stays == ""
    before = subject.names()
    janitor.drop(subject.adapter("shop"), later)
    assert before - subject.names() == {later.database.name}
    assert len(subject.rows("shop")) == 1


def test_what_was_replaced_is_removed_when_the_swap_is_complete(subject: Subject, engine: str) -> None:
    with stopped_restore(subject, engine, SWAPPED[engine], ended_run()):
        pass
    let_go(subject, engine)
    assert len(subject.rows("shop")) == ROWS
    assert only(subject, "old").database.meaning == "replaced by a restore, and not dropped"
    for one in judged(subject):
        janitor.drop(subject.adapter("shop"), one)
    assert own(subject) == {"shop", "other"}
    assert len(subject.rows("shop")) == ROWS


@pytest.mark.parametrize("engine", CUT, indirect=True)
def test_what_may_be_the_only_copy_is_never_removed(subject: Subject, engine: str) -> None:
    with stopped_restore(subject, engine, CUT[engine], ended_run()):
        pass
    let_go(subject, engine)
    found = only(subject, "old")
    assert "only copy" in found.stays
    with pytest.raises(AdapterError, match="must stay"):
        subject.adapter("shop").drop_unfinished(found.database.name)  # type: ignore[attr-defined]
    assert len(subject.rows(found.database.name)) == 1, "it is what was there before"


def test_a_swap_of_mariadb_s_that_was_cut_is_undone_as_the_page_says(mariadb: Any) -> None:
    subject = test_mysql.Databases(mariadb)
    code = ("CREATE VIEW words AS SELECT word FROM things", "CREATE TRIGGER guard BEFORE INSERT ON things FOR EACH ROW "
            "BEGIN SET NEW.word = 'guarded'; END")  # fmt: skip
    with stopped_restore(subject, "mariadb", CUT["mariadb"], code=code):
        pass
    old = only(subject, "old").database.name
    mariadb.run(
        "CREATE DATABASE shop__new", f"RENAME TABLE shop.things TO shop__new.things, {old}.things TO shop.things"
    )
    client = f"mariadb --no-defaults --host=127.0.0.1 --port={mariadb.port} --user={test_mysql.USER}"
    piped = f"{client} -N -r -e 'SELECT script FROM dbackup_undo' {old} | {client} shop"
    subprocess.run(piped, shell=True, check=True, env={**os.environ, "MYSQL_PWD": mariadb.password})
    mariadb.run("INSERT INTO things (word) VALUES ('new')", database="shop")
    assert mariadb.query("SELECT * FROM words", "shop") == [("word 1",), ("guarded",)]


def test_a_swap_of_mongodb_s_that_was_cut_is_undone_as_the_page_says(mongodb: Any) -> None:
    subject = test_mongodb.Databases(mongodb)
    with stopped_restore(subject, "mongodb", CUT["mongodb"]):
        pass
    old = only(subject, "old").database.name
    url = f"mongodb://127.0.0.1:{mongodb.port}"
    dump = f"{mongodb.tools}/mongodump --archive --db={old} --excludeCollection=dbackup_restore_{old[-8:]} {url}"
    load = f"{mongodb.tools}/mongorestore --archive --stopOnError --nsFrom='{old}.*' --nsTo='shop.*' {url}"
    subprocess.run(f"{dump} | {load}", shell=True, check=True, stderr=subprocess.DEVNULL)
    assert [word for _, word in subject.rows("shop")] == ["word 1"]
    with mongodb.client() as client:
        assert client.shop.list_collection_names() == ["things"]


def test_what_was_replaced_stays_when_what_replaced_it_is_gone(postgresql: Any) -> None:
    subject = test_postgresql.Databases(postgresql)
    with stopped_restore(subject, "postgresql", SWAPPED["postgresql"], ended_run()):
        pass
    postgresql.query("DROP DATABASE shop WITH (FORCE)")
    [found] = judged(subject)
    statement = found.stays.partition("to put it back: ")[2]
    postgresql.query(statement)
    assert len(subject.rows("shop")) == 1


def test_a_database_that_only_has_the_name_is_nobody_s_to_remove(subject: Subject, engine: str) -> None:
    subject.create("shop", 1)
    subject.create("notes__dbackup_0123abcd", 1)
    subject.create("notes__old_0123abcd", 1)
    subject.create("notes__dbackup_diary", 1)
    found = judged(subject, now=datetime.now(UTC) + 2 * ABANDONED)
    assert [one.database.name for one in found] == ["notes__dbackup_0123abcd", "notes__old_0123abcd"]
    for one in found:
        assert "nothing proves" in one.stays
        with pytest.raises(AdapterError, match="nothing proves"):
            subject.adapter("shop").drop_unfinished(one.database.name)  # type: ignore[attr-defined]
    with pytest.raises(AdapterError, match="nothing proves"):
        subject.adapter("shop").drop_unfinished("shop")  # type: ignore[attr-defined]
    assert {"shop", "notes__dbackup_0123abcd", "notes__old_0123abcd"} <= subject.names()


def test_a_backup_of_everything_leaves_out_what_a_restore_builds_and_nothing_else(
    subject: Subject, engine: str, tmp_path: Path
) -> None:
    subject.create("notes__dbackup_0123abcd", 1)
    with stopped_restore(subject, engine):
        source: Any = ENGINES[engine].from_url(subject.server.url())  # type: ignore[attr-defined]
        wish = {"source": subject.server.url(), "destinations": [f"file://{tmp_path}"]}  # type: ignore[attr-defined]
        planned = backups.plan(JobSpec.model_validate(wish), source, None, "python")
        found = {info.name for info in planned.databases} - {"postgres"}
        assert found == {"notes__dbackup_0123abcd", "other", "shop"}
        assert len(judged(subject)) == 2


def test_a_restore_that_is_complete_leaves_no_mark(subject: Subject, engine: str) -> None:
    subject.create("shop", ROWS)
    chunks, contents = taken(subject.adapter("shop"), "shop")
    for target in (RestoreTarget("fresh"), RestoreTarget("shop", overwrite=True)):
        put_back(subject.adapter("shop"), chunks, target)
    assert judged(subject) == []
    assert own(subject) == {"shop", "fresh"}
    for name in ("shop", "fresh"):
        assert taken(subject.adapter(name), name)[1].rows == contents.rows
    if engine == "postgresql":
        found = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname IN ('shop', 'fresh')"
        assert subject.server.query(found) == [(None,), (None,)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", ["mariadb", "mysql"], indirect=True)
def test_a_percent_sign_in_a_name_stands_for_itself(subject: Subject, engine: str) -> None:
    subject.create("100%s", ROWS)
    chunks, contents = taken(subject.adapter("100%s"), "100%s")
    put_back(subject.adapter("100%s"), chunks, RestoreTarget("100%s", overwrite=True))
    assert taken(subject.adapter("100%s"), "100%s")[1].rows == contents.rows
    assert own(subject) == {"100%s"}


def test_a_replaced_database_keeps_its_comment(postgresql: Any) -> None:
    subject = test_postgresql.Databases(postgresql)
    subject.create("shop", 1)
    postgresql.query("COMMENT ON DATABASE shop IS 'of the shop'")
    chunks, _ = taken(subject.adapter("shop"), "shop")
    put_back(subject.adapter("shop"), chunks, RestoreTarget("shop", overwrite=True))
    found = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'shop'"
    assert postgresql.query(found) == [("of the shop",)]


def test_a_database_of_mongodb_s_that_was_loaded_under_its_own_name_is_told_of_and_stays(mongodb: Any) -> None:
    subject = test_mongodb.Databases(mongodb)
    with stopped_restore(subject, "mongodb", target="fresh"):
        pass
    [found] = judged(subject, now=datetime.now(UTC) + 2 * ABANDONED)
    assert (found.database.name, "restore again with --overwrite" in found.stays) == ("fresh", True)
    with pytest.raises(AdapterError, match="must stay"):
        subject.adapter("fresh").drop_unfinished("fresh")


def test_a_mark_is_only_that_of_its_own_database() -> None:
    mark = Mark.now("a__dbackup_01234567", "a", "run")
    assert Mark.read(str(mark), mark.database) == mark
    assert Mark.read(str(mark), "b__dbackup_01234567") is None
    for text in (None, "", "a comment", "{}", "[]", '{"dbackup": 1}', '{"dbackup": {"database": "x"}}', "1"):
        assert Mark.read(text, "x") is None
    assert not UnfinishedDatabase("x", None, None).precious
