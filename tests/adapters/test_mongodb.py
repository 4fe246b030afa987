"""MongoDB: the contract of every engine, and dumps that are proven or failed, with MongoDB's own tools."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import bson
import gridfs
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import WriteError

from adapters.database.mongodb import MongoDB, MongoDBConfig
from adapters.database.mongodb.archive import MAGIC, Archive
from adapters.host import LocalHost
from core.errors import (
    AdapterError,
    ConfigurationError,
    ConnectionError,
    DBackupError,
    DumpError,
    RestoreError,
    TargetExists,
    ToolMissing,
)
from core.manifest import Contents
from core.ports import Command, DumpOptions, RestoreTarget
from core.streams import Chunks
from tests.adapters.database_contract import DatabaseContract, Subject, drawn, put_back, taken
from tests.adapters.programs import argument_lists, children, gone
from tests.servers.mongodb import USER, Server
from tests.waiting import until

REPLACEMENTS = str.maketrans(dict.fromkeys('/\\. "$', "_"))  # what no name of a database may hold


class Databases(Subject):
    things = "things"

    def __init__(self, server: Server) -> None:
        self.server = server

    def adapter(self, database: str) -> MongoDB:
        return MongoDB.from_url(self.server.url(database))

    def name(self, stem: str) -> str:
        return stem.translate(REPLACEMENTS)

    def create(self, database: str, rows: int) -> None:
        with self.server.client() as client:
            client[database].things.insert_many([{"_id": n, "word": f"word {n}"} for n in range(1, rows + 1)])

    def rows(self, database: str) -> Sequence[tuple[int, str]]:
        with self.server.client() as client:
            return [(one["_id"], one["word"]) for one in client[database].things.find().sort("_id")]

    def names(self) -> set[str]:
        return self.server.names()

    def _write(self, database: str, stop: Event, begun: Event) -> None:
        with self.server.client() as client:
            number = 1_000_000
            while not stop.is_set():
                client[database].things.insert_many([{"_id": number + n, "word": "new"} for n in range(3)])
                client[database].things.delete_one({"_id": number})
                number += 3
                begun.set()


@pytest.fixture
def subject(mongodb: Server) -> Databases:
    return Databases(mongodb)


class TestMongoDB(DatabaseContract):
    """The whole contract."""


# --- reaching the server ---


def test_a_wrong_password_is_said_and_is_permanent(mongodb_with_users: Server) -> None:
    with pytest.raises(ConnectionError, match="refused to let 'dbackup_admin' in") as failure:
        MongoDB.from_url(mongodb_with_users.url(password="not the password")).probe()
    assert failure.value.permanent
    assert "authSource" in failure.value.hint


def test_a_server_that_is_down_is_worth_trying_again(mongodb_tools: Path) -> None:
    url = f"mongodb://u:hidden-secret@127.0.0.1:1/?serverSelectionTimeoutMS=300&client_path={mongodb_tools}"
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1 cannot be reached: .*refused") as failure:
        MongoDB.from_url(url).probe()
    assert not failure.value.permanent
    assert "hidden-secret" not in f"{failure.value!r} {failure.value.hint} {failure.value.__cause__!r}"


@pytest.mark.parametrize("wrong", ["mongodb://127.0.0.1:99999", "mongodb://127.0.0.1/?tls=true&tlsCAFile=/nowhere.pem"])
def test_an_address_that_the_driver_refuses_is_a_matter_of_configuration(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be reached this way") as failure:
        MongoDB.from_url(wrong).probe()
    assert failure.value.hint


def test_a_server_without_tls_is_no_connection_when_tls_is_required(mongodb: Server) -> None:
    with pytest.raises(ConnectionError):
        MongoDB.from_url(mongodb.url(more="&tls=true")).probe()


def test_a_missing_database_names_those_there_are(subject: Databases) -> None:
    subject.create("shop", 1)
    with pytest.raises(AdapterError, match="no database named 'shoop'") as failure:
        taken(subject.adapter("shop"), "shoop")
    assert failure.value.hint == "there are: shop"


def test_missing_tools_are_said_before_anything_begins(subject: Databases, tmp_path: Path) -> None:
    subject.create("shop", 1)
    with pytest.raises(ToolMissing, match="mongodump and mongorestore cannot be found") as failure:
        taken(with_tools(subject.server, tmp_path), "shop")
    assert "mongodb-database-tools" in failure.value.hint


def test_who_may_not_read_a_database_is_told_so(mongodb_with_users: Server) -> None:
    with mongodb_with_users.client() as client:
        client.secrets.things.insert_one({"_id": 1})
    adapter = MongoDB.from_url(mongodb_with_users.url(user="reader"))
    with pytest.raises(DBackupError) as failure:
        taken(adapter, "secrets")
    assert failure.value.permanent
    assert failure.value.hint


def test_who_may_only_read_one_database_can_back_it_up(mongodb_with_users: Server) -> None:
    with mongodb_with_users.client() as client:
        client.shop.readable.insert_one({"_id": 1})
    _, contents = taken(MongoDB.from_url(mongodb_with_users.url("shop", user="reader")), "shop")
    assert contents.rows["readable"] == 1


def test_all_databases_are_all_but_the_server_s_own(subject: Databases) -> None:
    subject.create("shop", 3)
    infos = {info.name: info for info in subject.adapter("shop").databases()}
    assert set(infos) == {"shop"}
    assert infos["shop"].tables == 1
    assert (infos["shop"].size or 0) > 0


def test_a_server_with_tls_is_read_and_written_with_its_authority_only(mongodb_with_tls: Server) -> None:
    server = mongodb_with_tls
    with server.client() as client:
        client.shop.things.insert_many([{"_id": 1, "word": "one"}])
    adapter = MongoDB.from_url(server.url("shop", more=server.tls_options))
    chunks, contents = taken(adapter, "shop")
    assert put_back(adapter, chunks, RestoreTarget("copy", expected=contents)).rows == {"things": 1}
    with pytest.raises(ConnectionError, match="certificate"):
        MongoDB.from_url(server.url("shop", more="&tls=true")).probe()


# --- a dump is proven or it failed ---


def with_tools(server: Server, folder: Path) -> MongoDB:
    """The adapter, with the tools of this folder only."""
    config = MongoDBConfig.from_url(server.url("shop"))
    return MongoDB(config.model_copy(update={"client_path": str(folder)}))


def with_tool(server: Server, folder: Path, name: str, script: str) -> MongoDB:
    """The adapter, with one tool that gives its version as the real one does and then runs the script."""
    for tool in ("mongodump", "mongorestore"):
        real = server.tools / tool
        body = f'[ "$1" = --version ] && exec {real} --version\n{script}' if tool == name else f'exec {real} "$@"'
        (folder / tool).write_text(f"#!/bin/sh\n{body}\n")
        (folder / tool).chmod(0o755)
    return with_tools(server, folder)


@pytest.fixture
def shop(subject: Databases) -> Server:
    """A server with a database ``shop``, which is larger than every pipe and buffer on the way."""
    subject.create("shop", 10)
    with subject.server.client() as client:
        client.shop.large.insert_many([{"_id": n, "body": secrets.token_bytes(500_000)} for n in range(40)])
    return subject.server


def test_a_killed_mongodump_is_no_success(shop: Server) -> None:
    with MongoDB.from_url(shop.url("shop")).dump("shop", DumpOptions()) as dump:
        chunks = dump.chunks()
        next(chunks)
        os.kill(children("mongodump")[0], signal.SIGKILL)
        with pytest.raises(DumpError, match="mongodump was ended by SIGKILL"):
            list(chunks)


def test_a_dump_left_midway_leaves_no_process(shop: Server) -> None:
    with MongoDB.from_url(shop.url("shop")).dump("shop", DumpOptions()) as dump:
        next(dump.chunks())
        (pid,) = children("mongodump")
    assert gone(pid)


def test_exiting_with_1_after_the_whole_output_is_no_success(shop: Server, tmp_path: Path) -> None:
    script = f'{shop.tools}/mongodump "$@" 2>/dev/null; echo "Failed: late" >&2; exit 1'
    with pytest.raises(DumpError, match="mongodump exited with 1: Failed: late"):
        taken(with_tool(shop, tmp_path, "mongodump", script), "shop")


@pytest.mark.parametrize("size", [0, 3, 30, 400, 1_000_000, -500, -100, -4, -1])
def test_exiting_with_0_after_truncated_output_is_no_success(shop: Server, tmp_path: Path, size: int) -> None:
    script = f'{shop.tools}/mongodump "$@" 2>/dev/null | head -c {size}; exit 0'
    with pytest.raises(DumpError, match="no complete archive"):
        taken(with_tool(shop, tmp_path, "mongodump", script), "shop")


def test_an_archive_that_ends_between_two_collections_is_no_success(subject: Databases) -> None:
    subject.create("shop", 10)
    with subject.server.client() as client:
        client.shop.others.insert_one({"_id": 1})
    chunks, _ = taken(subject.adapter("shop"), "shop")
    whole = b"".join(chunks)
    ends = [place + 4 for place in range(len(whole)) if whole.startswith(b"\xff\xff\xff\xff", place)]
    assert len(ends) >= 5  # the prelude's, and two for each collection
    for end in ends[:-1]:
        with pytest.raises(DumpError, match="ends before it is complete"):
            list(Archive(DumpError, "try again")([whole[:end]]))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 4096])
def test_the_framing_is_read_however_the_archive_is_cut_into_chunks(subject: Databases, size: int) -> None:
    subject.create("shop", 25)
    chunks, contents = taken(subject.adapter("shop"), "shop")
    whole = b"".join(chunks)
    archive = Archive(DumpError, "try again")
    passed = b"".join(bytes(one) for one in archive(whole[n : n + size] for n in range(0, len(whole), size)))
    assert passed == whole
    assert archive.contents("shop").rows == contents.rows == {"things": 25}


def test_no_byte_more_than_the_archive_is_taken(subject: Databases) -> None:
    subject.create("shop", 3)
    chunks, _ = taken(subject.adapter("shop"), "shop")
    for more in (b"x", b"\xff\xff\xff\xff", chunks[0][4:40]):
        with pytest.raises(DumpError):
            list(Archive(DumpError, "try again")([*chunks, more]))


def test_the_contents_say_that_a_database_is_not_of_one_moment(subject: Databases) -> None:
    subject.create("shop", 1)
    _, contents = taken(subject.adapter("shop"), "shop")
    assert any("not point in time" in note for note in contents.notes)


# --- what others can see ---


def test_the_arguments_show_neither_password_nor_user(mongodb_with_users: Server) -> None:
    server = mongodb_with_users
    with server.client() as client:
        client.shop.large.insert_many([{"body": secrets.token_bytes(500_000)} for _ in range(20)])
    adapter = MongoDB.from_url(server.url())
    pieces = []
    with adapter.dump("shop", DumpOptions()) as dump:
        for piece in drawn(dump):
            if not pieces:
                assert_nothing_shown(server, "mongodump")
            pieces.append(piece)

    def watched() -> Iterator[bytes]:
        for index, piece in enumerate(pieces):
            if index == 5:
                assert_nothing_shown(server, "mongorestore")
            yield piece

    with adapter.restore(RestoreTarget("copy")) as restoration:
        restoration.load(watched())


def assert_nothing_shown(server: Server, tool: str) -> None:
    (pid,) = children(tool)
    lists = argument_lists()
    environment = Path(f"/proc/{pid}/environ").read_text()
    assert tool in lists
    for secret in (server.password or "", USER):
        assert secret not in lists
        assert secret not in environment


# --- filters ---


def test_chosen_collections_are_dumped_and_no_others(shop: Server) -> None:
    adapter = MongoDB.from_url(shop.url("shop"))
    for options in (DumpOptions(tables=("things",)), DumpOptions(exclude_tables=("large",))):
        chunks, contents = taken(adapter, "shop", options)
        assert contents.rows == {"things": 10}
        assert len(contents.notes) == 2
    put_back(adapter, chunks, RestoreTarget("copy", expected=contents))
    with shop.client() as client:
        assert client["copy"].list_collection_names() == ["things"]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (DumpOptions(schemas=("public",)), ConfigurationError),
        (DumpOptions(exclude_schemas=("public",)), ConfigurationError),
        (DumpOptions(tables=("thing",)), AdapterError),
        (DumpOptions(exclude_tables=("things",)), ConfigurationError),
    ],
)
def test_a_filter_that_cannot_work_is_refused(
    subject: Databases, options: DumpOptions, kind: type[DBackupError]
) -> None:
    subject.create("shop", 1)
    with pytest.raises(kind) as failure:
        taken(subject.adapter("shop"), "shop", options)
    assert failure.value.hint


# --- giving it back ---


def test_everything_in_a_database_comes_back_equal(mongodb: Server) -> None:
    with mongodb.client() as client:
        fill(client["rich"])
        adapter = MongoDB.from_url(mongodb.url("rich"))
        chunks, contents = taken(adapter, "rich")
        found = put_back(adapter, chunks, RestoreTarget("copy", expected=contents))
        assert found.rows == contents.rows
        assert described(client["copy"]) == described(client["rich"])
        # And once more over a database that is there, which goes the other way.
        put_back(adapter, chunks, RestoreTarget("copy", overwrite=True, expected=contents))
        assert described(client["copy"]) == described(client["rich"])
        assert gridfs.GridFS(client["copy"]).find_one({"filename": "picture"}).read() == b"\0\xff" * 300_000


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_document_older_than_the_validator_of_its_collection_comes_back(mongodb: Server, overwrite: bool) -> None:
    with mongodb.client() as client:
        client.shop.people.insert_many([{"n": 1}, {"predates": "the rule"}])
        client.shop.command("collMod", "people", validator={"$jsonSchema": {"required": ["n"]}})
        with pytest.raises(WriteError):
            client.shop.people.insert_one({"obeys": "nothing"})
        adapter = MongoDB.from_url(mongodb.url("shop"))
        chunks, contents = taken(adapter, "shop")
        original = described(client["shop"])
        name = "shop" if overwrite else "copy"
        put_back(adapter, chunks, RestoreTarget(name, overwrite=overwrite, expected=contents))
        assert described(client[name]) == original


def fill(database: Database[dict[str, Any]]) -> None:
    """One of nearly everything, and data that is easy to mangle."""
    moment = datetime(2026, 3, 29, 1, 30, 0, 123000)
    database.types.insert_one(
        {
            "_id": ObjectId(),
            "text": 'ä\t"\\ 𝄞',
            "empty": "",
            "int": 1,
            "long": Int64(1),
            "double": -0.0,
            "infinite": float("inf"),
            "decimal": Decimal128("1.10"),
            "bytes": b"\0\xff",
            "uuid": Binary(b"0123456789abcdef", 4),
            "regex": Regex("^a.*", "i"),
            "timestamp": Timestamp(5, 6),
            "code": Code("function () { return 1 }"),
            "scoped": Code("x", {"x": 1}),
            "least": MinKey(),
            "most": MaxKey(),
            "nothing": None,
            "flag": True,
            "at": moment,
            "list": [1, [2, {"a": []}]],
            "nested": {"a": {"b": {}}},
        }
    )
    database.create_collection("checked", validator={"$jsonSchema": {"required": ["n"]}}, validationAction="error")
    database.checked.insert_many([{"n": n} for n in range(20)])
    database.checked.create_index([("n", -1)], unique=True, name="downwards")
    database.checked.create_index("at", expireAfterSeconds=3600)
    database.checked.create_index("m", partialFilterExpression={"m": {"$gt": 5}})
    database.create_collection("capped", capped=True, size=65536, max=10)
    database.capped.insert_many([{"n": n} for n in range(5)])
    database.create_collection("empty")
    database.command("create", "view", viewOn="checked", pipeline=[{"$match": {"n": {"$lt": 5}}}])
    database["with.dots and spaces"].insert_one({"_id": 1})
    gridfs.GridFS(database).put(b"\0\xff" * 300_000, filename="picture")


def described(database: Database[dict[str, Any]]) -> dict[str, Any]:
    """Options, indexes and the raw documents of every collection."""
    raw = database.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
    found: dict[str, Any] = {}
    for one in database.list_collections():
        name, view = one["name"], one["type"] == "view"
        indexes = (
            []
            if view
            else sorted(
                # ``ns`` names the collection once more; servers since 4.4 do not say it.
                str(sorted((key, value) for key, value in index.items() if key != "ns"))
                for index in database[name].list_indexes()
            )
        )
        documents = sorted(bytes(document.raw) for document in raw[name].find())
        found[name] = (one["type"], one["options"], indexes, documents)
    return found


def test_a_time_series_that_did_not_come_back_is_seen_by_counting(mongodb: Server) -> None:
    # This server gives out measurements where MongoDB gives buckets, so its time series cannot be restored.
    with mongodb.client() as client:
        client.shop.create_collection("series", timeseries={"timeField": "at"})
        client.shop.series.insert_many([{"at": datetime(2026, 1, day)} for day in range(1, 7)])
    chunks, contents = taken(MongoDB.from_url(mongodb.url("shop")), "shop")
    found = put_back(MongoDB.from_url(mongodb.url()), chunks, RestoreTarget("copy", expected=contents))
    assert contents.rows == {"series": 6}
    assert found.rows["series"] == 0


def framed(described: Sequence[dict[str, Any]], blocks: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> bytes:
    """An archive of the database ``shop`` as MongoDB's own servers make one: what it holds, then block by block."""
    end = b"\xff\xff\xff\xff"
    prelude = [{"version": "0.1"}, *({"db": "shop", "size": 0, "metadata": "", **one} for one in described)]
    parts = [MAGIC, *map(bson.encode, prelude), end]
    for name, documents in blocks:
        header = {"db": "shop", "collection": name, "CRC": 0}
        parts += [bson.encode({**header, "EOF": False}), *map(bson.encode, documents), end]
        parts += [bson.encode({**header, "EOF": True}), end]
    return b"".join(parts)


