"""A run is there whole or not at all: Ctrl-C, SIGKILL, closed and full outputs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qdebug.cli import progress
from qdebug.run.store import load_run
from tests.functional.conftest import Cli, command, environment
from tests.support.graphs import SPEC

PAIR = ("compare", "float.onnx", "quant.onnx", ".", "-p", SPEC)

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def _start_and_wait_for_partial_run(here: Path) -> subprocess.Popen[bytes]:
    """The command, stopped by its own progress in the middle of the samples."""
    code = (
        "import os, signal, sys\n"
        # As at a terminal, also where these tests run as a shell's background job.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from qdebug.cli import main, progress\n"
        "def wait(self, steps=1):\n"
        "    print('half way', file=sys.stderr, flush=True)\n"
        "    sys.stdin.read()\n"
        "progress.PlainProgress.advance = wait\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *PAIR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"half way\n"
    assert list(here.glob(".*.partial"))
    return process


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_says_so_and_leaves_nothing(here: Path, number: signal.Signals) -> None:
    before = sorted(here.iterdir())
    process = _start_and_wait_for_partial_run(here)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode() == "qdebug: interrupted: no run was written\n"
    assert out == b""
    assert sorted(here.iterdir()) == before


@posix_only
def test_a_killed_command_leaves_no_run_and_the_next_one_cleans_up(here: Path, cli: Cli) -> None:
    process = _start_and_wait_for_partial_run(here)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (here / "quant.qdrun").exists()
    assert cli(*PAIR).code == 0
    assert load_run(here / "quant.qdrun").verdict.status == "pass"
    assert not list(here.glob(".*.partial"))


def _run_with_stdout(stdout: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*PAIR),
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(),
        check=False,
        timeout=60,
    )


@posix_only
def test_a_reader_that_leaves_early_does_not_change_the_verdict(here: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = _run_with_stdout(writing)
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 0
    assert load_run(here / "quant.qdrun").verdict.status == "pass"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stdout_is_an_error(here: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = _run_with_stdout(full.fileno())
    assert done.returncode == 2
    assert done.stderr.startswith(b"qdebug: error: stdout: No space left on device\nhint: ")


@posix_only
@pytest.mark.parametrize("lost", ["pass", "raise ImportError('numpy is half loaded')"])
def test_ctrl_c_that_a_library_swallows_still_stops_the_work(here: Path, lost: str) -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from qdebug.cli import main, progress\n"
        "def swallow(self, steps=1):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        f"        {lost}\n"
        "progress.PlainProgress.advance = swallow\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    before = sorted(here.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", code, *PAIR],
        capture_output=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert done.returncode == 130
    assert done.stderr.startswith(b"qdebug: interrupted")
    assert done.stderr.count(b"\n") == 1
    assert sorted(here.iterdir()) == before


@posix_only
def test_a_signal_during_the_last_step_waits_for_it(here: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from qdebug.cli import main\n"
        "from qdebug.run import folder\n"
        "def place(*paths, place=folder.put_in_place):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    place(*paths)\n"
        "folder.put_in_place = place\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *PAIR],
        capture_output=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert done.returncode == 130
    assert done.stderr == b"qdebug: interrupted: quant.qdrun was written\n"
    assert load_run(here / "quant.qdrun").verdict.status == "pass"
    assert not list(here.glob(".quant*"))


def test_a_model_that_is_replaced_meanwhile_gets_no_verdict(
    here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (here / "float.onnx").read_bytes()

    def replace(*_: object) -> None:
        (here / "quant.onnx").write_bytes(other)

    monkeypatch.setattr(progress.PlainProgress, "advance", replace)
    done = cli(*PAIR)
    assert done.code == 2
    assert "quant.onnx was changed while it was being compared" in done.err
    assert not (here / "quant.qdrun").exists()


def test_a_model_that_is_only_touched_meanwhile_is_the_same(
    here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.PlainProgress, "advance", lambda *_: (here / "quant.onnx").touch())
    assert cli(*PAIR).code == 0
