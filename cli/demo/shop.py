"""A sample shop in SQLite: some 200,000 rows that are the same each time, and customers who go on ordering."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

CUSTOMERS, PRODUCTS, ORDERS = 14_000, 900, 52_000
TABLES = ("customers", "products", "orders", "order_lines")

_SEED = 2318
_OPENED = datetime(2021, 3, 1, 9)
_SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, city TEXT, since TEXT);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, description TEXT, price_cents INTEGER NOT NULL,
    picture BLOB);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers,
    ordered_at TEXT NOT NULL, total_cents INTEGER NOT NULL);
CREATE TABLE order_lines (order_id INTEGER NOT NULL REFERENCES orders, line INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES products, quantity INTEGER NOT NULL, price_cents INTEGER NOT NULL,
    PRIMARY KEY (order_id, line)) WITHOUT ROWID;
CREATE INDEX orders_of_customer ON orders (customer_id, ordered_at);
"""
_FIRST = ("Ada", "Amélie", "Björn", "Chloé", "Dimitri", "Elif", "Fatima", "Grace", "Hana", "Ivan", "Jürgen",
          "Kofi", "Linnéa", "Mateo", "Noor", "Priya", "Rosa", "Søren", "Tomás", "Wei", "Zoë")  # fmt: skip
_LAST = ("Andersen", "Bianchi", "Castillo", "Dubois", "Eriksson", "Fischer", "García", "Haddad", "Ito", "Jansen",
         "Kowalski", "Lindqvist", "Müller", "Novák", "Okafor", "Petrov", "Rossi", "Schröder", "Tanaka")  # fmt: skip
_CITIES = ("Antwerp", "Bergen", "Córdoba", "Dresden", "Gdańsk", "Graz", "Kyoto", "Lyon", "Porto", "Turku", "Zürich")
_KINDS = ("kettle", "desk lamp", "notebook", "umbrella", "bread knife", "wool blanket", "teapot", "backpack", "stool")
_MADE_OF = ("oak", "enamel", "linen", "steel", "recycled", "porcelain", "bamboo", "leather", "glass", "walnut")
_LOOKS = ("plain", "tall", "striped", "blue", "foldable", "heavy", "small", "everyday", "double", "hand-finished")
_PRAISE = ("Made to last.", "Repairable, with spare parts in stock.", "Ships flat.", "Feels better every year.",
           "Dishwasher safe.", "Comes with a ten-year warranty.", "A present that is kept.")  # fmt: skip

Line = tuple[int, int, int]  # product, quantity, price in cents


def open_shop(path: Path) -> sqlite3.Connection:
    """A connection that commits only what it is told to."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def make(path: Path) -> int:
    """Make the shop, always the same, and give the number of its rows."""
    chance = random.Random(_SEED)  # noqa: S311 - a sample must be the same each time
    with closing(open_shop(path)) as shop:
        shop.executescript(_SCHEMA)
        shop.execute("BEGIN")
        shop.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", _customers(chance))
        shop.executemany("INSERT INTO products VALUES (?, ?, ?, ?, ?)", _products(chance))
        prices = dict(shop.execute("SELECT id, price_cents FROM products"))
        moment = _OPENED
        for order in range(1, ORDERS + 1):
            moment += timedelta(seconds=chance.randint(600, 5400))
            _insert(shop, order, _order(chance, prices), moment)
        shop.execute("COMMIT")
        return shop.total_changes


def _customers(chance: random.Random) -> Iterator[tuple[int, str, str, str, str]]:
    for number in range(1, CUSTOMERS + 1):
        first, last = chance.choice(_FIRST), chance.choice(_LAST)
        since = _OPENED + timedelta(days=chance.randint(0, 1500))
        email = f"{first}.{last}.{number}@mail.example".lower()
        yield number, f"{first} {last}", email, chance.choice(_CITIES), since.date().isoformat()


def _products(chance: random.Random) -> Iterator[tuple[int, str, str, int, bytes]]:
    for number in range(1, PRODUCTS + 1):
        name = f"{chance.choice(_LOOKS)} {chance.choice(_MADE_OF)} {chance.choice(_KINDS)}".capitalize()
        description = " ".join(chance.sample(_PRAISE, 3))
        picture = chance.randbytes(chance.randint(3_000, 9_000))
        yield number, name, description, chance.randint(9, 250) * 100 - chance.choice((1, 5, 10)), picture


def _order(chance: random.Random, prices: dict[int, int]) -> tuple[int, list[Line]]:
    """Who orders, and what."""
    products = chance.sample(range(1, PRODUCTS + 1), chance.choice((1, 1, 2, 2, 3, 3, 4, 5)))
    return chance.randint(1, CUSTOMERS), [(one, chance.choice((1, 1, 1, 2, 3)), prices[one]) for one in products]


def _insert(shop: sqlite3.Connection, order: int, ordered: tuple[int, list[Line]], moment: datetime) -> None:
    customer, lines = ordered
    total = sum(quantity * price for _, quantity, price in lines)
    shop.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", (order, customer, moment.isoformat(" "), total))
    numbered = ((order, number, *line) for number, line in enumerate(lines, 1))
    shop.executemany("INSERT INTO order_lines VALUES (?, ?, ?, ?, ?)", numbered)


class Till:
    """Takes orders, one transaction each, numbered without a gap."""

    def __init__(self, shop: sqlite3.Connection) -> None:
        self._shop = shop
        self._chance = random.Random(_SEED + 1)  # noqa: S311
        self._prices: dict[int, int] = dict(shop.execute("SELECT id, price_cents FROM products"))

    def take(self) -> None:
        """Take one order."""
        self._shop.execute("BEGIN IMMEDIATE")
        (last,) = self._shop.execute("SELECT max(id) FROM orders").fetchone()
        _insert(self._shop, last + 1, _order(self._chance, self._prices), datetime.now().replace(microsecond=0))
        self._shop.execute("COMMIT")