def test_the_buckets_of_a_time_series_are_what_is_counted() -> None:
    archive = Archive(DumpError, "try again")
    whole = framed([{"collection": "series", "type": "timeseries"}], [("system.buckets.series", [{"n": 1}, {"n": 2}])])
    assert list(archive([whole])) == [whole]
    assert archive.contents("shop") == Contents(tables=1, rows={"system.buckets.series": 2})


def test_a_collection_that_has_no_end_or_two_is_refused() -> None:
    things = {"collection": "things", "type": "collection"}
    for blocks in ([], [("others", [])], [("things", []), ("things", [{"n": 1}])]):
        with pytest.raises(DumpError):
            list(Archive(DumpError, "try again")([framed([things], blocks)]))


@pytest.mark.parametrize("keep", [3, 300, 5_000_000, -200, -4, -1])
def test_an_archive_cut_anywhere_changes_nothing(shop: Server, subject: Databases, keep: int) -> None:
    adapter = MongoDB.from_url(shop.url("shop"))
    chunks, _ = taken(adapter, "shop")
    before = subject.names()
    for target in (RestoreTarget("shop", overwrite=True), RestoreTarget("copy")):
        with pytest.raises(RestoreError), adapter.restore(target) as restoration:
            restoration.load([b"".join(chunks)[:keep]])
    assert len(subject.rows("shop")) == 10
    assert subject.names() == before


