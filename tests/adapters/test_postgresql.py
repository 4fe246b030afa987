"""PostgreSQL, on real servers: the contract of every engine, and dumps that are proven or failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event

import psycopg
import pytest

from adapters.database.postgresql import PostgreSQL, PostgreSQLConfig
from adapters.database.postgresql.dump import END
from core.errors import AdapterError, ConfigurationError, ConnectionError, DBackupError, DumpError, ToolMissing
from core.ports import DumpOptions, RestoreTarget
from tests.adapters.database_contract import DatabaseContract, Subject, drawn, put_back, taken
from tests.adapters.programs import argument_lists, children, gone, tool
from tests.servers.postgresql import USER, Server
from tests.waiting import until


class Databases(Subject):
    things = "public.things"

    def __init__(self, server: Server) -> None:
        self.server = server

    def adapter(self, database: str) -> PostgreSQL:
        return PostgreSQL.from_url(self.server.url(database))

    def name(self, stem: str) -> str:
        return stem

    def create(self, database: str, rows: int) -> None:
        self.server.create(database)
        with self.server.connect(database) as connection:
            connection.execute("CREATE TABLE things (id serial PRIMARY KEY, word text NOT NULL)")
            connection.execute("INSERT INTO things (word) SELECT 'word ' || n FROM generate_series(1, %s) n", [rows])

    def rows(self, database: str) -> Sequence[tuple[int, str]]:
        return [
            (number, word) for number, word in self.server.query("SELECT id, word FROM things ORDER BY id", database)
        ]

    def names(self) -> set[str]:
        return self.server.names()

    def _write(self, database: str, stop: Event, begun: Event) -> None:
        with self.server.connect(database) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO things (word) SELECT 'new' FROM generate_series(1, 3)")
                connection.execute("DELETE FROM things WHERE id = (SELECT min(id) FROM things)")
                begun.set()


@pytest.fixture
def subject(postgresql: Server) -> Databases:
    return Databases(postgresql)


@pytest.fixture
def shop(subject: Databases) -> Server:
    """A server with a database ``shop``, whose table is larger than every pipe and buffer on the way."""
    subject.create("shop", 10)
    subject.server.query("CREATE TABLE large AS SELECT n AS id, repeat(md5(n::text), 30) AS body"
                         " FROM generate_series(1, 6000) n", "shop")  # fmt: skip
    return subject.server


def through(server: Server, client_path: str | Path, database: str | None = "shop") -> PostgreSQL:
    """The adapter, with client tools from this folder only."""
    config = PostgreSQLConfig.from_url(server.url(database))
    return PostgreSQL(config.model_copy(update={"client_path": str(client_path)}))


def pg_dump_then(server: Server, folder: Path, script: str) -> PostgreSQL:
    """The adapter, with a pg_dump that gives its version as the real one does and then runs the script."""
    real = server.bin / "pg_dump"
    return through(server, tool(folder, "pg_dump", f'[ "$1" = --version ] && exec {real} --version\n{script}'))


class TestPostgreSQL(DatabaseContract):
    """The whole contract."""


# --- reaching the server ---


def test_a_wrong_password_is_said_and_is_permanent(shop: Server) -> None:
    with pytest.raises(ConnectionError, match="refused to let 'dbackup_admin' in") as failure:
        PostgreSQL.from_url(shop.url("shop", password="not the password")).probe()
    assert failure.value.permanent
    assert "dbackup source test" in failure.value.hint


def test_a_password_of_the_caller_s_environment_is_not_used(shop: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", shop.password)
    without = PostgreSQLConfig.from_url(shop.url("shop")).model_copy(update={"password": None})
    with pytest.raises(ConnectionError):
        PostgreSQL(without).probe()


def test_no_secret_is_in_any_failure(shop: Server) -> None:
    for url in (shop.url("nope"), shop.url("shop").replace(str(shop.port), "1"), shop.url("shop", user="nobody")):
        adapter = PostgreSQL.from_url(url)
        with pytest.raises(DBackupError) as failure:
            taken(adapter, adapter.default_database() or "")
        chain = [failure.value, failure.value.__cause__]
        assert not any(shop.password in f"{error!r} {error} {getattr(error, 'hint', '')}" for error in chain)
    assert shop.password not in repr(PostgreSQLConfig.from_url(shop.url("shop")))


def test_a_server_that_is_down_is_worth_trying_again() -> None:
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1 cannot be reached: .*refused") as failure:
        PostgreSQL.from_url("postgresql://u:p@127.0.0.1:1/shop").probe()
    assert not failure.value.permanent


def test_a_missing_database_names_those_there_are(shop: Server) -> None:
    with pytest.raises(AdapterError, match="no database named 'shoop'") as failure:
        taken(PostgreSQL.from_url(shop.url()), "shoop")
    assert failure.value.hint == "there are: postgres, shop"


def test_a_server_without_tls_is_refused_when_tls_is_required(shop: Server) -> None:
    with pytest.raises(ConnectionError, match="SSL"):
        PostgreSQL.from_url(shop.url("shop") + "?sslmode=require").probe()


def test_a_unix_socket_is_a_host(shop: Server) -> None:
    ((folder,),) = shop.query("SHOW unix_socket_directories")
    adapter = PostgreSQL.from_url(f"postgresql://{USER}:{shop.password}@/shop?host={folder}&port={shop.port}")
    _, contents = taken(adapter, "shop")
    assert contents.rows["public.things"] == 10


def test_templates_and_closed_databases_are_not_listed(shop: Server) -> None:
    shop.create("closed")
    shop.query("ALTER DATABASE closed ALLOW_CONNECTIONS false")
    infos = {info.name: info for info in PostgreSQL.from_url(shop.url()).databases()}
    shop.query("ALTER DATABASE closed ALLOW_CONNECTIONS true")
    assert set(infos) == {"postgres", "shop"}
    assert (infos["shop"].size or 0) > 1_000_000


# --- which client ---


def test_the_server_s_own_major_is_chosen(shop: Server) -> None:
    assert PostgreSQL.from_url(shop.url()).probe().tool.startswith(f"pg_dump {shop.major}.")


def test_a_missing_client_is_said_before_anything_begins(shop: Server, tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="no client at all") as failure:
        taken(through(shop, tmp_path), "shop")
    assert f"postgresql-client-{shop.major}" in failure.value.hint


def test_a_client_older_than_the_server_is_refused(
    shop: Server, postgresql_18: Server, tools_14: Path, subject: Databases
) -> None:
    with pytest.raises(ToolMissing, match=r"this machine has 14\.") as failure:
        taken(through(shop, tools_14), "shop")
    assert f"postgresql-client-{shop.major}" in failure.value.hint
    with pytest.raises(ToolMissing, match=r"a PostgreSQL 18 server can only be dumped by pg_dump 18 or newer"):
        taken(through(postgresql_18, shop.bin, "postgres"), "postgres")


def test_a_newer_client_dumps_an_older_server(shop: Server, tools_18: Path) -> None:
    chunks, contents = taken(through(shop, tools_18), "shop")
    assert contents.rows == {"public.things": 10, "public.large": 6000}
    assert chunks[0].startswith(b"PGDMP")


# --- a dump is proven or it failed ---


def test_a_killed_pg_dump_is_no_success_and_leaves_no_session(shop: Server) -> None:
    with PostgreSQL.from_url(shop.url()).dump("shop", DumpOptions()) as dump:
        chunks = dump.chunks()
        next(chunks)
        os.kill(children("pg_dump")[0], signal.SIGKILL)
        with pytest.raises(DumpError, match="pg_dump was ended by SIGKILL"):
            list(chunks)
    until(lambda: shop.sessions() == 0, "the server has no session of ours")


def test_a_session_ended_by_the_server_is_no_success(shop: Server) -> None:
    with PostgreSQL.from_url(shop.url()).dump("shop", DumpOptions()) as dump:
        chunks = dump.chunks()
        next(chunks)
        shop.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('pg_dump', 'dbackup')"
        )
        with pytest.raises(DBackupError):
            list(chunks)


def test_a_dump_left_midway_leaves_no_process_and_no_session(shop: Server) -> None:
    with PostgreSQL.from_url(shop.url()).dump("shop", DumpOptions()) as dump:
        next(dump.chunks())
        (pid,) = children("pg_dump")
    assert gone(pid)
    until(lambda: shop.sessions() == 0, "the server has no session of ours")


def test_counting_ends_with_the_dump_that_is_left(shop: Server) -> None:
    with shop.connect("shop", autocommit=False) as locker:
        locker.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        with PostgreSQL.from_url(shop.url()).dump("shop", DumpOptions()):
            until(lambda: waiting(shop) > 0, "the counting waits for the lock")
    until(lambda: shop.sessions() == 0, "the server has no session of ours")


def test_no_permission_on_one_table_fails_the_dump(shop: Server) -> None:
    shop.query("CREATE ROLE reader LOGIN PASSWORD 'reads'")
    shop.query("GRANT SELECT ON things, things_id_seq TO reader", "shop")
    with pytest.raises(DumpError, match="permission denied for table large"):
        taken(PostgreSQL.from_url(shop.url("shop", "reader", "reads")), "shop")


def test_rows_hidden_by_row_security_fail_the_dump(shop: Server) -> None:
    shop.query("CREATE ROLE reader LOGIN PASSWORD 'reads'")
    shop.query("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", "shop")
    shop.query("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO reader", "shop")
    shop.query("ALTER TABLE things ENABLE ROW LEVEL SECURITY", "shop")
    with pytest.raises(DumpError, match="row-level security"):
        taken(PostgreSQL.from_url(shop.url("shop", "reader", "reads")), "shop")


def test_exiting_with_1_after_the_whole_output_is_no_success(shop: Server, tmp_path: Path) -> None:
    adapter = pg_dump_then(shop, tmp_path, f'{shop.bin}/pg_dump "$@"; echo "pg_dump: error: late" >&2; exit 1')
    with pytest.raises(DumpError, match="pg_dump exited with 1: pg_dump: error: late"):
        taken(adapter, "shop")


@pytest.mark.parametrize("cut", [1, 4, 5, 1_000, 1_000_000])
def test_exiting_with_0_after_truncated_output_is_no_success(shop: Server, tmp_path: Path, cut: int) -> None:
    adapter = pg_dump_then(shop, tmp_path, f'{shop.bin}/pg_dump "$@" | head -c -{cut}; exit 0')
    with pytest.raises(DumpError, match="ends before it is complete"):
        taken(adapter, "shop")


@pytest.mark.parametrize("server", ["postgresql", "postgresql_18"])
@pytest.mark.parametrize(
    "content",
    ["", "CREATE VIEW only_a_view AS SELECT 1 AS n", "CREATE TABLE empty ()", "SELECT lo_from_bytea(0, '\\x00ff00')"],
)
def test_every_whole_archive_is_taken_for_one(server: str, content: str, request: pytest.FixtureRequest) -> None:
    running: Server = request.getfixturevalue(server)
    running.create("whole")
    if content:
        with running.connect("whole") as connection:
            connection.execute(content)
    chunks, _ = taken(through(running, running.bin, "whole"), "whole")
    assert b"".join(chunks).endswith(END)


@pytest.mark.parametrize("script", ["exit 0", "echo 'Welcome to pg_dump'"])
def test_exiting_with_0_and_no_archive_is_no_success(shop: Server, tmp_path: Path, script: str) -> None:
    with pytest.raises(DumpError, match="pg_dump"):
        taken(pg_dump_then(shop, tmp_path, script), "shop")


def test_a_limit_of_the_server_on_long_statements_does_not_end_a_dump(shop: Server) -> None:
    for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        shop.query(f"ALTER DATABASE shop SET {limit} = '400ms'")
    with shop.connect("shop", autocommit=False) as locker:
        locker.execute("SET idle_in_transaction_session_timeout = 0")
        locker.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        with PostgreSQL.from_url(shop.url()).dump("shop", DumpOptions()) as dump:
            until(lambda: waiting(shop, "1 second") == 2, "pg_dump and the counting have waited beyond the limit")
            locker.rollback()
            list(dump.chunks())
            contents = dump.contents()
    assert contents.rows["public.things"] == 10


def test_large_tables_are_estimated_and_named(shop: Server) -> None:
    _, contents = taken(PostgreSQL.from_url(shop.url()), "shop", DumpOptions(exact_rows=5_000))
    assert contents.estimated == ("public.large",)
    assert contents.rows["public.things"] == 10


# --- what others can see ---


def waiting(server: Server, least: str = "0 seconds") -> int:
    """How many sessions of a dump have waited so long for a lock."""
    query = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND application_name IN ('dbackup', 'pg_dump') AND now() - query_start >= %(least)s
    """
    return int(server.query(query, least=least)[0][0])


