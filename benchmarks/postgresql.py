"""The database that is measured: a throw-away server, and tables of a given size in it.

The server runs with fsync off: what is measured is the way from the server to the backup, not the server's disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.measure import ProgramFailed
from tests.servers import install
from tests.servers.postgresql import USER, Server, running

# For each unit, about a MiB of dump: numbers, short and long text, JSON, and documents that hardly compress.
UNIT = 1 << 20
ROOM = 6  # times the size: a database, a restored one, indexes and the write-ahead log
TABLES = """
CREATE TABLE customers AS
  SELECT n AS id, 'Customer ' || n AS name, md5(n::text) || '@example.org' AS email,
         (ARRAY['Berlin','Lisbon','Osaka','Quito','Tromsø'])[1 + n % 5] AS city,
         timestamptz '2020-01-01' + n * interval '97 seconds' AS created_at, (n * 7919) % 100000 AS points
  FROM generate_series(1::bigint, {units} * 1000) AS n;
CREATE TABLE orders AS
  SELECT n AS id, 1 + (n * 48271) % ({units} * 1000) AS customer_id,
         timestamptz '2021-01-01' + n * interval '11 seconds' AS placed_at,
         round((random() * 900 + 5)::numeric, 2) AS total,
         (ARRAY['new','paid','sent','returned'])[1 + n % 4] AS status,
         repeat('Please ring twice and leave it with the neighbour. ', (random() * 3)::int) AS note
  FROM generate_series(1::bigint, {units} * 1800) AS n;
CREATE TABLE events AS
  SELECT n AS id, gen_random_uuid() AS session, timestamptz '2021-06-01' + n * interval '3 seconds' AS seen_at,
         jsonb_build_object('path', '/product/' || (random() * 5000)::int, 'agent', 'Browser ' || n % 40,
                            'ms', (random() * 4000)::int, 'referrer', 'search ' || md5((n % 3000)::text)) AS body
  FROM generate_series(1::bigint, {units} * 1600) AS n;
CREATE TABLE documents AS
  SELECT n AS id, 'scan-' || n || '.pdf' AS name,
         (SELECT string_agg(sha512((n || '/' || part)::text::bytea), ''::bytea)
          FROM generate_series(1, 80) AS part) AS content
  FROM generate_series(1::bigint, {units} * 40) AS n;
ALTER TABLE customers ADD PRIMARY KEY (id);
ALTER TABLE orders ADD PRIMARY KEY (id);
ALTER TABLE events ADD PRIMARY KEY (id);
ALTER TABLE documents ADD PRIMARY KEY (id);
CREATE INDEX ON orders (customer_id);
"""


@contextmanager
def server(size: int) -> Iterator[Server]:
    """A running server with room for databases of ``size`` bytes, ended by its own process id with the context.

    Raises ProgramFailed when none is installed.
    """
    installed = install.postgresql_servers()
    if not installed:
        raise ProgramFailed("PostgreSQL's server is not installed; run: make test, or apt-get install postgresql")
    with running(installed[-1], room=ROOM * size) as started:
        yield started


def fill(server: Server, database: str, size: int) -> None:
    """Create a database of which ``pg_dump`` makes about ``size`` bytes."""
    server.create(database)
    with server.connect(database) as connection:
        for statement in TABLES.format(units=max(1, size // UNIT)).split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def drop(server: Server, database: str) -> None:
    """Remove a database, if it is there."""
    server.query(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def environment(server: Server, **more: str) -> dict[str, str]:
    """The environment in which PostgreSQL's own programs reach the server; the only place of the password."""
    return {
        **os.environ,
        "PATH": f"{server.bin}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": USER,
        "PGPASSWORD": server.password,
        **more,
    }