def test_a_changed_document_is_found_by_its_checksum(shop: Server, subject: Databases) -> None:
    adapter = MongoDB.from_url(shop.url("shop"))
    chunks, _ = taken(adapter, "shop")
    damaged = b"".join(chunks).replace(b"word 7", b"WORD 7", 1)
    with pytest.raises(RestoreError), adapter.restore(RestoreTarget("copy")) as restoration:
        restoration.load([damaged])
    assert "copy" not in subject.names()


def test_a_killed_mongorestore_changes_nothing(shop: Server, subject: Databases) -> None:
    adapter = MongoDB.from_url(shop.url("shop"))
    chunks, _ = taken(adapter, "shop")
    before = subject.names()

    def killing() -> Iterator[bytes]:
        yield from chunks[:5]
        (pid,) = children("mongorestore")
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone(pid), "mongorestore is gone")
        yield from chunks[5:]

    restoration = adapter.restore(RestoreTarget("shop", overwrite=True))
    with pytest.raises(RestoreError, match="mongorestore was ended by SIGKILL"), restoration:
        restoration.load(killing())
    assert len(subject.rows("shop")) == 10
    assert subject.names() == before


def test_a_mongorestore_that_claims_success_is_found_out_by_counting(subject: Databases, tmp_path: Path) -> None:
    subject.create("shop", 5)
    chunks, contents = taken(subject.adapter("shop"), "shop")
    lying = with_tool(subject.server, tmp_path, "mongorestore", "cat >/dev/null")
    with lying.restore(RestoreTarget("copy")) as restoration:
        restoration.load(chunks)
        assert restoration.contents(contents).tables == 0


