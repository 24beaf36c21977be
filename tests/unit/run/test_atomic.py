"""Files that are there whole or not at all, and what killed writers leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from qdebug import interrupts
from qdebug.run import atomic
from qdebug.run.atomic import temporary, write_whole
from qdebug.run.store import RunWriter

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and locks")

_WRITER = """
import sys
from pathlib import Path
from qdebug.run import atomic
def wait(descriptor):
    print("half way", flush=True)
    sys.stdin.read()
atomic.os.fsync = wait
atomic.write_whole(Path(sys.argv[1]), b"theirs")
"""


def _writer(path: Path) -> subprocess.Popen[bytes]:
    """A process that has written a file and has not yet given it its name."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half way\n"
    return process


def _partials(folder: Path) -> list[Path]:
    return list(folder.glob(".*.partial"))


@posix_only
def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    process = _writer(tmp_path / "r.html")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert len(_partials(tmp_path)) == 1
    write_whole(tmp_path / "r.html", b"ours")
    assert (tmp_path / "r.html").read_bytes() == b"ours"
    assert _partials(tmp_path) == []


@posix_only
def test_what_another_process_writes_stays(tmp_path: Path) -> None:
    process = _writer(tmp_path / "r.html")
    write_whole(tmp_path / "r.html", b"ours")
    assert len(_partials(tmp_path)) == 1
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert (tmp_path / "r.html").read_bytes() == b"theirs"
    assert _partials(tmp_path) == []


@pytest.mark.parametrize(("minutes", "kept"), [(59, True), (61, False)])
def test_a_file_of_another_machine_stays_for_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int, kept: bool
) -> None:
    with monkeypatch.context() as there:
        there.setattr(atomic, "_host", lambda: "0ther1")
        partial = temporary(tmp_path / "r.html")
    partial.write_bytes(b"half")
    os.utime(partial, (time.time() - minutes * 60,) * 2)
    write_whole(tmp_path / "r.html", b"ours")
    assert partial.exists() == kept


@posix_only
def test_a_temporary_file_that_was_taken_for_abandoned_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, seen = os.fstat, []

    def taken_once(descriptor: int) -> os.stat_result:
        seen.append(descriptor)
        if len(seen) == 1:
            _partials(tmp_path)[0].unlink()
        return status(descriptor)

    monkeypatch.setattr("qdebug.run.atomic.os.fstat", taken_once)
    write_whole(tmp_path / "r.html", b"ours")
    assert (tmp_path / "r.html").read_bytes() == b"ours"
    assert len(seen) > 1
    assert _partials(tmp_path) == []


@posix_only
def test_a_signal_while_a_folder_is_claimed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives behind the lock and before the folder, of which nobody knows yet."""
    acquire = filelock.FileLock.acquire

    def interrupted(lock: filelock.FileLock, timeout: float) -> None:
        acquire(lock, timeout)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(filelock.FileLock, "acquire", interrupted)
    with interrupts.caught(), pytest.raises(KeyboardInterrupt), RunWriter(tmp_path / "r.qdrun"):
        pytest.fail("it went on")
    assert list(tmp_path.iterdir()) == []
