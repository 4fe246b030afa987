"""The bad network of the tests is as bad as it says, so that what survives it has survived something."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

import pytest

from tests.servers.proxy import LOOPBACK, Proxy, proxied


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that gives back what it gets, ended with the fixture."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    while data := connection.recv(1 << 16):
                        connection.sendall(data)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                Thread(target=serve, args=(connection,), daemon=True).start()

        Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def network(echo: int) -> Iterator[Proxy]:
    with proxied(echo) as proxy:
        yield proxy


def exchanged(network: Proxy, body: bytes, timeout: float = 20) -> bytes:
    """What comes back of the body before the connection ends. Raises what a broken connection raises."""
    received = bytearray()
    with socket.create_connection((LOOPBACK, network.port), timeout=timeout) as connection:
        connection.sendall(body)
        with suppress(OSError):  # it is broken already, as reading will say
            connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(1 << 16):
            received += data
    return bytes(received)


def test_a_network_without_faults_carries_every_byte(network: Proxy) -> None:
    body = bytes(range(256)) * 4_000
    assert exchanged(network, body) == body
    assert network.carried == {"sent": len(body), "received": len(body)}


def test_latency_and_bandwidth_change_no_byte(network: Proxy) -> None:
    network.latency, network.bandwidth = 0.01, 50_000_000
    assert exchanged(network, b"x" * 300_000) == b"x" * 300_000


@pytest.mark.parametrize("way", ["sent", "received"])
def test_a_connection_is_reset_after_exactly_so_many_bytes(network: Proxy, way: str) -> None:
    network.cut(**{way: 1_000})
    with pytest.raises(ConnectionError):
        exchanged(network, b"x" * 5_000)
    assert network.carried[way] == 1_000  # type: ignore[index]
    assert exchanged(network, b"again") == b"again"


def test_a_silent_network_takes_connections_and_says_nothing(network: Proxy) -> None:
    network.silent = True
    with pytest.raises(TimeoutError):
        exchanged(network, b"x", timeout=0.2)
    network.heal()
    assert exchanged(network, b"x") == b"x"