@pytest.mark.parametrize("step", [2, 3], ids=["copying the old one aside", "copying the new one into its place"])
@pytest.mark.parametrize("failing", ["mongodump", "mongorestore"])
def test_a_replacement_that_fails_at_any_step_leaves_the_old_one(
    subject: Databases, tmp_path: Path, step: int, failing: str
) -> None:
    subject.create("shop", 5)
    chunks, _ = taken(subject.adapter("shop"), "shop")
    with subject.server.client() as client:
        client.shop.things.delete_many({"_id": {"$gt": 2}})
    before = subject.names()
    call = step if failing == "mongorestore" else step - 1  # the dump is no part of a restore
    script = f"""
    count=$(cat {tmp_path}/count 2>/dev/null || echo 0); count=$((count + 1)); echo $count > {tmp_path}/count
    [ $count -eq {call} ] && echo "Failed: on purpose" >&2 && exit 1
    exec {subject.server.tools}/{failing} "$@"
    """
    adapter = with_tool(subject.server, tmp_path, failing, script)
    with pytest.raises(DBackupError), adapter.restore(RestoreTarget("shop", overwrite=True)) as restoration:
        restoration.load(chunks)
        restoration.publish()
    assert subject.rows("shop") == [(1, "word 1"), (2, "word 2")]
    assert subject.names() == before


