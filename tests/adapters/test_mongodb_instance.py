"""MongoDB: all databases of a replica set as of one moment, and one of them alone, with MongoDB's own tools."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import bson
import pytest
from bson import DatetimeMS

from adapters.database.mongodb import MongoDB
from adapters.database.mongodb.archive import MAGIC, Archive
from adapters.database.mongodb.client import Client, instance_dump_command, instance_restore_command
from adapters.database.mongodb.instance import ALONE, NO_USERS, POINT_IN_TIME, notes
from adapters.database.mongodb.oplog import Replay
from core.errors import ConnectionError, DumpError, RestoreError, TargetExists
from core.manifest import Contents
from core.ports import DumpOptions, RestoreTarget
from tests.adapters.database_contract import drawn, put_back
from tests.adapters.test_host import until
from tests.adapters.test_mongodb import with_tool
from tests.adapters.test_postgresql import children
from tests.servers.mongodb import OWN, Server

BOTH = ("ledger", "shop")
FEW = 200  # documents
MANY = 1500  # documents; with 2 KB each they are more than pipes hold, so a dump waits for whoever draws it


@dataclass(frozen=True)
class Taken:
    """A dump of everything, and what it says of a restore of all of it and of each database."""

    chunks: list[bytes]
    contents: Contents
    databases: Mapping[str, Contents]

    @property
    def together(self) -> RestoreTarget:
        return RestoreTarget("", expected=self.contents, together=BOTH)

    def alone(self, name: str, *, overwrite: bool = False) -> RestoreTarget:
        return RestoreTarget(name, overwrite=overwrite, expected=self.databases["shop"], dumped="shop")


def fill(server: Server, many: int, padding: int = 0) -> None:
    """Two databases, one with so many documents, each of so many bytes more."""
    with server.client() as client:
        client.shop.orders.insert_many([{"_id": n, "pad": "x" * padding} for n in range(many)])
        client.shop.create_collection("recent", viewOn="orders", pipeline=[{"$match": {"_id": {"$gt": 10}}}])
        client.shop.orders.create_index("paid")
        client.ledger.entries.insert_many([{"_id": n} for n in range(10)])


@pytest.fixture
def source(replica_set: Server) -> Server:
    """A server with two databases."""
    fill(replica_set, FEW)
    return replica_set


@pytest.fixture(scope="module")
def quiet(_replica_set: Server) -> Taken:
    """A dump during which nobody wrote."""
    fill(_replica_set, FEW)
    made = taken(whole(_replica_set.url()))
    _replica_set.drop_all()
    return made


@pytest.fixture(scope="module")
def busy(_replica_set: Server) -> Taken:
    """A dump that was written to while it was taken."""
    fill(_replica_set, MANY, padding=2000)
    with writing(_replica_set) as written:
        made = taken(whole(_replica_set.url()), meanwhile=written)
    _replica_set.drop_all()
    return made


def whole(url: str) -> MongoDB:
    return MongoDB.from_url(url)


def taken(adapter: MongoDB, *databases: str, meanwhile: Callable[[], None] = lambda: None) -> Taken:
    """A dump of everything; ``meanwhile`` is called when its first bytes have come."""
    dump = adapter.dump_instance(databases or BOTH)
    assert dump is not None
    with dump:
        chunks = drawn(dump)
        first = next(chunks)
        meanwhile()
        taken = [first, *chunks]
    return Taken(taken, dump.contents(), dump.databases())


@contextmanager
def writing(server: Server) -> Iterator[Callable[[], None]]:
    """Each order is written before its entry in the ledger: at no moment is there an entry without its order.

    Gives a function that waits until some more of both have been written.
    """
    stop, begun, number = Event(), Event(), MANY

    def write() -> None:
        nonlocal number
        with server.client() as client:
            while not stop.is_set():
                client.shop.orders.insert_one({"_id": number, "state": "new"})
                client.ledger.entries.insert_one({"_id": number})
                client.shop.orders.update_one({"_id": number - 1}, {"$set": {"state": "paid"}})
                client.shop.orders.delete_one({"_id": number - MANY})
                number += 1
                begun.set()

    writer = Thread(target=write)
    writer.start()
    begun.wait()

    def wait() -> None:
        goal = number + 20
        until(lambda: number > goal, "something has been written")

    try:
        yield wait
    finally:
        stop.set()
        writer.join()


def numbers(server: Server, database: str, collection: str) -> set[int]:
    with server.client() as client:
        return {one["_id"] for one in client[database][collection].find({}, {"_id": True})}


# --- of one moment ---


def test_all_databases_come_back_as_they_were_at_one_moment_of_the_dump(
    busy: Taken, mongodb_that_replays: Server
) -> None:
    assert busy.contents.estimated == ("ledger.entries", "shop.orders")
    put_back(whole(mongodb_that_replays.url()), busy.chunks, busy.together)
    orders = numbers(mongodb_that_replays, "shop", "orders")
    entries = {number for number in numbers(mongodb_that_replays, "ledger", "entries") if number >= MANY}
    last = max(orders)
    assert last > MANY
    assert {number for number in orders if number >= MANY} - entries <= {last}
    assert entries <= orders
    assert min(orders) in (last - MANY, last - MANY + 1)  # the deletions, too, up to the same moment
    with mongodb_that_replays.client() as client:
        unpaid = [one["_id"] for one in client.shop.orders.find({"state": "new"})]
    assert set(unpaid) <= {last, last - 1}


def test_what_nobody_wrote_to_is_compared_exactly(quiet: Taken, mongodb_that_replays: Server) -> None:
    found = put_back(whole(mongodb_that_replays.url()), quiet.chunks, quiet.together)
    assert "shop.orders" not in quiet.contents.estimated
    assert found.rows == quiet.contents.rows == {"ledger.entries": 10, "shop.orders": FEW}
    assert found.tables == quiet.contents.tables == 3
    with mongodb_that_replays.client() as client:
        assert "paid_1" in client.shop.orders.index_information()
        assert client.shop.recent.count_documents({}) == FEW - 11


def test_the_contents_say_what_is_of_one_moment_and_what_is_not(quiet: Taken) -> None:
    assert quiet.contents.notes == (POINT_IN_TIME, NO_USERS)
    assert {name: held.notes for name, held in quiet.databases.items()} == {"ledger": (ALONE,), "shop": (ALONE,)}
    assert quiet.databases["shop"].rows == {"orders": FEW}
    assert quiet.databases["shop"].tables == 2


# --- one database alone ---


@pytest.mark.parametrize("name", ["shop", "shop_copy*"])
def test_one_database_comes_back_alone_under_any_name_as_it_is_in_the_archive(
    busy: Taken, mongodb: Server, name: str
) -> None:
    found = put_back(whole(mongodb.url()), busy.chunks, busy.alone(name))
    expected = busy.databases["shop"]
    assert (found.tables, found.rows) == (expected.tables, expected.rows)
    assert len(numbers(mongodb, name, "orders")) == expected.rows["orders"]
    assert mongodb.names() - OWN == {name}


def test_one_database_replaces_an_old_one(quiet: Taken, source: Server) -> None:
    with source.client() as client:
        client.shop.orders.delete_many({})
    put_back(whole(source.url()), quiet.chunks, quiet.alone("shop", overwrite=True))
    assert len(numbers(source, "shop", "orders")) == FEW
    assert source.names() - OWN == set(BOTH)


def test_a_database_that_the_archive_does_not_hold_is_refused(quiet: Taken, mongodb: Server) -> None:
    with pytest.raises(RestoreError, match="0 databases instead of 'shoop'"):
        put_back(whole(mongodb.url()), quiet.chunks, RestoreTarget("shoop", dumped="shoop"))


def test_a_recorded_date_that_python_has_not_is_no_fault_of_the_archive() -> None:
    header, end = {"db": "", "collection": "oplog", "CRC": 0}, b"\xff\xff\xff\xff"
    far = {"op": "i", "ns": "shop.orders", "o": {"_id": 1, "until": DatetimeMS(1 << 60)}}
    prelude = ({"version": "0.1"}, {"db": "", "collection": "oplog", "metadata": "", "size": 0, "type": ""})
    parts = [MAGIC, *map(bson.encode, prelude), end, bson.encode({**header, "EOF": False}), bson.encode(far), end]
    archive = Archive(DumpError, "try again")
    list(archive([*parts, bson.encode({**header, "EOF": True}), end]))
    assert archive.replayed() == Contents(tables=1, rows={"shop.orders": 0}, estimated=("shop.orders",))


# --- what can go wrong ---


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_deployment_with_databases_is_refused_with_advice(source: Server, overwrite: bool) -> None:
    target = RestoreTarget("", overwrite=overwrite, together=BOTH)
    with pytest.raises(TargetExists, match=r"ledger, shop.*empty deployment") as refusal:
        whole(source.url()).check_restore(target)
    assert "--database NAME" in refusal.value.hint
    with pytest.raises(TargetExists), whole(source.url()).restore(target):
        pytest.fail("it was entered")


def test_a_server_that_cannot_replay_is_left_empty(quiet: Taken, mongodb: Server) -> None:
    with pytest.raises(RestoreError, match="applyOps"):
        put_back(whole(mongodb.url()), quiet.chunks, quiet.together)
    assert mongodb.names() <= OWN


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_archive_leaves_the_deployment_empty(quiet: Taken, mongodb: Server, share: float) -> None:
    archive = b"".join(quiet.chunks)
    with pytest.raises(RestoreError):
        put_back(whole(mongodb.url()), [archive[: int(len(archive) * share)]], quiet.together)
    assert mongodb.names() <= OWN


def test_an_archive_without_recorded_operations_is_not_restored_as_one_of_one_moment(mongodb: Server) -> None:
    with mongodb.client() as client:
        client.shop.orders.insert_one({"_id": 1})
    with whole(mongodb.url()).dump("shop", DumpOptions()) as dump:
        chunks = list(drawn(dump))
    mongodb.drop_all()
    with pytest.raises(RestoreError, match="no recorded operations"):
        put_back(whole(mongodb.url()), chunks, RestoreTarget("", together=("shop",)))
    assert mongodb.names() <= OWN


def test_somebody_else_s_new_database_survives_a_restore_that_fails(quiet: Taken, mongodb: Server) -> None:
    def broken() -> Iterator[bytes]:
        yield from quiet.chunks[:-1]
        with mongodb.client() as client:
            client.theirs.things.insert_one({"_id": 1})
        raise RestoreError("the storage hung up", hint="try again")

    restoration = whole(mongodb.url()).restore(quiet.together)
    with pytest.raises(RestoreError), restoration:
        restoration.load(broken())
    assert mongodb.names() - OWN == {"theirs"}


def test_a_database_that_is_not_in_the_archive_is_no_success(source: Server) -> None:
    with pytest.raises(DumpError, match="found nothing in 'dropped'"):
        taken(whole(source.url()), "dropped", "shop")


def test_a_killed_mongodump_of_everything_is_no_success(replica_set: Server) -> None:
    fill(replica_set, MANY, padding=2000)
    dump = whole(replica_set.url()).dump_instance(BOTH)
    assert dump is not None
    with pytest.raises(DumpError), dump:
        chunks = dump.chunks()
        next(chunks)
        for process in children("mongodump"):
            os.kill(process, signal.SIGKILL)
        list(chunks)


def test_a_mongodump_that_records_no_operations_is_found_out(source: Server, tmp_path: Path) -> None:
    script = f'exec {source.tools / "mongodump"} "$1" "$2"'  # leaves the last argument out: --oplog
    adapter = with_tool(source, tmp_path, "mongodump", script)
    with pytest.raises(DumpError, match="recorded no operations"):
        taken(adapter)


def test_who_may_not_read_the_oplog_gets_no_dump_of_everything(mongodb_with_users: Server) -> None:
    with mongodb_with_users.client() as client:
        client.shop.readable.update_one({"_id": 1}, {"$set": {"seen": True}}, upsert=True)
    assert whole(mongodb_with_users.url(user="reader")).dump_instance(["shop"]) is None
    assert whole(mongodb_with_users.url()).dump_instance(["shop"]) is not None


def test_a_server_that_is_down_is_an_error_and_not_a_server_without_an_oplog(mongodb_tools: Path) -> None:
    url = f"mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300&client_path={mongodb_tools}"
    with pytest.raises(ConnectionError):
        whole(url).dump_instance(BOTH)


def test_the_arguments_hold_no_secret() -> None:
    client = Client("100.7.0", "/usr/bin")
    assert instance_dump_command(client, "/proc/1/fd/3").argv == (
        "/usr/bin/mongodump",
        "--config=/proc/1/fd/3",
        "--archive",
        "--oplog",
    )
    assert instance_restore_command(client, "/proc/1/fd/3").argv == (
        "/usr/bin/mongorestore",
        "--config=/proc/1/fd/3",
        "--archive",
        "--stopOnError",
        "--bypassDocumentValidation",
        "--oplogReplay",
    )
    assert not instance_dump_command(client, "x").env


# --- what recorded operations change ---


def operation(kind: str, namespace: str, **description: Any) -> dict[str, Any]:
    return {"op": kind, "ns": namespace, "o": description}


DUMPED = {("shop", "orders"): 5, ("shop", "goods"): 2, ("admin", "system.users"): 1, ("", "oplog"): 3}


@pytest.mark.parametrize(
    ("operations", "tables", "rows", "estimated"),
    [
        ([], 2, {"shop.goods": 2, "shop.orders": 5}, ()),
        ([operation("n", "", msg="periodic noop")], 2, {"shop.goods": 2, "shop.orders": 5}, ()),
        ([operation("u", "shop.orders", diff={})], 2, {"shop.goods": 2, "shop.orders": 5}, ()),
        ([operation("i", "shop.orders", _id=1)], 2, {"shop.goods": 2, "shop.orders": 5}, ("shop.orders",)),
        ([operation("d", "shop.orders", _id=1)], 2, {"shop.goods": 2, "shop.orders": 5}, ("shop.orders",)),
        (
            [operation("c", "new.$cmd", create="things"), operation("i", "new.things", _id=1)],
            3,
            {"new.things": 0, "shop.goods": 2, "shop.orders": 5},
            ("new.things",),
        ),
        ([operation("c", "shop.$cmd", drop="orders")], 1, {"shop.goods": 2}, ()),
        (
            [operation("c", "shop.$cmd", drop="orders"), operation("c", "shop.$cmd", create="orders")],
            2,
            {"shop.goods": 2, "shop.orders": 5},
            ("shop.orders",),
        ),
        ([operation("c", "shop.$cmd", dropDatabase=1)], 0, {}, ()),
        (
            [operation("c", "shop.$cmd", dropDatabase=1), operation("i", "shop.goods", _id=1)],
            1,
            {"shop.goods": 2},
            ("shop.goods",),
        ),
        (
            [operation("c", "admin.$cmd", applyOps=[operation("i", "shop.goods", _id=1)])],
            2,
            {"shop.goods": 2, "shop.orders": 5},
            ("shop.goods",),
        ),
        (
            [operation("i", "shop.system.views", _id="shop.seen", viewOn="orders")],
            3,
            {"shop.goods": 2, "shop.orders": 5},
            (),
        ),
        ([operation("i", "admin.system.users", _id="x")], 2, {"shop.goods": 2, "shop.orders": 5}, ()),
        ([operation("i", "config.transactions", _id="x")], 2, {"shop.goods": 2, "shop.orders": 5}, ()),
    ],
)
def test_what_was_recorded_decides_what_is_expected(
    operations: list[dict[str, Any]], tables: int, rows: dict[str, int], estimated: tuple[str, ...]
) -> None:
    replay = Replay()
    for one in operations:
        replay.note(one)
    collections = [name for name in DUMPED if name[0]]
    assert replay.after(collections, DUMPED) == Contents(tables=tables, rows=rows, estimated=estimated)


@pytest.mark.parametrize("collection", ["system.users", "things"])
def test_whether_users_are_in_an_archive_of_everything_is_read_in_the_archive(collection: str) -> None:
    archive = Archive(DumpError, "")
    prelude = [{"server_version": "7.0"}, {"db": "admin", "collection": collection, "metadata": "{}", "type": ""}]
    archive.feed(MAGIC + b"".join(map(bson.encode, prelude)) + b"\xff" * 4)
    assert (NO_USERS in notes(archive)) == (collection == "things")