@pytest.fixture
def revealing(shop: Server) -> Server:
    shop.query('ALTER DATABASE shop RENAME TO "dbname=secretplace"')
    return shop


def assert_nothing_shown(server: Server, tool: str) -> None:
    lists = argument_lists()
    assert tool in lists
    for secret in (server.password, USER, "secretplace", str(server.port) + "/"):
        assert secret not in lists


def test_the_arguments_of_a_dump_show_neither_password_nor_user_nor_name(revealing: Server) -> None:
    with PostgreSQL.from_url(revealing.url()).dump("dbname=secretplace", DumpOptions()) as dump:
        next(dump.chunks())
        assert_nothing_shown(revealing, "pg_dump")


@pytest.mark.parametrize("newer", [False, True], ids=["directly", "through psql"])
def test_the_arguments_of_a_restore_show_neither_password_nor_user_nor_name(
    revealing: Server, tools_18: Path, newer: bool
) -> None:
    adapter = through(revealing, tools_18 if newer else revealing.bin, None)
    chunks, _ = taken(adapter, "dbname=secretplace")

    def watched() -> Iterator[bytes]:
        for index, chunk in enumerate(chunks):
            if index == 2:
                assert_nothing_shown(revealing, "pg_restore")
            yield chunk

    with adapter.restore(RestoreTarget("dbname=secretplace 2")) as restoration:
        restoration.load(watched())