def test_an_old_one_that_cannot_be_brought_back_is_said_to_lie_whole_under_its_new_name(
    subject: Databases, tmp_path: Path
) -> None:
    subject.create("shop", 5)
    chunks, _ = taken(subject.adapter("shop"), "shop")
    script = f"""
    count=$(cat {tmp_path}/count 2>/dev/null || echo 0); count=$((count + 1)); echo $count > {tmp_path}/count
    [ $count -ge 3 ] && echo "Failed: on purpose" >&2 && exit 1
    exec {subject.server.tools}/mongorestore "$@"
    """
    adapter = with_tool(subject.server, tmp_path, "mongorestore", script)
    restoration = adapter.restore(RestoreTarget("shop", overwrite=True))
    with pytest.raises(RestoreError, match="not be brought back") as failure, restoration:
        restoration.load(chunks)
        restoration.publish()
    (away,) = (name for name in subject.names() if name.startswith("shop__old_"))
    assert f"'{away}'" in failure.value.hint
    assert len(subject.rows(away)) == 5


class Interrupted(LocalHost):
    """A host whose user presses Ctrl-C while the third program is fed: the new database on its way into place."""

    def __init__(self) -> None:
        self.fed = 0

    def feed(self, command: Command, chunks: Chunks) -> None:
        self.fed += 1
        if self.fed == 3:
            next(iter(chunks))
            raise KeyboardInterrupt
        super().feed(command, chunks)


