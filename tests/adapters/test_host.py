"""Programs on this machine: nothing inherited, nothing left behind, no failure mistaken for an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.host import LocalHost, local
from core.errors import AdapterError, DumpError, RestoreError, ToolMissing
from core.ports import Command
from core.streams import CHUNK_SIZE
from tests.adapters.programs import gone
from tests.waiting import until

HOST = LocalHost()


def shell(script: str, **env: str) -> Command:
    return Command(("/bin/sh", "-c", script), env)


def written(path: Path) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_text().endswith("\n")


def test_output_gives_what_was_printed() -> None:
    assert HOST.output(shell("echo hello")) == "hello\n"


def test_an_argument_is_never_read_by_a_shell() -> None:
    odd = "a b; $(id) `id` \"'\\ *"
    assert HOST.output(Command(("printf", "%s", odd))) == odd


def test_no_variable_of_the_caller_reaches_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "leaked")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=evil")
    names = {line.split("=")[0] for line in HOST.output(Command(("env",), {"PGHOST": "given"})).splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "LC_ALL", "PGHOST"}
    assert "PGHOST" in names


def test_no_standard_stream_is_inherited() -> None:
    ours = {str(Path(f"/proc/self/fd/{number}").readlink()) for number in (0, 1, 2)} - {"/dev/null"}
    theirs = set(HOST.output(shell("readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2")).splitlines())
    assert not ours & theirs


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(ToolMissing, match="no-such-tool is not installed"):
        HOST.output(Command(("no-such-tool",)))
    assert HOST.which("no-such-tool") is None
    assert HOST.which("sh") is not None


def test_the_environment_stays_out_of_a_command_s_repr() -> None:
    assert "secret" not in repr(Command(("env",), {"PGPASSWORD": "secret"}))


def test_a_program_that_hangs_is_given_up() -> None:
    with pytest.raises(AdapterError, match=r"did not answer within 0\.2 seconds") as failure:
        HOST.output(shell("sleep 600"), timeout=0.2)
    assert not failure.value.permanent


def test_a_stream_comes_in_full_chunks() -> None:
    size = 5 * CHUNK_SIZE + 17
    with HOST.stream(shell(f"head -c {size} /dev/zero")) as chunks:
        assert [len(chunk) for chunk in chunks] == [CHUNK_SIZE] * 5 + [17]


def test_a_failing_exit_code_comes_after_the_last_chunk() -> None:
    drawn: list[bytes] = []
    failing = shell("echo output; echo 'tool: error: broken' >&2; echo 'more' >&2; exit 3")
    reason = "sh exited with 3: tool: error: broken"
    with HOST.stream(failing) as chunks, pytest.raises(DumpError, match=reason):
        drawn.extend(bytes(chunk) for chunk in chunks)
    assert drawn == [b"output\n"]


def test_a_killed_program_is_no_end_of_the_data() -> None:
    with HOST.stream(shell("echo output; kill -KILL $$")) as chunks, pytest.raises(DumpError, match="SIGKILL"):
        list(chunks)


def test_much_on_standard_error_blocks_nothing_and_is_not_kept() -> None:
    noisy = "yes 'a line of noise' | head -n 200000 >&2; echo done; echo 'the end' >&2; exit 1"
    with HOST.stream(shell(noisy)) as chunks, pytest.raises(DumpError, match=r"exited with 1: the end$"):
        list(chunks)


def test_a_streamed_program_writes_in_large_pieces() -> None:
    with HOST.stream(Command(("printenv", "_STDBUF_O"))) as chunks:
        assert b"".join(map(bytes, chunks)) == b"65536\n"


def test_a_stream_left_early_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with HOST.stream(shell(f"sleep 600 & echo $! $$ > {pids}; yes")) as chunks:
        next(chunks)
        until(written(pids), "the program has said its children")
    for pid in pids.read_text().split():
        until(lambda pid=int(pid): gone(pid), "the group is gone")  # type: ignore[misc]


def test_a_program_that_ignores_the_gentle_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE", 0.1)
    pids = tmp_path / "pids"
    with HOST.stream(shell(f"trap '' TERM; echo $$ > {pids}; while :; do echo; done")) as chunks:
        next(chunks)
    assert gone(int(pids.read_text()))


def test_a_child_dies_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        "from adapters.host import LocalHost\nfrom core.ports import Command\n"
        f"with LocalHost().stream(Command(('/bin/sh', '-c', 'echo $$ > {pids}; exec sleep 600'))) as chunks:\n"
        "    next(chunks)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    until(written(pids), "the child runs")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: gone(int(pids.read_text())), "the child is gone")


def test_feed_hands_over_every_byte(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    data = os.urandom(3 * CHUNK_SIZE + 5)
    HOST.feed(shell(f"cat > {copy}"), [data[:7], memoryview(data)[7:], b""])
    assert copy.read_bytes() == data


def test_a_program_that_stops_reading_says_why_itself() -> None:
    endless = iter(lambda: b"x" * CHUNK_SIZE, b"")
    with pytest.raises(RestoreError, match="sh exited with 2: tool: error: no more"):
        HOST.feed(shell("head -c 10 >/dev/null; echo 'tool: error: no more' >&2; exit 2"), endless)


def test_a_program_that_stops_reading_and_claims_success_is_not_believed() -> None:
    endless = iter(lambda: b"x" * CHUNK_SIZE, b"")
    with pytest.raises(RestoreError, match="stopped reading before the end"):
        HOST.feed(shell("head -c 10 >/dev/null"), endless)


class SourceFailed(Exception):
    pass


def failing() -> Iterator[bytes]:
    yield b"x" * CHUNK_SIZE
    raise SourceFailed


def test_a_source_that_fails_never_looks_like_an_end(tmp_path: Path) -> None:
    believed = tmp_path / "believed"
    with pytest.raises(SourceFailed):
        HOST.feed(shell(f"cat >/dev/null && touch {believed}"), failing())
    assert not believed.exists()


def test_a_pipe_broken_in_the_source_is_the_source_s_error() -> None:
    def source() -> Iterator[bytes]:
        yield b"x"
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        HOST.feed(shell("cat >/dev/null"), source())


def test_a_program_can_stand_between_chunks() -> None:
    data = b"line\n" * 1_000_000
    assert b"".join(bytes(chunk) for chunk in HOST.pipe(shell("tr e o"), [data])) == data.replace(b"e", b"o")


def test_a_pipe_whose_source_fails_lets_that_error_out(tmp_path: Path) -> None:
    believed = tmp_path / "believed"
    with pytest.raises(SourceFailed):
        list(HOST.pipe(shell(f"cat && touch {believed}"), failing()))
    assert not believed.exists()


def test_a_pipe_whose_program_fails_says_so() -> None:
    with pytest.raises(RestoreError, match="sh exited with 1: it said nothing"):
        list(HOST.pipe(shell("cat; exit 1"), [b"x"]))


def test_a_pipe_left_early_ends_its_program(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    chunks = HOST.pipe(shell(f"echo $$ > {pids}; exec cat"), iter(lambda: b"x" * CHUNK_SIZE, b""))
    next(chunks)
    chunks.close()
    assert gone(int(pids.read_text()))