# --- filters ---


@pytest.fixture
def mixed(subject: Databases) -> Server:
    """A database with odd names in it, and an extension in a schema of its own."""
    subject.server.create("mixed")
    with subject.server.connect("mixed") as connection:
        connection.execute("""
            CREATE SCHEMA app; CREATE SCHEMA "od.d"; CREATE SCHEMA tools; CREATE SCHEMA "a*";
            CREATE EXTENSION IF NOT EXISTS plpgsql;
            CREATE TABLE public.things (id int); INSERT INTO public.things VALUES (1);
            CREATE TABLE app.things (id int); INSERT INTO app.things VALUES (1), (2);
            CREATE TABLE app.logs (id int); INSERT INTO app.logs VALUES (1), (2), (3);
            CREATE TABLE "od.d"."q""uo.te" (id int); INSERT INTO "od.d"."q""uo.te" VALUES (1);
            CREATE TABLE "od.d"."Big" (id int);
            CREATE TABLE "a*"."t?" (id int);
            CREATE VIEW app.seen AS SELECT * FROM app.logs;
        """)
    return subject.server


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (DumpOptions(schemas=("app",)), {"app.things", "app.logs"}),
        (DumpOptions(schemas=("public",)), {"public.things"}),
        (DumpOptions(exclude_schemas=("app", "od.d")), {"public.things", '"a*"."t?"'}),
        (DumpOptions(tables=("app.things",)), {"app.things"}),
        (DumpOptions(tables=("things",)), {"app.things", "public.things"}),
        (DumpOptions(tables=("things",), exclude_schemas=("public",)), {"app.things"}),
        (DumpOptions(tables=('"od.d"."q""uo.te"',)), {'"od.d"."q""uo.te"'}),
        (DumpOptions(tables=('"od.d".Big',)), {'"od.d"."Big"'}),
        (DumpOptions(tables=('a*.t?',)), {'"a*"."t?"'}),
        (DumpOptions(schemas=("app",), exclude_tables=("app.logs", "app.seen")), {"app.things"}),
    ],
)  # fmt: skip
def test_a_filtered_dump_holds_what_was_named_and_restores_by_itself(
    mixed: Server, options: DumpOptions, kept: set[str]
) -> None:
    adapter = PostgreSQL.from_url(mixed.url())
    chunks, contents = taken(adapter, "mixed", options)
    found = put_back(adapter, chunks, RestoreTarget("copy", expected=contents))
    assert set(contents.rows) == kept
    assert found.rows == contents.rows
    assert found.tables == contents.tables
    assert contents.notes == ("filters of the job left a part of the database out",)


