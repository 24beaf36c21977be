"""A crash inside a library ends in one sentence; a signal ends the child with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.functional.conftest import environment, run_in_process_of_its_own
from tests.support.graphs import SPEC

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a child is forked there")


def _crashing(quant: bool) -> onnx.ModelProto:
    """Sound for the checker; ONNX Runtime reads the trip count of its Loop, which is empty."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            info("i", TensorProto.INT64, []),
            info("c", TensorProto.BOOL, []),
            info("v", TensorProto.FLOAT, None),
        ],
        [info("d", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, None)],
    )
    parameters: dict[str, Any] = {"step": np.float32(0.1), "zero": np.int8(0)}
    quantizers = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["x_q"], "q"),
        helper.make_node("DequantizeLinear", ["x_q", "step", "zero"], ["x_d"], "dq"),
    ]
    graph = helper.make_graph(
        [
            *quantizers[: 2 * quant],
            helper.make_node("Mul", ["x_d" if quant else "x", "two"], ["m"], "mul"),
            helper.make_node("Loop", ["trip", "go", "m"], ["y"], "loop", body=body),
        ],
        "crashing",
        [info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.zeros(0, np.int64), "trip"),
            numpy_helper.from_array(np.array(True), "go"),
            numpy_helper.from_array(np.float32(2), "two"),
            *(numpy_helper.from_array(a, n) for n, a in parameters.items() if quant),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


@pytest.fixture
def crashing(here: Path) -> Path:
    """The working directory with two models that crash ONNX Runtime, and an input."""
    onnx.save(_crashing(quant=False), here / "crash_a.onnx")
    onnx.save(_crashing(quant=True), here / "crash_b.onnx")
    np.save(here / "x.npy", np.zeros((1, 3, 4, 4), np.float32))
    return here


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "crash_a.onnx", "crash_b.onnx", "x.npy"),
        ("extract", "crash_a.onnx", "crash_b.onnx", "mul", "x.npy", "-o", "parts"),
        ("tune", "crash_a.onnx", "crash_b.onnx", *["x.npy"] * 4, "-o", "tuned.onnx"),
    ],
)
def test_a_crash_of_onnx_runtime_is_one_sentence(
    crashing: Path, arguments: tuple[str, ...]
) -> None:
    done = run_in_process_of_its_own(*arguments)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 2, lines
    assert lines[0].startswith("qdebug: error: ONNX Runtime crashed (SIG")
    assert "while it worked on crash_" in lines[0]
    assert lines[1].startswith("hint: export the model again")
    assert len(lines) == 2
    assert not list(crashing.glob("*.qdrun"))


def _command_with(change: str, *arguments: str) -> list[str]:
    """``qdebug ARGUMENTS`` after some lines of Python."""
    code = f"import sys\nfrom qdebug import __main__ as program\n{change}\nsys.exit(program.main())"
    return [sys.executable, "-c", code, *arguments]


def test_a_child_that_is_started_and_not_forked(crashing: Path) -> None:
    command = _command_with(
        "from qdebug import isolation; isolation.FORKS = False",
        "compare", "crash_a.onnx", "crash_b.onnx", "x.npy",
    )  # fmt: skip
    plain = subprocess.run(command, capture_output=True, check=False, env=environment())
    assert plain.returncode < 0  # nothing is isolated there by itself
    done = subprocess.run(
        [*command, "--isolate"], capture_output=True, check=False, env=environment()
    )
    assert done.returncode == 2
    assert "a library that qdebug uses crashed (SIG" in done.stderr.decode()
    sound = _command_with(
        "from qdebug import isolation; isolation.FORKS = False",
        "compare", "float.onnx", "quant.onnx", "photo_0.png", "-p", SPEC, "--isolate",
    )  # fmt: skip
    done = subprocess.run(sound, capture_output=True, check=False, env=environment())
    assert (done.returncode, done.stderr) == (0, b"")


def test_without_isolation_the_process_itself_crashes(crashing: Path) -> None:
    arguments = ("compare", "crash_a.onnx", "crash_b.onnx", "x.npy", "--no-isolate")
    assert run_in_process_of_its_own(*arguments).returncode < 0


_WAITS = """
import os, time
def wait():
    print(os.getpid(), flush=True)
    time.sleep(60)
    return 0
program._run = wait
"""


_DEAF = """
import os, time
def wait():
    number = os.getpid()
    while True:
        try:
            if number:  # inside: a signal may come before the next line
                print(number, flush=True)
            number = None
            time.sleep(60)
        except KeyboardInterrupt:
            print("heard", flush=True)
program._run = wait
"""


def _waiting(work: str = _WAITS) -> tuple[subprocess.Popen[bytes], int]:
    """A command whose child has begun to work, and the child's number."""
    process = subprocess.Popen(
        _command_with(work, "compare"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert child != process.pid
    return process, child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("group", [False, True])
def test_signals_reach_the_child(number: signal.Signals, group: bool) -> None:
    """From a terminal, or a service manager, both processes hear of it."""
    process, child = _waiting()
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"qdebug: interrupted\n")
    assert not _lives(child)


def test_the_third_signal_ends_a_child_that_hears_none() -> None:
    process, child = _waiting(_DEAF)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"heard\n"
    for _ in range(2):  # no sooner than the parent has heard the one before
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"qdebug: interrupted\n")
    assert not _lives(child)


def test_the_child_of_a_killed_parent_ends() -> None:
    process, child = _waiting()
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(child)


def test_a_child_that_the_system_kills_is_one_sentence() -> None:
    process, child = _waiting()
    os.kill(child, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "want of memory" in err.decode()


def _lives(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text(encoding="ascii").rsplit(")", 1)[1]
    except OSError:
        return False
    return state.split()[0] != "Z"
