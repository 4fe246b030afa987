"""Programs on this machine.

Rules of the file: no shell, ever; a child gets its own session and none of our standard streams; its environment
is built from nothing, so that no ``PG*`` variable of the caller steers a tool; its standard error is drained all
the while and only its last lines are kept; whatever ends the caller's interest ends the child's whole process
group. On Linux a child also dies with the *thread* that started it (the kernel's parent-death signal), so that
nothing survives even a SIGKILL of this process: start children from a thread that outlives them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread, Timer
from typing import IO

from core.errors import AdapterError, DBackupError, DumpError, RestoreError, ToolMissing
from core.ports import Command
from core.streams import CHUNK_SIZE, Chunk, Chunks

GRACE = 3.0  # seconds between SIGTERM and SIGKILL
TAIL_LINES = 20
LINE_BYTES = 1000
BUFFER = 64 << 10  # bytes that a streamed program writes at once; more makes it work in bursts
Process = subprocess.Popen[bytes]


class LocalHost:
    """Runs programs here. It holds no state and may be shared."""

    def which(self, program: str) -> str | None:
        """The path of an installed program, or None. An absolute path is only looked at."""
        return shutil.which(program)

    def output(self, command: Command, *, timeout: float = 30.0) -> str:
        """Run to the end and give standard output. Raises AdapterError after ``timeout`` seconds or on failure."""
        deadline = time.monotonic() + timeout
        with _running(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as (process, tail):
            timer = Timer(timeout, _signal, (process, signal.SIGKILL))
            timer.start()
            try:
                output = b"".join(bytes(chunk) for chunk in _output_of(process))
                process.wait()
            finally:
                timer.cancel()
            if process.returncode == -signal.SIGKILL and time.monotonic() >= deadline:
                raise AdapterError(
                    f"{_program(command)} did not answer within {timeout:g} seconds",
                    hint="look whether the server it talks to hangs, then try again",
                    permanent=False,
                )
            _check(command, process, tail, AdapterError)
        return output.decode(errors="replace")

    @contextmanager
    def stream(self, command: Command) -> Iterator[Iterator[Chunk]]:
        """Give standard output in chunks of 1 MiB, each valid until the next is drawn.

        Raises DumpError after the last chunk unless the exit code is 0. Leaving the context early ends the whole
        process group.
        """
        with (
            _running(_buffered(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as (process, tail),
            closing(_stdout(command, process, tail)) as chunks,
        ):
            yield chunks

    def feed(self, command: Command, chunks: Chunks) -> None:
        """Write the chunks to standard input. Raises RestoreError unless all were taken and the exit code is 0.

        When the chunks themselves raise, the program is killed before it can take the end of its input for the
        end of the data, and that error comes out.
        """
        with _running(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as (process, tail):
            taken = _write(process, chunks)
            _check(command, process, tail, RestoreError)
            if not taken:
                raise _unfinished(command)

    def pipe(self, command: Command, chunks: Chunks) -> Generator[Chunk, None, None]:
        """Give what the program makes of the chunks. Raises RestoreError after the last unless it took them all.

        The chunks are drawn in a thread of their own; an error they raise comes out here, after the program has
        been killed.
        """
        with _running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as (process, tail):
            feeder = _Feeder(process, chunks)
            try:
                yield from _output_of(process)
            except BaseException:  # closing included: the feeder must not draw from chunks that nobody wants
                _end(process)
                feeder.join(GRACE)
                raise
            process.wait()
            feeder.join()
            if feeder.failure is not None:
                raise feeder.failure
            _check(command, process, tail, RestoreError)
            if not feeder.taken:
                raise _unfinished(command)


@contextmanager
def _running(command: Command, *, stdin: int, stdout: int) -> Iterator[tuple[Process, _Tail]]:
    """Start a program, and see to it that nothing of it is left when the context ends."""
    process = subprocess.Popen(
        _argv(command),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=_environment(command),
    )
    tail = _Tail(process)
    try:
        yield process, tail
    finally:
        _end(process)
        tail.join(GRACE)
        if process.stdout is not None:
            process.stdout.close()


def _argv(command: Command) -> tuple[str, ...]:
    program = shutil.which(command.argv[0])
    if program is None:
        raise ToolMissing(f"{_program(command)} is not installed", hint="install it, then try again")
    setpriv = shutil.which("setpriv")
    leash = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
    return (*leash, program, *command.argv[1:])


def _buffered(command: Command) -> Command:
    """The same program, made to write large pieces; one that chooses its buffers itself goes on doing so."""
    stdbuf = shutil.which("stdbuf")
    program = shutil.which(command.argv[0])
    if stdbuf is None or program is None:
        return command
    return replace(command, argv=(stdbuf, f"--output={BUFFER}", program, *command.argv[1:]))


def _environment(command: Command) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**inherited, "LANG": "C.UTF-8", "LC_ALL": "C", **command.env}


def _program(command: Command) -> str:
    return Path(command.argv[0]).name


class _Tail(Thread):
    """Drains a program's standard error, so that it never blocks on it, and keeps the last lines."""

    def __init__(self, process: Process) -> None:
        super().__init__(name="stderr", daemon=True)
        self._stderr = _pipe_of(process.stderr)
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self.start()

    def run(self) -> None:
        with self._stderr:
            while line := self._stderr.readline(LINE_BYTES):
                self._lines.append(line.decode(errors="replace").strip())

    @property
    def reason(self) -> str:
        """The last line that speaks of an error, else the last line. One only: others may quote data."""
        lines = [line for line in self._lines if line]
        errors = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
        return (errors or lines or ["it said nothing"])[-1]