def test_an_interruption_while_the_new_one_is_put_in_place_brings_the_old_one_back(subject: Databases) -> None:
    subject.create("shop", 5)
    subject.create("new", 9)
    chunks, _ = taken(subject.adapter("new"), "new")
    before = subject.names()
    adapter = MongoDB(MongoDBConfig.from_url(subject.server.url()), Interrupted())
    with pytest.raises(KeyboardInterrupt), adapter.restore(RestoreTarget("shop", overwrite=True)) as restoration:
        restoration.load(chunks)
        restoration.publish()
    assert len(subject.rows("shop")) == 5
    assert subject.names() == before


def test_a_name_taken_meanwhile_is_not_overwritten(subject: Databases) -> None:
    subject.create("shop", 5)
    adapter = subject.adapter("shop")
    chunks, _ = taken(adapter, "shop")
    with pytest.raises(TargetExists), adapter.restore(RestoreTarget("copy")) as restoration:
        subject.create("copy", 1)
        restoration.load(chunks)
    assert len(subject.rows("copy")) == 1


def test_a_name_that_differs_only_in_case_is_refused(subject: Databases) -> None:
    subject.create("shop", 1)
    with pytest.raises(RestoreError, match="there is a database 'shop'"):
        subject.adapter("shop").check_restore(RestoreTarget("Shop", overwrite=True))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", 'a"b', "$a", "a\\b", "x" * 64, "admin", "local"])
