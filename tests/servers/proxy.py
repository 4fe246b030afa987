"""A network that can be made bad: a proxy before a server of the loopback, on a free port of its own.

What is set on it holds from the next byte on, for the connections there are and those to come:

    with proxied(server.port) as network:
        network.latency, network.bandwidth = 0.05, 1 << 20
        network.cut(received=100_000, times=2)  # two connections break after the server has sent so much
        network.silent = True  # connections are taken, and nothing passes
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

LOOPBACK = "127.0.0.1"
PIECE = 1 << 16  # bytes
IN_FLIGHT = 512  # pieces for each direction of a connection: what the wire holds when it is slow
Direction = Literal["sent", "received"]  # by the client, from the server
Wire = asyncio.Queue[tuple[float, bytes]]  # when a piece is due, and the piece; an empty one is the end
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: closing tells the peer of a reset, not of an end


@dataclass
class Cut:
    """Connections break once they have carried ``after`` bytes since this was set."""

    direction: Direction
    after: int
    times: int
    carried: Counter[int] = field(default_factory=Counter)

    def share(self, connection: int, size: int) -> int | None:
        """How many of these bytes still pass before the connection breaks; None when all do and it holds."""
        room = self.after - self.carried[connection]
        self.carried[connection] += size
        if self.times <= 0 or size < room:
            return None
        self.times -= 1
        return max(room, 0)


class Proxy:
    """The faults of the network, which may be changed at any time, and what it has carried.

    ``latency`` is in seconds and ``bandwidth`` in bytes per second, both for each direction of each connection.
    """

    def __init__(self, target: int) -> None:
        self.latency = 0.0
        self.bandwidth: int | None = None
        self.silent = False
        self.port = 0
        self.connections = 0
        self.carried: Counter[Direction] = Counter()
        self._target = target
        self._cuts: list[Cut] = []

    def cut(self, *, sent: int | None = None, received: int | None = None, times: int = 1) -> None:
        """Reset the next ``times`` connections that have sent, or received, so many bytes from now on."""
        wanted: dict[Direction, int | None] = {"sent": sent, "received": received}
        self._cuts += [Cut(direction, after, times) for direction, after in wanted.items() if after is not None]

    def heal(self) -> None:
        """Take every fault away."""
        self.latency, self.bandwidth, self.silent = 0.0, None, False
        self._cuts.clear()

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        self.connections += 1
        number = self.connections
        try:
            server, forth = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            _reset(back)
            return
        ways = (*self._carried(number, "sent", client, forth), *self._carried(number, "received", server, back))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.gather(*tasks)
        except OSError:
            for writer in (back, forth):
                _reset(writer)
        except asyncio.CancelledError:
            return  # the proxy ends
        finally:
            for task in tasks:
                task.cancel()
            for writer in (back, forth):
                writer.close()

    def _carried(
        self, number: int, direction: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        """The two halves of a direction: one reads as the wire has room, one writes each piece when it is due."""
        wire: Wire = asyncio.Queue(IN_FLIGHT)
        return self._depart(source, wire), self._arrive(number, direction, wire, sink)

    async def _depart(self, source: asyncio.StreamReader, wire: Wire) -> None:
        clock = asyncio.get_running_loop().time
        while piece := await source.read(PIECE):
            await wire.put((clock() + self.latency, piece))
        await wire.put((clock() + self.latency, b""))

    async def _arrive(self, number: int, direction: Direction, wire: Wire, sink: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, piece = await wire.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not piece:
                break
            if self.bandwidth:
                await asyncio.sleep(len(piece) / self.bandwidth)
            while self.silent:
                await asyncio.sleep(0.02)
            await self._write(number, direction, piece, sink)
        if sink.can_write_eof():
            sink.write_eof()

    async def _write(self, number: int, direction: Direction, piece: bytes, sink: asyncio.StreamWriter) -> None:
        shares = [cut.share(number, len(piece)) for cut in self._cuts if cut.direction == direction]
        last = min((share for share in shares if share is not None), default=None)
        sink.write(piece[:last])
        self.carried[direction] += len(piece[:last])
        await sink.drain()
        if last is not None:
            raise ConnectionResetError


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with suppress(OSError):  # closed already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


@contextmanager
def proxied(target: int, *, host: str = LOOPBACK, port: int = 0) -> Iterator[Proxy]:
    """A proxy before the port ``target``; its thread and every connection end with the context.

    It listens on the loopback, or on another address of this machine: on a free port unless one is given.
    """
    proxy, ready, loop = Proxy(target), threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        async with await asyncio.start_server(proxy.serve, host, port) as server:
            proxy.port = server.sockets[0].getsockname()[1]
            ready.set()
            await ended.wait()

    def thread() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:  # ends what still runs
            runner.run(run())

    carrier = threading.Thread(target=thread, name="proxy", daemon=True)
    carrier.start()
    try:
        assert ready.wait(10), "the proxy did not start"
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        carrier.join(10)
