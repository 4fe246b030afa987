"""What is decided about PostgreSQL without a server: which URL, which client, which command."""

from __future__ import annotations

import pickle

import pytest

from adapters.database.beside import beside, in_bytes
from adapters.database.postgresql import PostgreSQL, PostgreSQLConfig
from adapters.database.postgresql.client import Client, for_dump, for_restore
from adapters.database.postgresql.dump import dump_command, globals_command
from adapters.database.postgresql.restore import NAME_BYTES, created_with, restore_command
from adapters.database.postgresql.selection import Relation, Selection
from adapters.table import index
from core.errors import ConfigurationError, ToolMissing

CONFIG = PostgreSQLConfig.from_url(
    "postgresql://me:s3cr%40t%2F@db.example:5433/a%2Fb?sslmode=verify-full&sslrootcert=/ca"
)
CLIENT = Client(15, 20, "/opt/15")
CLIENTS = [
    Client(14, 3, "/14"),
    Client(15, 2, "/15-2"),
    Client(15, 20, "/15-20"),
    Client(17, 1, "/17"),
    Client(18, 6, "/18"),
]


def test_a_url_says_it_all() -> None:
    assert (CONFIG.host, CONFIG.port, CONFIG.user, CONFIG.database) == ("db.example", 5433, "me", "a/b")
    assert CONFIG.password is not None
    assert CONFIG.password.get_secret_value() == "s3cr@t/"
    assert (CONFIG.sslmode, CONFIG.sslrootcert) == ("verify-full", "/ca")


def test_a_url_may_say_little() -> None:
    config = PostgreSQLConfig.from_url("postgres://db.example")
    assert (config.port, config.user, config.password, config.database) == (5432, None, None, None)
    assert PostgreSQLConfig.from_url("postgresql://u@/shop?host=/run/postgresql").host == "/run/postgresql"
    assert PostgreSQLConfig.from_url("postgresql://u@[::1]:7/x").host == "::1"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hidden@h/x",
        "postgresql://u:hidden@h:port/x",
        "postgresql://u:hidden@h:99999/x",
        "postgresql://u:hid#den@h/x",
        "postgresql://u:hid/den@h/x",
        "postgresql://u:hidden@h/x#fragment",
        "postgresql://u:hidden@h/x?sslmod=require",
        "postgresql://u:hidden@h/x?sslmode=hidden",
        "postgresql://u:hidden@h/x?connect_timeout=hidden",
        "postgresql://u:hidden@h/x?nonsense",
        "postgresql://u:hidden@[::1/x",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        PostgreSQL.from_url(url)
    error = pickle.loads(pickle.dumps(failure.value))
    assert error.hint
    assert "hid" not in f"{error} {error.hint} {failure.value.__cause__}"


def test_no_argument_says_who_or_where() -> None:
    commands = [
        dump_command(CONFIG, CLIENT, "a/b", "00-1", Selection()),
        globals_command(CONFIG, CLIENT, passwords=True),
        restore_command(CONFIG, CLIENT, "a/b", owner=True, direct=True),
    ]
    for command in commands:
        assert not {"me", "s3cr@t/", "db.example", "5433", "a/b"} & set(" ".join(command.argv).split())
        assert command.env["PGPASSWORD"] == "s3cr@t/"
        assert command.env["PGSSLMODE"] == "verify-full"
        assert "s3cr@t/" not in repr(command)


def test_a_dump_reads_the_given_snapshot_uncompressed() -> None:
    command = dump_command(CONFIG, CLIENT, "shop", "00-1", Selection(relations=frozenset({Relation("a", 'b"*', "r")})))
    assert command.argv == (
        "/opt/15/pg_dump", "--format=custom", "--compress=0", "--no-password", "--snapshot=00-1",
        '--exclude-table="a"."b""*"',
    )  # fmt: skip
    assert command.env["PGDATABASE"] == "shop"


def test_without_owners_grants_are_left_out_too() -> None:
    command = restore_command(CONFIG, CLIENT, "shop", owner=False, direct=True)
    assert {"--exit-on-error", "--no-owner", "--no-privileges"} <= set(command.argv)


@pytest.mark.parametrize(("server", "folder"), [(14, "/14"), (15, "/15-20"), (16, "/17"), (18, "/18"), (12, "/14")])
def test_the_nearest_client_that_is_not_older_dumps(server: int, folder: str) -> None:
    assert for_dump(CLIENTS, server).folder == folder


def test_a_server_newer_than_every_client_is_refused() -> None:
    with pytest.raises(
        ToolMissing, match=r"PostgreSQL 19 .* this machine has 14\.3, 15\.2, 15\.20, 17\.1, 18\.6"
    ) as failure:
        for_dump(CLIENTS, 19)
    assert "postgresql-client-19" in failure.value.hint


@pytest.mark.parametrize(
    ("dumped_by", "server", "folder"),
    [("pg_dump 15.20", 18, "/15-20"), ("pg_dump 16.1", 15, "/17"), ("pg_dump 18.6", 15, "/18"), ("", 15, "/15-20")],
)
def test_what_wrote_a_dump_decides_what_restores_it(dumped_by: str, server: int, folder: str) -> None:
    assert for_restore(CLIENTS, server, dumped_by).folder == folder


@pytest.mark.parametrize("name", ["shop", "x" * 63, "ü" * 31, "日" * 21])
def test_a_name_beside_another_fits_and_is_its_own(name: str) -> None:
    names = {beside(name, "dbackup", NAME_BYTES, in_bytes) for _ in range(50)}
    assert len(names) == 50
    assert all(len(one.encode()) <= NAME_BYTES and one != name for one in names)
    assert len(beside(name * 9, "dbackup", NAME_BYTES)) <= NAME_BYTES


@pytest.mark.parametrize(
    ("created", "settings"),
    [
        (b"ENCODING = 'UTF8' LOCALE = 'C'", {"ENCODING": "UTF8", "LOCALE": "C"}),
        (
            b"ENCODING = 'UTF8' LOCALE_PROVIDER = icu LOCALE = 'en_US.UTF-8' ICU_LOCALE = 'de-DE'",
            {"ENCODING": "UTF8", "LOCALE_PROVIDER": "icu", "LOCALE": "en_US.UTF-8", "ICU_LOCALE": "de-DE"},
        ),
        (b"ENCODING = 'UTF8' TABLESPACE = fast OID = 7", {"ENCODING": "UTF8"}),
    ],
)
def test_an_archive_says_how_its_database_was_created(created: bytes, settings: dict[str, str]) -> None:
    head = b"PGDMP\0\1\0CREATE DATABASE \"a = 'b'\" WITH TEMPLATE = template0 " + created + b";\n\0"
    assert created_with(head) == settings
    assert created_with(b"PGDMP and no more") == {}


def test_a_table_of_adapters_has_one_for_each_name() -> None:
    assert dict(index("engine", PostgreSQL)) == {"postgresql": PostgreSQL}
    with pytest.raises(ValueError, match="are both called 'postgresql'"):
        index("engine", PostgreSQL, PostgreSQL)