def test_an_impossible_name_is_refused(mongodb: Server, name: str) -> None:
    with pytest.raises(RestoreError) as failure:
        MongoDB.from_url(mongodb.url("shop")).check_restore(RestoreTarget(name))
    assert "--as" in failure.value.hint


# --- addresses ---


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("mongodb://db.example", "mongodb://db.example/?"),
        ("mongodb://a:1,b:2/shop?replicaSet=rs0", "mongodb://a:1,b:2/?replicaSet=rs0&"),
        ("mongodb://u:p%40ss@a/shop", "mongodb://u:p%40ss@a/?authSource=shop&"),
        ("mongodb://u:p@a/shop?authSource=admin", "mongodb://u:p@a/?authSource=admin&"),
        ("mongodb://%2Frun%2Fmongodb.sock/shop", "mongodb://%2Frun%2Fmongodb.sock/?"),
        ("mongodb+srv://u:p@cluster.example/shop", "mongodb+srv://u:p@cluster.example/?authSource=shop&"),
        (
            "mongodb://a/?tls=true&tlsCAFile=/etc/ca.pem&tlsCertificateKeyFile=/etc/me.pem&readPreference=secondary",
            "mongodb://a/?readPreference=secondary&tls=true&tlsCAFile=%2Fetc%2Fca.pem"
            "&tlsCertificateKeyFile=%2Fetc%2Fme.pem&",
        ),
    ],
)
def test_an_address_reaches_driver_and_tools_as_it_was_given(url: str, uri: str) -> None:
    made = MongoDBConfig.from_url(url)
    assert made.uri() == f"{uri}connectTimeoutMS=10000&serverSelectionTimeoutMS=10000"
    assert made.uri() in made.tool_file().decode()


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://",
        "mongodb://user:hidden-secret@",
        "mongodb://u:hidden-secret@a/shop?colour=red",
        "mongodb://u:hidden-secret@a/shop?tls=perhaps",
        "mongodb://u:hidden-secret@a/shop?connectTimeoutMS=0",
        "mongodb://u:hidden@secret@a/shop",
    ],
)
def test_an_address_that_cannot_work_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        MongoDBConfig.from_url(url)
    assert "hidden" not in f"{refusal.value!r} {refusal.value.hint}"


def test_no_secret_is_in_a_configuration_s_text() -> None:
    assert "hidden" not in repr(MongoDBConfig.from_url("mongodb://u:hidden-secret@a/shop"))
