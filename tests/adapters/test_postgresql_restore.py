"""Restores into real PostgreSQL servers: everything comes back, or the old database is as it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest

from adapters.database.postgresql import PostgreSQL
from core.errors import DBackupError, RestoreError, TargetExists, ToolMissing
from core.ports import DumpOptions, RestoreTarget
from tests.adapters.database_contract import SourceFailed, broken, put_back, taken
from tests.adapters.programs import children, gone, tool
from tests.adapters.test_postgresql import Databases, shop, subject, through
from tests.servers.postgresql import Server
from tests.waiting import until

__all__ = ["shop", "subject"]  # fixtures

RICH = r"""
CREATE ROLE clerk; CREATE ROLE auditor;
CREATE SCHEMA sales AUTHORIZATION clerk;
CREATE TYPE sales.state AS ENUM ('new', 'paid');
CREATE DOMAIN sales.price AS numeric(10, 2) CHECK (VALUE >= 0);
CREATE SEQUENCE sales.numbers START 500;
CREATE TABLE sales.parents (id int PRIMARY KEY, child int);
CREATE TABLE sales.children (id int PRIMARY KEY,
    parent int NOT NULL REFERENCES sales.parents DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE sales.parents ADD FOREIGN KEY (child) REFERENCES sales.children DEFERRABLE INITIALLY DEFERRED;
BEGIN; INSERT INTO sales.parents VALUES (1, 1); INSERT INTO sales.children VALUES (1, 1); COMMIT;
CREATE TABLE sales.orders (
    id bigint GENERATED ALWAYS AS IDENTITY, number int DEFAULT nextval('sales.numbers'), at date NOT NULL,
    net sales.price, gross numeric GENERATED ALWAYS AS (net * 1.2) STORED, state sales.state DEFAULT 'new',
    extra jsonb, raw bytea, words text[]
) PARTITION BY RANGE (at);
CREATE TABLE sales.orders_2025 PARTITION OF sales.orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE sales.orders_rest PARTITION OF sales.orders DEFAULT;
INSERT INTO sales.orders (at, net, extra, raw, words)
    SELECT date '2025-06-01' + n, n, jsonb_build_object('n', n), decode(md5(n::text), 'hex'),
           ARRAY['ä', E'\t\\\n', NULL]
    FROM generate_series(1, 400) n;
CREATE INDEX orders_extra ON sales.orders USING gin (extra);
CREATE UNLOGGED TABLE sales.unlogged (id int); INSERT INTO sales.unlogged VALUES (1);
CREATE VIEW sales.totals AS SELECT at, sum(gross) AS gross FROM sales.orders GROUP BY at;
CREATE MATERIALIZED VIEW sales.cached AS SELECT count(*) FROM sales.orders;
CREATE FUNCTION sales.twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n * 2; END $$;
CREATE FUNCTION sales.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := NEW.id; RETURN NEW; END $$;
CREATE TRIGGER guard BEFORE INSERT ON sales.parents FOR EACH ROW EXECUTE FUNCTION sales.guard();
COMMENT ON TABLE sales.parents IS 'It''s a "comment"';
GRANT SELECT ON sales.parents TO auditor WITH GRANT OPTION;
ALTER TABLE sales.children OWNER TO clerk;
ALTER TABLE sales.parents ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON sales.parents TO auditor USING (id > 0);
SELECT lo_from_bytea(4711, 'a large object'::bytea);
"""
# The same questions to the original and to what came back.
QUESTIONS = (
    "SELECT * FROM sales.parents",
    "SELECT * FROM sales.children",
    "SELECT * FROM sales.orders ORDER BY id",
    "SELECT tableoid::regclass::text, count(*) FROM sales.orders GROUP BY 1 ORDER BY 1",
    "SELECT * FROM sales.totals ORDER BY at",
    "SELECT * FROM sales.cached",
    "SELECT * FROM sales.unlogged",
    "SELECT sales.twice(21)",
    "SELECT last_value, is_called FROM sales.numbers",
    "SELECT convert_from(lo_get(4711), 'UTF8')",
    "SELECT obj_description('sales.parents'::regclass)",
    "SELECT relname, relowner::regrole::text, relacl::text, relrowsecurity FROM pg_class"
    " WHERE relnamespace = 'sales'::regnamespace ORDER BY relname",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'sales'::regnamespace ORDER BY conname",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'sales' ORDER BY 1",
    "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT polname, polroles::regrole[]::text, pg_get_expr(polqual, polrelid) FROM pg_policy",
    "SELECT nspname, nspowner::regrole::text, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1",
    "SELECT extname FROM pg_extension ORDER BY 1",
)


@pytest.fixture
def rich(subject: Databases) -> Server:
    """A server with a database ``rich`` that has one of nearly everything, and data that is easy to mangle."""
    subject.server.create("rich")
    with subject.server.connect("rich") as connection:
        for statement in split(RICH):
            connection.execute(statement)
    return subject.server


def split(script: str) -> Iterator[str]:
    """The script in three: up to the transaction, the transaction, and the rest."""
    before, begin, after = script.partition("BEGIN; INSERT")
    line, newline, rest = after.partition("\n")
    yield from (before, begin + line, newline + rest)


def answers(server: Server, database: str) -> list[list[tuple[object, ...]]]:
    return [server.query(question, database) for question in QUESTIONS]


def test_everything_comes_back(rich: Server) -> None:
    adapter = PostgreSQL.from_url(rich.url())
    chunks, contents = taken(adapter, "rich")
    put_back(adapter, chunks, RestoreTarget("copy", expected=contents))
    assert answers(rich, "copy") == answers(rich, "rich")
    assert contents.rows["sales.orders_2025"] + contents.rows["sales.orders_rest"] == 400
    assert contents.roles == ("auditor", "clerk", "dbackup_admin")
    assert contents.tables == 6


def test_everything_comes_back_from_a_newer_client_too(rich: Server, tools_18: Path) -> None:
    adapter = through(rich, tools_18, None)
    chunks, contents = taken(adapter, "rich")
    put_back(adapter, chunks, RestoreTarget("copy", dumped_by=adapter.probe().tool, expected=contents))
    assert answers(rich, "copy") == answers(rich, "rich")


def test_a_newer_server_takes_an_older_dump(rich: Server, postgresql_18: Server) -> None:
    chunks, contents = taken(PostgreSQL.from_url(rich.url()), "rich")
    postgresql_18.query("CREATE ROLE clerk; CREATE ROLE auditor")
    target = RestoreTarget("copy", dumped_by=PostgreSQL.from_url(rich.url()).probe().tool, expected=contents)
    found = put_back(through(postgresql_18, rich.bin, None), chunks, target)
    assert found.rows == contents.rows


def test_a_dump_of_a_newer_client_is_refused_by_older_tools(shop: Server, tools_14: Path) -> None:
    with pytest.raises(ToolMissing, match=r"by pg_dump 15\.20 can only be read by pg_restore 15 or newer"):
        through(shop, tools_14, None).check_restore(RestoreTarget("copy", dumped_by="pg_dump 15.20"))


def test_missing_roles_are_named_before_anything_begins(rich: Server, postgresql_18: Server) -> None:
    _, contents = taken(PostgreSQL.from_url(rich.url()), "rich")
    adapter = PostgreSQL.from_url(postgresql_18.url())
    with pytest.raises(RestoreError, match="lacks roles that the backup needs: auditor, clerk") as failure:
        adapter.check_restore(RestoreTarget("copy", expected=contents))
    assert "--no-owner" in failure.value.hint
    adapter.check_restore(RestoreTarget("copy", owner=False, dumped_by="pg_dump 14.1", expected=contents))


def test_missing_roles_that_nobody_checked_end_the_restore(rich: Server, subject: Databases) -> None:
    adapter = PostgreSQL.from_url(rich.url())
    chunks, _ = taken(adapter, "rich")
    rich.query("DROP DATABASE rich")
    rich.query("DROP ROLE clerk")
    with (
        pytest.raises(RestoreError, match='role "clerk" does not exist'),
        adapter.restore(RestoreTarget("copy")) as new,
    ):
        new.load(chunks)
    assert "copy" not in subject.names()


def test_who_may_not_give_objects_to_their_owners_is_told_what_to_do(rich: Server) -> None:
    rich.query("CREATE ROLE maker LOGIN CREATEDB PASSWORD 'makes'")
    chunks, contents = taken(PostgreSQL.from_url(rich.url()), "rich")
    adapter = PostgreSQL.from_url(rich.url(None, "maker", "makes"))
    with pytest.raises(RestoreError, match="must be member of role") as refusal:
        put_back(adapter, chunks, RestoreTarget("copy", expected=contents))
    assert "--no-owner" in refusal.value.hint


def test_without_owners_everything_belongs_to_who_restores(rich: Server) -> None:
    rich.query("CREATE ROLE maker LOGIN CREATEDB PASSWORD 'makes'")
    chunks, contents = taken(PostgreSQL.from_url(rich.url()), "rich")
    adapter = PostgreSQL.from_url(rich.url(None, "maker", "makes"))
    put_back(adapter, chunks, RestoreTarget("copy", owner=False, expected=contents))
    owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'sales'::regnamespace"
    assert rich.query(owners, "copy") == [("maker",)]
    assert answers(rich, "copy")[2] == answers(rich, "rich")[2]


def test_who_may_not_create_databases_is_told_so(shop: Server) -> None:
    shop.query("CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
    with pytest.raises(RestoreError, match="the role 'clerk' may not create databases") as failure:
        PostgreSQL.from_url(shop.url(None, "clerk", "clerk")).check_restore(RestoreTarget("copy"))
    assert "CREATEDB" in failure.value.hint


def test_who_may_not_replace_the_database_is_told_so(shop: Server) -> None:
    shop.query("CREATE ROLE clerk LOGIN CREATEDB PASSWORD 'clerk'")
    with pytest.raises(RestoreError, match="not its owner"):
        PostgreSQL.from_url(shop.url(None, "clerk", "clerk")).check_restore(RestoreTarget("shop", overwrite=True))


@pytest.mark.parametrize("name", ["", "x" * 64, "ü" * 32, "nul\0"])
def test_a_name_the_server_would_cut_or_refuse_is_refused(shop: Server, name: str) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    with pytest.raises(RestoreError, match="cannot have a database named"):
        adapter.check_restore(RestoreTarget(name))


@pytest.mark.parametrize("name", ["x" * 63, "ü" * 31])
def test_the_longest_name_is_restored_and_replaced(shop: Server, subject: Databases, name: str) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, contents = taken(adapter, "shop")
    for overwrite in (False, True):
        put_back(adapter, chunks, RestoreTarget(name, overwrite=overwrite, expected=contents))
    assert len(subject.rows(name)) == 10
    assert subject.names() == {"postgres", "template0", "template1", "shop", name}


# --- replacing ---


def test_a_replaced_database_keeps_its_owner_grants_and_settings(shop: Server) -> None:
    for statement in (
        "CREATE ROLE clerk LOGIN PASSWORD 'clerk'",
        "CREATE ROLE auditor",
        "ALTER DATABASE shop OWNER TO clerk",
        "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
        "GRANT CONNECT ON DATABASE shop TO auditor WITH GRANT OPTION",
        """ALTER DATABASE shop SET search_path = "o'dd", public""",
        "ALTER DATABASE shop SET work_mem = '7MB'",
        "ALTER DATABASE shop SET my.setting = 'it''s; DROP DATABASE shop'",
        "ALTER ROLE clerk IN DATABASE shop SET statement_timeout = '3s'",
    ):
        shop.query(statement)
    facts = """
    SELECT datdba::regrole::text, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),
           (SELECT array_agg(setrole::regrole::text || setconfig::text ORDER BY setrole) FROM pg_db_role_setting
            WHERE setdatabase = d.oid)
    FROM pg_database d WHERE datname = 'shop'
    """
    before = shop.query(facts)
    adapter = PostgreSQL.from_url(shop.url())
    chunks, contents = taken(adapter, "shop")
    put_back(adapter, chunks, RestoreTarget("shop", overwrite=True, expected=contents))
    assert shop.query(facts) == before


def test_a_database_in_use_is_replaced_and_its_sessions_end(shop: Server, subject: Databases) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, contents = taken(adapter, "shop")
    shop.query("DELETE FROM things", "shop")
    user = shop.connect("shop")
    put_back(adapter, chunks, RestoreTarget("shop", overwrite=True, expected=contents))
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    assert len(subject.rows("shop")) == 10


def test_clients_that_connect_again_at_once_do_not_prevent_the_swap(shop: Server, subject: Databases) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, contents = taken(adapter, "shop")
    stop = Event()

    def insist() -> None:
        while not stop.is_set():
            try:
                with shop.connect("shop") as connection:
                    while not stop.is_set():
                        connection.execute("SELECT 1")
            except psycopg.Error:
                continue

    clients = [Thread(target=insist) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        put_back(adapter, chunks, RestoreTarget("shop", overwrite=True, expected=contents))
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert len(subject.rows("shop")) == 10
    assert subject.names() == {"postgres", "template0", "template1", "shop"}


def test_a_swap_that_fails_leaves_the_old_database_in_place(shop: Server, subject: Databases) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, _ = taken(adapter, "shop")
    shop.query("DELETE FROM things WHERE id > 3", "shop")
    with pytest.raises(DBackupError), adapter.restore(RestoreTarget("shop", overwrite=True)) as restoration:
        restoration.load(chunks)
        (beside,) = (name for name in subject.names() if "__dbackup_" in name)
        shop.query(f'DROP DATABASE "{beside}" WITH (FORCE)')
        restoration.publish()
    assert len(subject.rows("shop")) == 3
    assert subject.names() == {"postgres", "template0", "template1", "shop"}


def test_a_name_taken_meanwhile_is_not_overwritten(shop: Server, subject: Databases) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, _ = taken(adapter, "shop")
    with pytest.raises(TargetExists), adapter.restore(RestoreTarget("copy")) as restoration:
        restoration.load(chunks)
        subject.create("copy", 1)
        restoration.publish()
    assert len(subject.rows("copy")) == 1
    assert subject.names() == {"postgres", "template0", "template1", "shop", "copy"}


# --- failing ---


@pytest.mark.parametrize("newer", [False, True], ids=["directly", "through psql"])
def test_a_row_that_cannot_be_loaded_fails_the_restore(
    shop: Server, subject: Databases, tools_18: Path, newer: bool
) -> None:
    adapter = through(shop, tools_18 if newer else shop.bin, None)
    shop.query("CREATE TABLE checked (id int)", "shop")
    shop.query("INSERT INTO checked SELECT generate_series(1, 1000)", "shop")
    chunks, _ = taken(adapter, "shop")
    # The archive is uncompressed: one row of 1000 becomes what no integer is.
    damaged = b"".join(chunks).replace(b"777\n", b"7x7\n")
    restoration = adapter.restore(RestoreTarget("shop", overwrite=True))
    with pytest.raises(RestoreError, match="invalid input syntax for type integer"), restoration:
        restoration.load([damaged])
    assert len(subject.rows("shop")) == 10
    assert subject.names() == {"postgres", "template0", "template1", "shop"}


@pytest.mark.parametrize("newer", [False, True], ids=["directly", "through psql"])
@pytest.mark.parametrize("keep", [3, 3_000, 1_500_000, -30_000, -1])
def test_an_archive_cut_anywhere_changes_nothing(
    shop: Server, subject: Databases, tools_18: Path, newer: bool, keep: int
) -> None:
    adapter = through(shop, tools_18 if newer else shop.bin, None)
    chunks, contents = taken(adapter, "shop")
    whole = b"".join(chunks)
    with pytest.raises(RestoreError), adapter.restore(RestoreTarget("shop", overwrite=True)) as restoration:
        restoration.load([whole[:keep]])
        # The last bytes only close the archive: when they are missing, all rows are there, or it is noticed.
        assert restoration.contents(contents).rows == contents.rows
        raise RestoreError("complete but for its end")
    assert len(subject.rows("shop")) == 10
    assert subject.names() == {"postgres", "template0", "template1", "shop"}


@pytest.mark.parametrize("newer", [False, True], ids=["directly", "through psql"])
def test_a_source_that_fails_midway_kills_the_tools(
    shop: Server, subject: Databases, tools_18: Path, newer: bool
) -> None:
    adapter = through(shop, tools_18 if newer else shop.bin, None)
    chunks, _ = taken(adapter, "shop")
    with pytest.raises(SourceFailed), adapter.restore(RestoreTarget("shop", overwrite=True)) as restoration:
        restoration.load(broken(chunks, 3_000_000))
    assert children("pg_restore") == children("psql") == []
    assert len(subject.rows("shop")) == 10
    assert subject.names() == {"postgres", "template0", "template1", "shop"}


def test_a_killed_pg_restore_changes_nothing(shop: Server, subject: Databases) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, _ = taken(adapter, "shop")

    def killing() -> Iterator[bytes]:
        yield from chunks[:3]
        (pid,) = children("pg_restore")
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone(pid), "pg_restore is gone")
        yield from chunks[3:]

    restoration = adapter.restore(RestoreTarget("shop", overwrite=True))
    with pytest.raises(RestoreError, match="pg_restore was ended by SIGKILL"), restoration:
        restoration.load(killing())
    assert len(subject.rows("shop")) == 10
    assert subject.names() == {"postgres", "template0", "template1", "shop"}
    until(lambda: shop.sessions() == 0, "the server has no session of ours")


def test_a_pg_restore_that_claims_success_is_found_out_by_counting(shop: Server, tmp_path: Path) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, contents = taken(adapter, "shop")
    tool(tmp_path, "pg_dump", f'exec {shop.bin}/pg_dump "$@"')
    lying = through(shop, tool(tmp_path, "pg_restore", "cat >/dev/null"), None)
    with lying.restore(RestoreTarget("copy")) as restoration:
        restoration.load(chunks)
        assert restoration.contents(contents).tables == 0


# --- encodings and locales ---


@pytest.mark.parametrize(
    "options",
    ["ENCODING 'LATIN1' LOCALE 'C'", "ENCODING 'SQL_ASCII' LOCALE 'C'", "LOCALE_PROVIDER icu ICU_LOCALE 'de'"],
)
def test_the_encoding_and_the_locale_come_back(subject: Databases, options: str) -> None:
    server = subject.server
    server.query(f"CREATE DATABASE local TEMPLATE template0 {options}")
    server.query("CREATE TABLE words (word text)", "local")
    with server.connect("local", client_encoding="utf8") as connection:
        connection.execute("INSERT INTO words VALUES ('Grüße')")
    adapter = PostgreSQL.from_url(server.url())
    chunks, contents = taken(adapter, "local")
    put_back(adapter, chunks, RestoreTarget("copy", expected=contents))
    facts = "DISTINCT encoding, datlocprovider, datcollate, datctype"
    assert len(server.query(f"SELECT {facts} FROM pg_database WHERE datname IN ('local', 'copy')")) == 1
    assert server.query("SELECT word FROM words", "copy") == server.query("SELECT word FROM words", "local")


def test_a_locale_the_server_does_not_have_is_replaced(shop: Server, subject: Databases) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, contents = taken(adapter, "shop")
    whole = b"".join(chunks)
    assert b" LOCALE = 'C'" in whole
    put_back(adapter, [whole.replace(b" LOCALE = 'C'", b" LOCALE = 'X'", 1)], RestoreTarget("copy", expected=contents))
    assert subject.rows("copy") == subject.rows("shop")


def test_the_dump_is_not_disturbed_by_a_restore_of_another(shop: Server) -> None:
    adapter = PostgreSQL.from_url(shop.url())
    chunks, contents = taken(adapter, "shop")
    with adapter.dump("shop", DumpOptions()) as dump:
        first = bytes(next(dump.chunks()))
        put_back(adapter, chunks, RestoreTarget("copy", expected=contents))
    assert first.startswith(b"PGDMP")