@pytest.mark.parametrize(
    "options", [DumpOptions(schemas=("ap",)), DumpOptions(tables=("app.thing",)), DumpOptions(tables=("app.t*",))]
)
def test_a_filter_that_names_nothing_is_an_error(mixed: Server, options: DumpOptions) -> None:
    with pytest.raises(ConfigurationError, match="the database has no"):
        taken(PostgreSQL.from_url(mixed.url()), "mixed", options)


# --- what belongs to the server ---


def globals_of(adapter: PostgreSQL) -> tuple[str, tuple[str, ...]]:
    with adapter.dump_globals() as dump:
        text = b"".join(drawn(dump)).decode()
        contents = dump.contents()
    assert contents is not None
    return text, contents.notes


def test_globals_hold_the_roles_and_their_passwords(shop: Server) -> None:
    shop.query("CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
    text, notes = globals_of(PostgreSQL.from_url(shop.url()))
    assert "CREATE ROLE clerk" in text
    assert "SCRAM-SHA-256" in text
    assert notes == ()


def test_globals_without_the_right_to_read_passwords_say_so(shop: Server) -> None:
    shop.query("CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
    text, notes = globals_of(PostgreSQL.from_url(shop.url(None, "clerk", "clerk")))
    assert "CREATE ROLE clerk" in text
    assert "SCRAM-SHA-256" not in text
    assert "without theirs" in notes[0]


def test_globals_that_end_too_early_are_no_success(shop: Server, tmp_path: Path) -> None:
    tool(tmp_path, "pg_dump", f'exec {shop.bin}/pg_dump "$@"')
    tool(tmp_path, "pg_dumpall", f'{shop.bin}/pg_dumpall "$@" | head -n 10')
    with pytest.raises(DumpError, match="before it is complete"):
        globals_of(through(shop, tmp_path))


def test_globals_can_be_run(shop: Server, postgresql_18: Server) -> None:
    shop.query("CREATE ROLE clerk LOGIN PASSWORD 'clerk'; ALTER ROLE clerk SET work_mem = '8MB'")
    text, _ = globals_of(PostgreSQL.from_url(shop.url()))
    script = "".join(line for line in text.splitlines(True) if not line.startswith("\\") and USER not in line)
    with postgresql_18.connect() as connection:
        connection.execute(script)
    with postgresql_18.connect(user="clerk", password="clerk") as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("8MB",)


# --- names are only names ---


@pytest.mark.parametrize("name", ['x"; DROP DATABASE shop; --', "{0} %s", "postgresql://evil/x"])
def test_a_name_can_do_nothing_but_name(shop: Server, subject: Databases, name: str) -> None:
    subject.create(name, 2)
    adapter = PostgreSQL.from_url(shop.url(name))
    chunks, contents = taken(adapter, name)
    put_back(adapter, chunks, RestoreTarget(name, overwrite=True, expected=contents))
    assert subject.names() == {"postgres", "template0", "template1", "shop", name}
    assert len(subject.rows(name)) == 2


def test_a_run_that_is_killed_leaves_no_dump_behind(shop: Server, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from adapters.database.postgresql import PostgreSQL\nfrom core.ports import DumpOptions\n"
        "url, ready = sys.stdin.read().splitlines()\n"
        "with PostgreSQL.from_url(url).dump('shop', DumpOptions()) as dump:\n"
        "    next(dump.chunks())\n    Path(ready).touch()\n    time.sleep(600)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert run.stdin is not None
    run.stdin.write(f"{shop.url('shop')}\n{ready}\n".encode())
    run.stdin.close()
    until(ready.exists, "the dump has begun")
    run.kill()
    run.wait()
    until(lambda: shop.sessions() == 0, "the server has no session of ours")


def test_nothing_of_psycopg_comes_out(shop: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = PostgreSQL.from_url(shop.url("shop"))
    calls: list[Callable[[], object]] = [adapter.probe, adapter.databases, lambda: taken(adapter, "shop")]

    def hang_up(*_: object, **__: object) -> None:
        raise psycopg.errors.AdminShutdown("terminating connection due to administrator command")

    monkeypatch.setattr(psycopg.Connection, "execute", hang_up)
    for call in calls:
        with pytest.raises(DBackupError):
            call()