class _Feeder(Thread):
    """Writes chunks to a program's standard input beside the thread that reads its output."""

    def __init__(self, process: Process, chunks: Chunks) -> None:
        super().__init__(name="stdin", daemon=True)
        self._process, self._chunks = process, chunks
        self.failure: BaseException | None = None
        self.taken = False
        self.start()

    def run(self) -> None:
        try:
            self.taken = _write(self._process, self._chunks)
        except BaseException as failure:  # noqa: BLE001 - the thread that reads the output raises it again
            self.failure = failure


def _stdout(command: Command, process: Process, tail: _Tail) -> Generator[Chunk, None, None]:
    yield from _output_of(process)
    _check(command, process, tail, DumpError)


def _output_of(process: Process) -> Iterator[Chunk]:
    """Standard output in full chunks of one reused buffer, the last one excepted."""
    descriptor = _pipe_of(process.stdout).fileno()
    _widen(descriptor)
    buffer = memoryview(bytearray(CHUNK_SIZE))
    while filled := _fill(descriptor, buffer):
        yield buffer[:filled]


def _fill(descriptor: int, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer) and (read := os.readv(descriptor, [buffer[filled:]])):
        filled += read
    return filled


def _write(process: Process, chunks: Chunks) -> bool:
    """Write everything and close. False when the program closed its end first: its exit code says why."""
    with _pipe_of(process.stdin) as stdin:
        _widen(stdin.fileno())
        try:
            return all(_write_chunk(stdin.fileno(), chunk) for chunk in chunks)
        except BaseException:
            # Before the pipe is closed: its end would look like the end of the data.
            _signal(process, signal.SIGKILL)
            raise


def _write_chunk(descriptor: int, chunk: Chunk) -> bool:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BrokenPipeError:
        return False
    return True


def _pipe_of(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the program was started without this pipe")
    return stream


def _widen(descriptor: int) -> None:
    # Fewer switches between the two processes; a system or a user limit that refuses it costs only speed.
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK_SIZE)


def _check(command: Command, process: Process, tail: _Tail, kind: type[DBackupError]) -> None:
    """Wait for the program and raise unless it says that all went well."""
    code = process.wait()
    if code == 0:
        return
    tail.join(GRACE)
    how = f"exited with {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
    raise kind(
        f"{_program(command)} {how}: {tail.reason}", hint="the reason is the tool's own; correct it and try again"
    )


def _unfinished(command: Command) -> RestoreError:
    return RestoreError(
        f"{_program(command)} stopped reading before the end of the data",
        hint="verify the backup, and look whether it was made by a newer client",
    )


def _end(process: Process) -> None:
    """End the group, gently first, and reap its leader."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    # Even a leader that has gone may have left children in its group.
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(process.pid, number)
