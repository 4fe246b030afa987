"""MariaDB and MySQL, on real servers: the contract of every engine, and dumps that are proven or failed."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest

from adapters.database.mysql import MariaDB, MySQL
from adapters.database.mysql.session import connect
from core.errors import AdapterError, ConfigurationError, ConnectionError, DBackupError, DumpError, ToolMissing
from core.ports import DumpOptions, RestoreTarget
from tests.adapters.database_contract import DatabaseContract, Subject, drawn, put_back, taken
from tests.adapters.programs import argument_lists, children, gone, tool
from tests.servers.mysql import USER, Server, quoted
from tests.waiting import until

ENGINES = {"mariadb": MariaDB, "mysql": MySQL}


def opened(server: Server, database: str | None = None, client_path: str | None = None, **login: str) -> MySQL:
    """The adapter for a server, with client tools from this folder only where one is named."""
    adapter = ENGINES[server.engine]
    config = adapter.config_type.from_url(server.url(database, **login))
    return adapter(config.model_copy(update={"client_path": client_path}))


class Databases(Subject):
    things = "things"

    def __init__(self, server: Server) -> None:
        self.server = server

    def adapter(self, database: str) -> MySQL:
        return opened(self.server, database)

    def name(self, stem: str) -> str:
        return stem

    def create(self, database: str, rows: int) -> None:
        self.server.run(f"CREATE DATABASE {quoted(database)}")
        with self.server.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, word TEXT NOT NULL)")
            cursor.executemany("INSERT INTO things (word) VALUES (%s)", [(f"word {n}",) for n in range(1, rows + 1)])

    def rows(self, database: str) -> Sequence[tuple[int, str]]:
        return [(number, word) for number, word in self.server.query("SELECT * FROM things ORDER BY id", database)]

    def names(self) -> set[str]:
        return self.server.names()

    def _write(self, database: str, stop: Event, begun: Event) -> None:
        with self.server.connect(database) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO things (word) VALUES ('new'), ('new'), ('new')")
                cursor.execute("DELETE FROM things ORDER BY id LIMIT 1")
                begun.set()


class TestMariaDB(DatabaseContract):
    """The whole contract, on MariaDB."""

    @pytest.fixture
    def subject(self, mariadb: Server) -> Databases:
        return Databases(mariadb)


class TestMySQL(DatabaseContract):
    """The whole contract, on MySQL."""

    @pytest.fixture
    def subject(self, mysql: Server) -> Databases:
        return Databases(mysql)


# --- reaching the server ---


def test_a_wrong_password_is_said_and_is_permanent(either: Server) -> None:
    with pytest.raises(ConnectionError, match="refused to let 'dbackup_admin' in") as failure:
        opened(either, password="not the password").probe()
    assert failure.value.permanent
    assert "dbackup source test" in failure.value.hint


def test_a_server_that_is_down_is_worth_trying_again() -> None:
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1 cannot be reached") as failure:
        MySQL.from_url("mysql://u:p@127.0.0.1:1/shop").probe()
    assert not failure.value.permanent


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ConnectionError, match=f"{port} cannot be reached.*timed out") as failure:
            MySQL.from_url(f"mysql://u:p@127.0.0.1:{port}/shop?connect-timeout=1").probe()
    assert not failure.value.permanent


def test_a_statement_may_take_longer_than_the_connection(either: Server) -> None:
    config = opened(either).config_type.from_url(f"{either.url()}?connect-timeout=2")
    with connect(config) as connection:
        assert connection.rows("SELECT SLEEP(2.2)") == [(0,)]


def test_the_other_engine_is_named(mariadb: Server, mysql: Server) -> None:
    for server, wrong in ((mariadb, "mysql"), (mysql, "mariadb")):
        adapter = ENGINES[wrong].from_url(server.url().replace(server.engine, wrong, 1))
        with pytest.raises(ConfigurationError) as failure:
            adapter.probe()
        assert failure.value.hint.startswith(f"write {server.engine}://")


def test_a_missing_database_names_those_there_are(either: Server) -> None:
    Databases(either).create("shop", 1)
    with pytest.raises(AdapterError, match="no database named 'shoop'") as failure:
        taken(opened(either), "shoop")
    assert failure.value.hint == "there are: shop"


def test_a_unix_socket_is_a_host(either: Server) -> None:
    Databases(either).create("shop", 3)
    url = f"{either.engine}://{USER}:{either.password}@/shop?host={either.socket}"
    adapter = ENGINES[either.engine].from_url(url)
    assert adapter.describe() == f"shop on {either.socket}"
    _, contents = taken(adapter, "shop")
    assert contents.rows == {"things": 3}


def test_no_secret_is_in_any_failure(either: Server) -> None:
    urls = (either.url("nope"), either.url("x").replace(str(either.port), "1"), either.url("x", user="nobody"))
    for url in urls:
        adapter = ENGINES[either.engine].from_url(url)
        with pytest.raises(DBackupError) as failure:
            taken(adapter, adapter.default_database() or "")
        chain = [failure.value, failure.value.__cause__]
        assert not any(either.password in f"{error!r} {error} {getattr(error, 'hint', '')}" for error in chain)
    assert either.password not in repr(MySQL.from_url(either.url().replace(either.engine, "mysql", 1))._config)


@pytest.mark.parametrize("password", ["a\"b'c#d\\e", " ;[x]%@/: ", "\\n\\s\\", "tab\there", "ünï ✓"])
def test_any_password_reaches_the_tools(either: Server, password: str) -> None:
    Databases(either).create("shop", 3)
    with either.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER clerk IDENTIFIED BY %s", (password,))
        cursor.execute("GRANT ALL ON *.* TO clerk")
    _, contents = taken(opened(either, user="clerk", password=password), "shop")
    assert contents.rows == {"things": 3}


def test_a_server_without_tls_is_refused_when_tls_is_required(mariadb: Server) -> None:
    for query in (
        "ssl-mode=REQUIRED",
        f"ssl-mode=verify-identity&ssl-ca={ssl.get_default_verify_paths().openssl_cafile}",
    ):
        with pytest.raises(ConnectionError, match=r"SSL|TLS"):
            MariaDB.from_url(mariadb.url() + f"?{query}").probe()


@pytest.fixture
def certain(mysql: Server) -> tuple[Server, str]:
    """A server with a user who may log in by TLS only, and the file of its certificate authority."""
    Databases(mysql).create("shop", 3)
    mysql.run("CREATE USER clerk IDENTIFIED BY 'clerk' REQUIRE SSL", "GRANT ALL ON *.* TO clerk")
    return mysql, f"{mysql.query('SELECT @@datadir')[0][0]}ca.pem"


def test_dumps_and_restores_go_through_tls(certain: tuple[Server, str]) -> None:
    server, _ = certain
    for query in ("", "?ssl-mode=REQUIRED"):
        adapter = MySQL.from_url(server.url("shop", "clerk", "clerk") + query)
        chunks, contents = taken(adapter, "shop")
        put_back(adapter, chunks, RestoreTarget("copy", overwrite=bool(query), expected=contents))
    assert len(Databases(server).rows("copy")) == 3


@pytest.mark.parametrize(
    "query", ["ssl-mode=verify-identity&ssl-ca={authority}", "ssl-mode=verify-identity&ssl-ca={other}"]
)
def test_a_certificate_that_does_not_hold_is_refused(certain: tuple[Server, str], query: str) -> None:
    server, authority = certain
    other = authority.replace("ca.pem", "client-cert.pem")
    options = query.format(authority=authority, other=other)
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        MySQL.from_url(f"{server.url('shop', 'clerk', 'clerk')}?{options}").probe()


def test_verifying_without_an_authority_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="verify-identity needs ssl-ca"):
        MySQL.from_url("mysql://u:p@host/shop?ssl-mode=verify-identity")


@pytest.mark.parametrize("mode", ["verify-ca", "VERIFY_CA"])
def test_a_mode_that_the_tools_would_not_keep_is_refused(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="verify-ca cannot be kept by the client tools, write verify-identity"):
        MySQL.from_url(f"mysql://u:p@host/shop?ssl-mode={mode}&ssl-ca=/ca.pem")


def test_the_tools_go_on_in_no_clear_text_where_the_server_must_prove_itself(mariadb: Server, tmp_path: Path) -> None:
    config = MariaDB.config_type.from_url(
        f"{mariadb.url()}?ssl-mode=verify-identity&ssl-ca={ssl.get_default_verify_paths().openssl_cafile}"
    )
    file = tmp_path / "client.cnf"
    file.write_text(config.options_file(tls=True))
    said = subprocess.run(
        ["mariadb", f"--defaults-file={file}", "-e", "SELECT 1"], check=False, capture_output=True, text=True
    )
    assert said.returncode
    assert "SSL is required, but the server does not support it" in said.stderr


@pytest.mark.parametrize("query", ["ssl-mode=maybe", "nonsense=1", "port=0"])
def test_an_option_that_cannot_be_used_is_refused(query: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        MySQL.from_url(f"mysql://u:secret@host/shop?{query}")


# --- which client ---


def version_of(folder: Path, text: str) -> str:
    return tool(folder, "mariadb-dump", f"echo '{text}'")


def test_a_missing_client_is_said_before_anything_begins(either: Server, tmp_path: Path) -> None:
    Databases(either).create("shop", 1)
    with pytest.raises(ToolMissing, match="no client at all") as failure:
        taken(opened(either, client_path=str(tmp_path)), "shop")
    assert failure.value.hint == "install it: apt-get install mariadb-client"


def test_a_client_older_than_the_server_is_refused(mariadb: Server, tmp_path: Path) -> None:
    old = version_of(tmp_path, "mysqldump  Ver 10.17 Distrib 10.3.39-MariaDB, for debian-linux-gnu (x86_64)")
    with pytest.raises(ToolMissing, match=r"mariadb-dump 10\.11 or newer, but this machine has mariadb-dump 10\.3\.39"):
        opened(mariadb, client_path=old).probe()


def test_the_way_a_newer_client_says_its_version_is_understood(mariadb: Server, tmp_path: Path) -> None:
    new = version_of(tmp_path, "mariadb-dump from 11.8.2-MariaDB, client 10.19 for debian-linux-gnu (x86_64)")
    assert opened(mariadb, client_path=new).probe().tool == "mariadb-dump 11.8.2"


@pytest.mark.parametrize(
    "text",
    [
        "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
        "mysqldump  Ver 10.13 Distrib 5.7.29, for Linux (x86_64)",
    ],
)
def test_oracle_s_client_is_refused_by_name(either: Server, tmp_path: Path, text: str) -> None:
    folder = tool(tmp_path, "mysqldump", f"echo '{text}'")
    with pytest.raises(ToolMissing, match="this machine has mysqldump "):
        opened(either, client_path=folder).probe()


# --- a dump is proven or it failed ---


@pytest.fixture
def shop(either: Server) -> Server:
    """A server with a database ``shop``, one of whose tables is larger than every pipe and buffer on the way."""
    Databases(either).create("shop", 10)
    with either.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE large (id INT PRIMARY KEY, body LONGTEXT)")
        cursor.executemany("INSERT INTO large VALUES (%s, %s)", [(n, "x" * 4000) for n in range(1100)])
    return either


def dumping_then(server: Server, folder: Path, script: str) -> MySQL:
    """The adapter, with a mariadb-dump that gives its version as the real one does and then runs the script."""
    script = f'[ "$1" = --version ] && exec /usr/bin/mariadb-dump --version\n{script}'
    return opened(server, client_path=tool(folder, "mariadb-dump", script))


def sessions(server: Server) -> int:
    """How many sessions of ours and of the tools there are, beside the one that asks."""
    return len(server.query("SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = %s", None, USER)) - 1


def test_a_dump_is_of_one_moment_whatever_is_written_meanwhile(shop: Server) -> None:
    shop.run(
        "CREATE TABLE aa (body LONGTEXT)",
        *["INSERT INTO aa VALUES (REPEAT('x', 1000000))"] * 8,
        "CREATE TABLE zz (id INT)",
        "INSERT INTO zz VALUES (1)",
        database="shop",
    )
    with opened(shop).dump("shop", DumpOptions(tables=("aa", "zz"))) as dump:
        chunks = drawn(dump)
        next(chunks)
        shop.run("INSERT INTO zz VALUES (2)", "DELETE FROM aa", database="shop")
        assert sum(map(len, chunks)) > 0
        contents = dump.contents()
    assert contents.rows == {"aa": 8, "zz": 1}


def test_a_killed_dump_tool_is_no_success_and_leaves_no_session(shop: Server) -> None:
    with opened(shop).dump("shop", DumpOptions()) as dump:
        chunks = dump.chunks()
        next(chunks)
        os.kill(children("mariadb-dump")[0], signal.SIGKILL)
        with pytest.raises(DumpError, match="mariadb-dump was ended by SIGKILL"):
            list(chunks)
    until(lambda: sessions(shop) == 0, "the server has no session of ours")


def test_a_session_ended_by_the_server_is_no_success(shop: Server) -> None:
    with opened(shop).dump("shop", DumpOptions()) as dump:
        chunks = dump.chunks()
        next(chunks)
        query = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s AND ID <> CONNECTION_ID()"
        for (number,) in shop.query(query, None, USER):
            shop.run(f"KILL {number}")
        with pytest.raises(DumpError, match="mariadb-dump exited with"):
            list(chunks)


def test_exiting_with_1_after_the_whole_output_is_no_success(shop: Server, tmp_path: Path) -> None:
    adapter = dumping_then(shop, tmp_path, '/usr/bin/mariadb-dump "$@"; echo "mariadb-dump: Error: late" >&2; exit 1')
    with pytest.raises(DumpError, match="mariadb-dump exited with 1: mariadb-dump: Error: late"):
        taken(adapter, "shop")


@pytest.mark.parametrize(
    "script",
    ["exit 0", "echo 'Welcome to MariaDB'", '/usr/bin/mariadb-dump "$@" | head -c 2000000',
     '/usr/bin/mariadb-dump "$@" | head -n -1', 'echo "-- Dump completed"; /usr/bin/mariadb-dump "$@" | head -n 99'],
)  # fmt: skip
def test_exiting_with_0_and_no_last_line_is_no_success(shop: Server, tmp_path: Path, script: str) -> None:
    with pytest.raises(DumpError, match="ends before its last line"):
        taken(dumping_then(shop, tmp_path, script), "shop")


def test_a_dump_left_midway_leaves_no_process_no_session_and_no_file(shop: Server, tmp_path: Path) -> None:
    with opened(shop).dump("shop", DumpOptions(scratch=tmp_path)) as dump:
        next(dump.chunks())
        (pid,) = children("mariadb-dump")
        (file,) = tmp_path.glob("*/client.cnf")
        assert file.stat().st_mode & 0o777 == 0o600
    assert gone(pid)
    assert list(tmp_path.iterdir()) == []
    until(lambda: sessions(shop) == 0, "the server has no session of ours")


def test_the_arguments_of_a_dump_show_neither_password_nor_user(shop: Server) -> None:
    with opened(shop).dump("shop", DumpOptions()) as dump:
        next(dump.chunks())
        lists = argument_lists()
        (pid,) = children("mariadb-dump")
        environment = Path(f"/proc/{pid}/environ").read_text()
    assert "mariadb-dump" in lists
    assert not [secret for secret in (shop.password, USER) if secret in lists + environment]


# --- what a user may not see is no silent hole ---


def granted(server: Server, *grants: str) -> MySQL:
    """The adapter of a user with these rights and no others."""
    server.run("CREATE USER reader IDENTIFIED BY 'reads'", *(f"GRANT {grant} TO reader" for grant in grants))
    return opened(server, user="reader", password="reads")


def test_the_rights_that_the_page_names_are_enough_for_everything(shop: Server) -> None:
    adapter = granted(shop, "SELECT, SHOW VIEW, TRIGGER, EVENT ON *.*")
    assert [info.name for info in adapter.databases()] == ["shop"]
    _, contents = taken(adapter, "shop")
    assert contents.rows == {"large": 1100, "things": 10}
    assert contents.notes == ()


def test_no_right_to_one_table_fails_the_dump(shop: Server) -> None:
    with pytest.raises(DumpError, match="could have holes: it has no SELECT"):
        taken(granted(shop, "SELECT ON shop.things", "SHOW VIEW, TRIGGER, EVENT ON shop.*"), "shop")


@pytest.mark.parametrize("missing", ["SHOW VIEW", "TRIGGER", "EVENT"])
@pytest.mark.parametrize("where", ["shop.*", "*.*"])
def test_no_right_to_see_all_code_fails_the_dump(shop: Server, missing: str, where: str) -> None:
    rights = [right for right in ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT") if right != missing]
    with pytest.raises(DumpError, match=f"it has no {missing}") as failure:
        taken(granted(shop, f"{', '.join(rights)} ON {where}"), "shop")
    assert "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `shop`.*" in failure.value.hint


def test_routines_that_may_be_hidden_are_noted(shop: Server) -> None:
    _, contents = taken(granted(shop, "SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.*"), "shop")
    assert "routines that the user may not see" in contents.notes[0]


def test_tables_without_transactions_are_noted(shop: Server) -> None:
    shop.run("CREATE TABLE loose (id INT) ENGINE=MyISAM", "INSERT INTO loose VALUES (1)", database="shop")
    _, contents = taken(opened(shop), "shop")
    assert contents.notes == ("not consistent: tables without transactions, read one after the other: loose (MyISAM)",)


# --- filters ---


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (DumpOptions(tables=("things",)), {"things"}),
        (DumpOptions(tables=("o'd.d `x`", "things")), {"o'd.d `x`", "things"}),
        (DumpOptions(exclude_tables=("large", "seen")), {"things", "o'd.d `x`"}),
        (DumpOptions(tables=("things", "large"), exclude_tables=("large",)), {"things"}),
    ],
)
def test_a_filtered_dump_holds_what_was_named_and_restores_by_itself(
    shop: Server, options: DumpOptions, kept: set[str]
) -> None:
    shop.run("CREATE TABLE `o'd.d ``x``` (id INT)", "CREATE VIEW seen AS SELECT * FROM large", database="shop")
    adapter = opened(shop)
    chunks, contents = taken(adapter, "shop", options)
    found = put_back(adapter, chunks, RestoreTarget("copy", expected=contents))
    assert set(contents.rows) == kept == set(found.rows)
    assert contents.notes == ("filters of the job left a part of the database out",)


@pytest.mark.parametrize("options", [DumpOptions(tables=("thing",)), DumpOptions(exclude_tables=("t%",))])
def test_a_filter_that_names_nothing_is_an_error(shop: Server, options: DumpOptions) -> None:
    with pytest.raises(ConfigurationError, match="the database has no table"):
        taken(opened(shop), "shop", options)


@pytest.mark.parametrize("options", [DumpOptions(schemas=("shop",)), DumpOptions(exclude_schemas=("shop",))])
def test_schemas_are_refused(shop: Server, options: DumpOptions) -> None:
    with pytest.raises(ConfigurationError, match="no schemas"):
        taken(opened(shop), "shop", options)


# --- what belongs to the server ---


def globals_of(adapter: MySQL) -> tuple[str, tuple[str, ...]]:
    with adapter.dump_globals() as dump:
        return b"".join(drawn(dump)).decode(), dump.contents().notes


def replay(server: Server, script: str) -> None:
    """What a person does with the file on a new server, as root."""
    root = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root"]
    subprocess.run(root, input=script, text=True, check=True)


def test_globals_bring_users_and_grants_back(either: Server) -> None:
    either.run(
        "CREATE USER 'o''dd'@'10.0.0.%' IDENTIFIED BY 'one'", "CREATE USER clerk IDENTIFIED BY 'two'",
        "CREATE DATABASE shop", "GRANT SELECT ON shop.* TO clerk WITH GRANT OPTION",
        "GRANT EVENT ON *.* TO 'o''dd'@'10.0.0.%'",
    )  # fmt: skip
    script, notes = globals_of(opened(either))
    either.run("DROP USER clerk, 'o''dd'@'10.0.0.%'")
    replay(either, script)
    assert notes == ()
    assert "mysql.sys" not in script
    assert "mariadb.sys" not in script
    assert opened(either, user="clerk", password="two").databases()[0].name == "shop"
    assert "GRANT EVENT" in str(either.query("SHOW GRANTS FOR 'o''dd'@'10.0.0.%'"))


def test_globals_bring_roles_back(mariadb: Server) -> None:
    mariadb.run("CREATE ROLE auditor", "GRANT SELECT ON *.* TO auditor", "CREATE USER clerk", "GRANT auditor TO clerk")
    script, _ = globals_of(opened(mariadb))
    mariadb.run("DROP USER clerk", "DROP ROLE auditor")
    replay(mariadb, script)
    assert "auditor" in str(mariadb.query("SHOW GRANTS FOR clerk"))


def test_users_that_may_not_be_read_are_noted(shop: Server) -> None:
    script, notes = globals_of(granted(shop, "SELECT ON shop.*"))
    assert "may not read the server's users" in notes[0]
    assert notes[0] in script
