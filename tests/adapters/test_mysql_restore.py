"""Restores into real MariaDB and MySQL servers: everything comes back, or the old database is as it was."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pymysql
import pytest
from pymysql.constants import CR

from adapters.database.mysql import MySQL, grants, session, swap
from adapters.database.mysql.session import Connection
from core.errors import ComparisonFailed, DBackupError, DumpError, RestoreError, TargetExists
from core.manifest import Contents, ManifestFile
from core.ports import DumpOptions, RestoreTarget
from services.restores import Piece, compare_and_publish
from tests.adapters.database_contract import put_back, taken
from tests.adapters.programs import tool
from tests.adapters.test_mysql import Databases, opened
from tests.servers.mysql import Server

RICH = (
    "CREATE TABLE parents (id INT PRIMARY KEY, child INT, t VARCHAR(100))",
    "CREATE TABLE children (id INT PRIMARY KEY, parent INT NOT NULL, FOREIGN KEY (parent) REFERENCES parents (id))",
    "INSERT INTO parents VALUES (1, 1, 'a\\n),\\n(b'), (2, NULL, 'it''s \\\\'), (3, 1, '\U0001f600 ;\\n')",
    "INSERT INTO children VALUES (1, 1), (2, 3)",
    "ALTER TABLE parents ADD FOREIGN KEY (child) REFERENCES children (id)",
    "SET sql_mode = ''",
    "CREATE TABLE mixed (id INT AUTO_INCREMENT PRIMARY KEY, raw BLOB, bits BIT(9), at TIMESTAMP NULL, d DATE, "
    "e ENUM('x', 'y'), n DECIMAL(20, 5), f DOUBLE, `odd ``name``` TEXT, place POINT) AUTO_INCREMENT = 500",
    "INSERT INTO mixed (raw, bits, at, d, e, n, f, `odd ``name```, place) VALUES "
    "(X'00FF0A5C27', b'101010101', '2026-03-29 01:30:00', '0000-00-00', 'y', -1.5, 1e-300, "
    "'INSERT INTO `x` VALUES\\n(1)', "
    "ST_GeomFromText('POINT(1 2)')), (NULL, NULL, NULL, '2026-02-00', NULL, NULL, NULL, NULL, NULL)",
    "CREATE TABLE loose (id INT PRIMARY KEY, word TEXT, FULLTEXT (word)) ENGINE=MyISAM",
    "INSERT INTO loose VALUES (0, 'zero')",
    "CREATE TABLE parts (id INT, y INT) PARTITION BY RANGE (y) "
    "(PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN MAXVALUE)",
    "INSERT INTO parts VALUES (1, 5), (2, 50), (2, 50)",
    "CREATE VIEW named AS SELECT id, t, twice(id) AS two FROM parents",
    "CREATE VIEW above AS SELECT id, two FROM named WHERE id > 1",
    "CREATE TRIGGER guard BEFORE INSERT ON children FOR EACH ROW BEGIN\n"
    "INSERT INTO `parts` VALUES\n(7, 7),\n(8, 8);\nSET NEW.parent = NEW.parent; END",
    "CREATE PROCEDURE fill() BEGIN\nINSERT INTO `parts` VALUES\n(1, 1),\n(2, 2);\nEND",
    "CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND DO INSERT INTO ticks VALUES (1)",
    "CREATE TABLE ticks (id INT)",
    "ALTER TABLE parents ADD g INT AS (id * 2) STORED, ADD v VARCHAR(101) AS (CONCAT(t, '!')) VIRTUAL",
)  # fmt: skip
TWICE = "CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2"
# The same questions to the original and to what came back.
QUESTIONS = (
    "SELECT * FROM parents ORDER BY id", "SELECT * FROM children ORDER BY id", "SELECT * FROM mixed ORDER BY id",
    "SELECT * FROM loose",
    "SELECT * FROM parts PARTITION (b)", "SELECT * FROM named ORDER BY id", "SELECT * FROM above",
    "SHOW CREATE TABLE parents", "SHOW CREATE TABLE children", "SHOW CREATE TABLE mixed", "SHOW CREATE TABLE parts",
    "SHOW CREATE TRIGGER guard", "SHOW CREATE PROCEDURE fill", "SHOW CREATE FUNCTION twice", "SHOW CREATE EVENT tick",
    "SHOW CREATE VIEW above", "SELECT @@character_set_database, @@collation_database",
)  # fmt: skip


@pytest.fixture
def rich(either: Server) -> Server:
    """A server with a database ``rich`` that has one of nearly everything, and data that is easy to mangle."""
    either.run("SET GLOBAL event_scheduler = OFF")
    either.run("CREATE DATABASE rich CHARACTER SET latin2 COLLATE latin2_croatian_ci")
    either.run("ALTER DATABASE rich CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", TWICE, *RICH, database="rich")
    return either


def answers(server: Server, database: str) -> list[list[tuple[object, ...]]]:
    found = []
    with server.connect(database) as connection, connection.cursor() as cursor:
        for question in QUESTIONS:
            cursor.execute(question)
            found.append(cursor.fetchall())
    return [[tuple(field for index, field in enumerate(row) if index != 6) for row in rows] for rows in found]


def code(server: Server, database: str) -> list[list[tuple[object, ...]]]:
    """The names of all code, and the tables, of a database."""
    places = (
        ("TRIGGER_NAME", "TRIGGERS", "TRIGGER_SCHEMA"), ("TABLE_NAME", "VIEWS", "TABLE_SCHEMA"),
        ("ROUTINE_NAME", "ROUTINES", "ROUTINE_SCHEMA"), ("EVENT_NAME", "EVENTS", "EVENT_SCHEMA"),
        ("TABLE_NAME", "TABLES", "TABLE_SCHEMA"),
    )  # fmt: skip
    query = "SELECT {} FROM information_schema.{} WHERE {} = %s ORDER BY 1"
    return [server.query(query.format(*place), None, database) for place in places]


def dumped(server: Server) -> tuple[list[bytes], Contents]:
    return taken(opened(server), "rich")


def test_everything_comes_back(rich: Server) -> None:
    chunks, contents = dumped(rich)
    assert contents.rows == {
        "children": 2, "loose": 1, "mixed": 2, "parents": 3, "parts": 3, "ticks": 0,
    }  # fmt: skip
    assert contents.objects == {"views": 2, "triggers": 1, "routines": 2, "events": 1}
    found = put_back(opened(rich), chunks, RestoreTarget("copy", expected=contents))
    assert (found.rows, found.objects) == (contents.rows, contents.objects)
    assert code(rich, "copy") == code(rich, "rich")
    assert answers(rich, "copy") == answers(rich, "rich")
    assert rich.names() == {"rich", "copy"}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("triggers", rb"/\*!50003 CREATE\*/ .*?\*/;;"),
        ("routines", rb"CREATE DEFINER=\S+ PROCEDURE .*?END\s+;;"),
        ("events", rb"/\*!50106 CREATE\*/ .*?\*/ ;;"),
        ("views", rb"/\*!50001 CREATE ALGORITHM=UNDEFINED \*/\n[^;]*VIEW `above` .*?\*/;"),
    ],
)
def test_code_that_a_restore_has_lost_is_found_before_anything_is_put_in_place(
    rich: Server, kind: str, code: bytes
) -> None:
    chunks, contents = dumped(rich)
    text, cut = re.subn(code, b"SELECT 1 ;;" if kind != "views" else b"", b"".join(chunks), count=1, flags=re.DOTALL)
    assert cut == 1
    with opened(rich).restore(RestoreTarget("copy", expected=contents)) as restoration:
        restoration.load([text])
        file = ManifestFile.model_construct(database="rich", kind="database", contents=contents)
        with pytest.raises(ComparisonFailed, match=rf"\d {kind} instead of \d"):
            compare_and_publish(restoration, Piece("rich.sql", file, RestoreTarget("copy", expected=contents)))
    assert rich.names() == {"rich"}


def test_the_first_statement_that_fails_ends_the_restore_and_leaves_nothing(rich: Server) -> None:
    chunks, contents = dumped(rich)
    text = b"".join(chunks).replace(b"\nDROP TABLE IF EXISTS `parts`;", b"\nSELECT nothing_of_the_kind;")
    with (
        pytest.raises(RestoreError, match="1054"),
        opened(rich).restore(RestoreTarget("copy", expected=contents)) as restoration,
    ):
        restoration.load([text])
    assert rich.names() == {"rich"}


def test_code_of_what_is_left_out_is_not_expected_back(rich: Server) -> None:
    chunks, contents = taken(opened(rich), "rich", DumpOptions(exclude_tables=("children", "above")))
    assert contents.objects == {"views": 1, "triggers": 0, "routines": 2, "events": 1}
    assert put_back(opened(rich), chunks, RestoreTarget("copy", expected=contents)).objects == contents.objects


def test_everything_replaces_everything(rich: Server) -> None:
    chunks, contents = dumped(rich)
    before = answers(rich, "rich"), code(rich, "rich")
    rich.run(
        "DROP VIEW above", "DROP TRIGGER guard", "CREATE TABLE extra (id INT)", "DROP PROCEDURE fill",
        "CREATE PROCEDURE other() SELECT 1", "CREATE VIEW another AS SELECT 1 AS one", "DELETE FROM loose",
        "CREATE TRIGGER added AFTER INSERT ON extra FOR EACH ROW SET @x = 1",
        "ALTER DATABASE rich CHARACTER SET latin1", database="rich",
    )  # fmt: skip
    put_back(opened(rich), chunks, RestoreTarget("rich", overwrite=True, expected=contents))
    assert (answers(rich, "rich"), code(rich, "rich")) == before
    assert rich.names() == {"rich"}


MADE = (
    "CREATE TABLE made (first INT AS (JSON_LENGTH(doc)) STORED, id INT AUTO_INCREMENT PRIMARY KEY, doc JSON, raw BLOB, "
    "size DECIMAL(9, 3) GENERATED ALWAYS AS (LENGTH(raw) / 2) VIRTUAL, tidy VARCHAR(99) AS "
    "(CONCAT(doc->>'$.a', ' GENERATED ALWAYS AS (\\n)', '\n', 'ü')) STORED NOT NULL, "
    "plain ENUM('x', ' GENERATED ALWAYS AS (') COMMENT 'it''s GENERATED ALWAYS AS (', "
    "`o``d, GENERATED ALWAYS AS (` INT, KEY (tidy), KEY (size))",
    "INSERT INTO made (doc, raw, plain) VALUES ('{\"a\": \"x\\\\n),\\\\n(y\"}', X'27292C0A285C', 'x'), "
    "('{\"a\": \"it''s, \U0001f600\", \"b\": [1, 2]}', '', ' GENERATED ALWAYS AS (')",
    "INSERT INTO made (doc, raw) SELECT doc, raw FROM made",
    "CREATE TABLE large (body LONGTEXT, length INT AS (CHAR_LENGTH(body)) STORED, last VARCHAR(9) AS (RIGHT(body, 1)))",
    "INSERT INTO large (body) VALUES (REPEAT('x\\n),\\n('';', 300000)), (NULL), ('')",
    "CREATE TABLE follows (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES made (id))",
    "INSERT INTO follows VALUES (1)",
)  # fmt: skip


def test_generated_columns_of_mysql_are_computed_anew(mysql: Server) -> None:
    Databases(mysql).create("shop", 1)
    mysql.run(*MADE, database="shop")
    chunks, contents = taken(opened(mysql), "shop")
    put_back(opened(mysql), chunks, RestoreTarget("copy", expected=contents))
    put_back(opened(mysql), chunks, RestoreTarget("copy", overwrite=True, expected=contents))
    assert contents.rows == {"follows": 1, "large": 3, "made": 4, "things": 1}
    for question in ("SELECT * FROM made", "SELECT * FROM large", "SHOW CREATE TABLE made", "SHOW CREATE TABLE large"):
        assert mysql.query(question, "copy") == mysql.query(question, "shop")


def test_defaults_from_a_sequence_are_refused_and_not_dumped_in_vain(mariadb: Server) -> None:
    Databases(mariadb).create("shop", 1)
    mariadb.run(
        "CREATE SEQUENCE numbers", "CREATE TABLE drawn (id BIGINT DEFAULT nextval(numbers))",
        "CREATE TABLE odd (id BIGINT DEFAULT (1 + NEXT VALUE FOR numbers))",
        "CREATE TABLE told (word TEXT DEFAULT 'nextval(`shop`.`numbers`)', id INT DEFAULT 7)", database="shop",
    )  # fmt: skip
    with pytest.raises(DumpError, match="tables with a sequence as a column's default cannot be dumped: drawn, odd"):
        taken(opened(mariadb), "shop")
    chunks, contents = taken(opened(mariadb), "shop", DumpOptions(exclude_tables=("drawn", "odd")))
    put_back(opened(mariadb), chunks, RestoreTarget("copy", expected=contents))
    assert mariadb.query("SELECT nextval(numbers)", "copy") == [(1,)]


def test_stored_columns_that_a_restore_computes_in_utc_are_noted(either: Server) -> None:
    columns = "at TIMESTAMP NULL, `day` DATE AS (DATE(at)) STORED, shown DATE AS (DATE(at)), n INT AS (1 + 1) STORED"
    either.run("CREATE DATABASE shop", f"CREATE TABLE shop.visits ({columns})")
    _, contents = taken(opened(either), "shop")
    assert contents.notes == ("generated from a TIMESTAMP and stored, so a restore computes them in UTC: visits.day",)


def test_a_dump_is_loaded_by_hand_with_the_plain_client(rich: Server) -> None:
    chunks, _ = dumped(rich)
    rich.run("CREATE DATABASE hand CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    client = ["mariadb", "--no-defaults", f"--socket={rich.socket}", "--user=root", "hand"]
    subprocess.run(client, input=b"".join(chunks), check=True)
    assert answers(rich, "hand") == answers(rich, "rich")
    assert not b"".join(chunks).startswith(b"/*M!999999")


def test_no_event_runs_before_the_database_is_in_its_place(rich: Server) -> None:
    chunks, contents = dumped(rich)
    with opened(rich).restore(RestoreTarget("copy", expected=contents)) as restoration:
        restoration.load(iter(chunks))
        (beside,) = rich.names() - {"rich"}
        assert code(rich, beside)[3] == []
        restoration.publish()
    assert code(rich, "copy")[3] == [("tick",)]


def test_triggers_that_name_their_own_database_come_back_in_the_new_one(either: Server) -> None:
    Databases(either).create("shop", 1)
    either.run(
        "CREATE TRIGGER `shop`.`things_BEFORE_INSERT` BEFORE INSERT ON `things` FOR EACH ROW\nSET NEW.word = 'shop.x'",
        "CREATE TRIGGER shop.other after delete ON `shop` . things FOR EACH ROW SET @x = 1", database="shop",
    )  # fmt: skip
    chunks, contents = taken(opened(either), "shop")
    for target in ("copy", "shop"):
        put_back(opened(either), chunks, RestoreTarget(target, overwrite=True, expected=contents))
        assert code(either, target)[0] == [("other",), ("things_BEFORE_INSERT",)]
    either.run("DROP DATABASE shop", "INSERT INTO copy.things (word) VALUES ('y')")
    assert [word for _, word in Databases(either).rows("copy")] == ["word 1", "shop.x"]


def test_triggers_that_name_their_database_in_a_strange_way_are_refused(either: Server) -> None:
    Databases(either).create("shop", 1)
    either.run("CREATE TRIGGER\nshop.odd BEFORE INSERT ON things FOR EACH ROW SET @x = 1.5", database="shop")
    either.run("CREATE TRIGGER good BEFORE\nDELETE ON things FOR EACH ROW SET @x = 1.5", database="shop")
    with pytest.raises(DumpError, match=r"triggers that name their own database cannot be dumped: odd$"):
        taken(opened(either), "shop")


# --- failing while it is put in place ---

# Which tool fails, and at which of its calls.
READING_THE_NEW_CODE, READING_THE_OLD_CODE = ("mariadb-dump", 2), ("mariadb-dump", 3)
RUNNING_THE_NEW_CODE = ("mariadb", 2)  # the first one loads the dump


def failing(server: Server, folder: Path, program: str, call: int) -> MySQL:
    """The adapter, with tools of which one fails at its n-th call."""
    for name in ("mariadb-dump", "mariadb"):
        count = f"echo x >> {folder}/{name}.calls; [ $(wc -l < {folder}/{name}.calls) = {call} ] && exit 9; "
        script = f'[ "$1" = --version ] && exec /usr/bin/{name} --version\n{count if name == program else ""}'
        tool(folder, name, f'{script}\nexec /usr/bin/{name} "$@"')
    return opened(server, client_path=str(folder))


@pytest.mark.parametrize(
    ("target", "failure"),
    [
        ("rich", READING_THE_NEW_CODE),
        ("rich", READING_THE_OLD_CODE),
        ("rich", RUNNING_THE_NEW_CODE),
        ("copy", READING_THE_NEW_CODE),
        ("copy", RUNNING_THE_NEW_CODE),
    ],
)
def test_a_tool_that_fails_at_any_step_leaves_the_old_database_as_it_was(
    rich: Server, tmp_path: Path, target: str, failure: tuple[str, int]
) -> None:
    chunks, contents = dumped(rich)
    before = answers(rich, "rich"), code(rich, "rich")
    adapter = failing(rich, tmp_path, *failure)
    with pytest.raises(DBackupError, match="exited with 9"):
        put_back(adapter, chunks, RestoreTarget(target, overwrite=target == "rich", expected=contents))
    assert (answers(rich, "rich"), code(rich, "rich")) == before
    assert rich.names() == {"rich"}


def test_a_session_that_is_lost_in_the_middle_leaves_the_old_database_as_it_was(rich: Server, tmp_path: Path) -> None:
    chunks, contents = dumped(rich)
    before = answers(rich, "rich"), code(rich, "rich")
    kill = (
        f"echo x >> {tmp_path}/calls; [ $(wc -l < {tmp_path}/calls) = 2 ] && /usr/bin/mariadb --no-defaults -uroot "
        f"-S {rich.socket} -N -e \"SELECT CONCAT('KILL ', ID, ';') FROM information_schema.PROCESSLIST WHERE "
        f"USER = 'dbackup_admin'\" | /usr/bin/mariadb --no-defaults -uroot -S {rich.socket} && exit 9"
    )
    tool(tmp_path, "mariadb-dump", 'exec /usr/bin/mariadb-dump "$@"')
    tool(tmp_path, "mariadb", f'{kill}\nexec /usr/bin/mariadb "$@"')
    adapter = opened(rich, client_path=str(tmp_path))
    with pytest.raises(DBackupError):
        put_back(adapter, chunks, RestoreTarget("rich", overwrite=True, expected=contents))
    assert (answers(rich, "rich"), code(rich, "rich")) == before
    assert rich.names() == {"rich"}


def test_a_table_that_cannot_be_moved_leaves_the_old_database_as_it_was(rich: Server) -> None:
    chunks, contents = dumped(rich)
    before = answers(rich, "rich"), code(rich, "rich")
    with opened(rich).restore(RestoreTarget("rich", overwrite=True, expected=contents)) as restoration:
        restoration.load(iter(chunks))
        (beside,) = rich.names() - {"rich"}
        rich.run("CREATE TABLE gone (id INT) ENGINE=MyISAM", database=beside)
        data = rich.query("SELECT @@datadir")[0][0]
        Path(data, beside, "gone.MYI").unlink()
        Path(data, beside, "gone.MYD").unlink()
        with pytest.raises(RestoreError):
            restoration.publish()
    assert (answers(rich, "rich"), code(rich, "rich")) == before


def test_a_name_taken_meanwhile_is_not_overwritten(rich: Server) -> None:
    chunks, contents = dumped(rich)
    with (
        pytest.raises(TargetExists),
        opened(rich).restore(RestoreTarget("copy", expected=contents)) as restoration,
    ):
        restoration.load(iter(chunks))
        Databases(rich).create("copy", 2)
        restoration.publish()
    assert len(Databases(rich).rows("copy")) == 2
    assert rich.names() == {"rich", "copy"}


@pytest.mark.parametrize("target", ["rich", "copy"])
@pytest.mark.parametrize("broken", [True, False])
def test_a_lost_answer_to_the_rename_loses_no_table(
    rich: Server, monkeypatch: pytest.MonkeyPatch, target: str, broken: bool
) -> None:
    chunks, contents = dumped(rich)
    rich.run("INSERT INTO loose VALUES (1, 'newer than the dump')", database="rich")
    before = answers(rich, "rich"), code(rich, "rich")
    move = swap._move

    def losing(connection: Connection, moves: swap.Moves) -> None:
        monkeypatch.setattr(swap, "_move", move)
        move(connection, moves)
        if broken:
            connection._force_close()
        raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")

    monkeypatch.setattr(swap, "_move", losing)
    with pytest.raises(DBackupError):
        put_back(opened(rich), chunks, RestoreTarget(target, overwrite=target == "rich", expected=contents))
    assert (answers(rich, "rich"), code(rich, "rich")) == before
    assert rich.names() == {"rich"}


def test_a_rename_that_goes_on_after_its_client_is_gone_loses_no_table(
    rich: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks, contents = dumped(rich)
    before = answers(rich, "rich"), code(rich, "rich")
    move = swap._move

    def cut(connection: Connection, moves: swap.Moves) -> None:
        """Wait in the server for a table in use; the connection ends meanwhile, and then the table is free."""
        monkeypatch.setattr(swap, "_move", move)
        with rich.connect("rich") as user, user.cursor() as cursor:
            cursor.execute("LOCK TABLES ticks READ")
            connection._read_timeout = 1
            move(connection, moves)

    monkeypatch.setattr(swap, "_move", cut)
    with pytest.raises(DBackupError):
        put_back(opened(rich), chunks, RestoreTarget("rich", overwrite=True, expected=contents))
    assert (answers(rich, "rich"), code(rich, "rich")) == before
    assert rich.names() == {"rich"}


def test_a_table_in_use_ends_the_restore_and_keeps_its_trigger_and_all_others(
    rich: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks, contents = dumped(rich)
    rich.run("CREATE TRIGGER a_first BEFORE INSERT ON ticks FOR EACH ROW SET @x = 1", database="rich")
    rich.run("CREATE USER app", "GRANT EXECUTE ON PROCEDURE rich.fill TO app")
    before = answers(rich, "rich"), code(rich, "rich"), rich.query("SHOW GRANTS FOR app")
    monkeypatch.setattr(session, "SETTINGS", dict.fromkeys(session.SETTINGS, "SET SESSION lock_wait_timeout = 1"))
    with rich.connect("rich") as user, user.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM children")
        with pytest.raises(RestoreError, match=r"Lock wait timeout exceeded|error 1205"):
            put_back(opened(rich), chunks, RestoreTarget("rich", overwrite=True, expected=contents))
    assert (answers(rich, "rich"), code(rich, "rich"), rich.query("SHOW GRANTS FOR app")) == before
    assert rich.names() == {"rich"}


# --- who may, and whose it is ---


def test_grants_on_routines_are_kept_by_a_replacement_and_by_its_undoing(
    rich: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich.run(
        "CREATE USER `o'hara`@'10.0.0.%'", "GRANT EXECUTE ON PROCEDURE rich.fill TO `o'hara`@'10.0.0.%'",
        "GRANT EXECUTE, ALTER ROUTINE ON FUNCTION rich.twice TO `o'hara`@'10.0.0.%' WITH GRANT OPTION",
    )  # fmt: skip
    chunks, contents = dumped(rich)
    target = RestoreTarget("rich", overwrite=True, expected=contents)
    rich.run("CREATE PROCEDURE rich.extra() SELECT 1", "GRANT EXECUTE ON PROCEDURE rich.extra TO `o'hara`@'10.0.0.%'")
    before = sorted(rich.query("SHOW GRANTS FOR `o'hara`@'10.0.0.%'"))
    with monkeypatch.context() as failing:
        failing.setattr(grants, "give_again", once_failing(grants.give_again))
        with pytest.raises(RestoreError, match="error 1205"):
            put_back(opened(rich), chunks, target)
    assert sorted(rich.query("SHOW GRANTS FOR `o'hara`@'10.0.0.%'")) == before
    put_back(opened(rich), chunks, target)
    after = sorted(rich.query("SHOW GRANTS FOR `o'hara`@'10.0.0.%'"))
    assert after == [(grant,) for (grant,) in before if "extra" not in grant]


def once_failing(function: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """The function, of which the first call fails as the server does."""
    calls = iter([True])

    def called(*arguments: object) -> list[str]:
        if next(calls, False):
            raise pymysql.err.OperationalError(1205, "error 1205")
        return function(*arguments)

    return called


def test_grants_that_the_user_may_not_read_are_said_to_be_lost(mariadb: Server) -> None:
    Databases(mariadb).create("shop", 1)
    mariadb.run("CREATE USER clerk IDENTIFIED BY 'clerk'", "GRANT ALL ON `shop%`.* TO clerk")
    chunks, contents = taken(opened(mariadb), "shop")
    with opened(mariadb, user="clerk", password="clerk").restore(RestoreTarget("shop", overwrite=True)) as restoration:
        restoration.load(iter(chunks))
        assert restoration.contents(contents).rows == contents.rows
        assert restoration.publish().endswith("; grants on single routines, which the user may not read, are lost")


def test_foreign_keys_of_other_databases_are_named_before_anything_begins(rich: Server) -> None:
    rich.run("CREATE DATABASE other", "CREATE TABLE other.far (id INT, FOREIGN KEY (id) REFERENCES rich.parents (id))")
    with pytest.raises(RestoreError, match="foreign keys of other databases refer to 'rich': other"):
        opened(rich).check_restore(RestoreTarget("rich", overwrite=True))


def test_missing_definers_are_named_before_anything_begins(rich: Server) -> None:
    rich.run("CREATE USER author", "CREATE DEFINER = author PROCEDURE rich.written() SELECT 1")
    chunks, contents = dumped(rich)
    rich.run("DROP USER author")
    with pytest.raises(RestoreError, match=r"lacks users who defined .*: author@%$") as failure:
        opened(rich).check_restore(RestoreTarget("copy", expected=contents))
    assert "--no-owner" in failure.value.hint
    put_back(opened(rich), chunks, RestoreTarget("copy", owner=False, expected=contents))
    query = "SELECT DISTINCT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'copy'"
    assert rich.query(query) == [("dbackup_admin@%",)]


def test_who_may_not_create_databases_is_told_so(either: Server) -> None:
    either.run("CREATE USER clerk IDENTIFIED BY 'clerk'", "GRANT SELECT ON *.* TO clerk")
    with pytest.raises(RestoreError, match="the user 'clerk' may not create databases"):
        opened(either, user="clerk", password="clerk").check_restore(RestoreTarget("copy"))


@pytest.mark.parametrize("name", ["", "x" * 65, "nul\0", "space ", "\U0001f600", "mysql", "Information_Schema"])
def test_a_name_the_server_would_refuse_is_refused(mariadb: Server, name: str) -> None:
    with pytest.raises(RestoreError, match="cannot have a database named"):
        opened(mariadb).check_restore(RestoreTarget(name))


def test_the_longest_name_is_restored_and_replaced(rich: Server) -> None:
    chunks, contents = dumped(rich)
    for overwrite in (False, True):
        put_back(opened(rich), chunks, RestoreTarget("x" * 64, overwrite=overwrite, expected=contents))
    assert answers(rich, "x" * 64) == answers(rich, "rich")


# --- what a dump could do to the machine ---


def test_commands_of_the_client_in_a_dump_are_not_run(either: Server, tmp_path: Path) -> None:
    Databases(either).create("shop", 3)
    chunks, _ = taken(opened(either), "shop")
    mark = tmp_path / "mark"
    head, rest = b"".join(chunks).split(b"\n\n", 1)
    evil = head + f"\n\n\\! touch {mark}\nsystem touch {mark}\n".encode() + rest
    restoration = opened(either).restore(RestoreTarget("copy"))
    with pytest.raises(RestoreError), restoration:
        restoration.load(iter([evil]))
    assert not mark.exists()
    assert either.names() == {"shop"}


def test_a_dump_reads_no_file_of_this_machine(either: Server, tmp_path: Path) -> None:
    Databases(either).create("shop", 3)
    chunks, _ = taken(opened(either), "shop")
    either.run("SET GLOBAL local_infile = ON")
    (tmp_path / "secret").write_text("secret\n")
    theft = f"\nCREATE TABLE loot (x TEXT);\nLOAD DATA LOCAL INFILE '{tmp_path}/secret' INTO TABLE loot;\n-- Dump comp"
    evil = b"".join(chunks).replace(b"\n-- Dump comp", theft.encode())
    restoration = opened(either).restore(RestoreTarget("copy"))
    with pytest.raises(RestoreError, match="mariadb exited with 1"), restoration:
        restoration.load(iter([evil]))
    assert either.names() == {"shop"}


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_dump_may_come_in_pieces_of_any_size(either: Server, size: int) -> None:
    Databases(either).create("shop", 50)
    whole = b"".join(taken(opened(either), "shop")[0])
    pieces: Sequence[bytes] = [whole[start : start + size] for start in range(0, len(whole), size)]
    put_back(opened(either), pieces, RestoreTarget("copy"))
    assert Databases(either).rows("copy") == Databases(either).rows("shop")
