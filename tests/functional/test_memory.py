"""Peak memory stays below plain inference, the cap and a constant, for small caps as for large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.external import compare_command, measured, write_pair
from benchmarks.memory import network

SHAPE = (1, 32, 128, 256)
"""4 MiB a tensor; 120 layers are 480 MiB on each side."""
LAYERS = 120
ALLOWED = 300
"""MiB above plain inference and the cap: what DESIGN's budget gives qdebug itself."""
_COMPARE = """
import sys
import qdebug
from qdebug.comparison.compare import peak_rss_mib
qdebug.compare(*sys.argv[1:4], max_memory=sys.argv[4], task="none")
print(peak_rss_mib())
"""
_PLAIN = """
import sys
import numpy as np, onnxruntime
from qdebug.comparison.compare import peak_rss_mib
x = np.load(sys.argv[3])
for model in sys.argv[1:3]:
    onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})
print(peak_rss_mib())
"""

_SESSIONS = """
import re, sys
from pathlib import Path
import numpy as np
from qdebug.capture.session import Session, SessionSettings
from qdebug.graph.load import load_graph

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\\s*(\\d+)", status)[1]) / 1024

graph = load_graph(sys.argv[1])
x = {"x": np.ones((1, int(sys.argv[2])), np.float32)}
Session(graph.whole, graph, SessionSettings(threads=1)).run(x)  # what the first one costs besides
before = anonymous()
settings = SessionSettings(threads=1)
held = [Session(graph.whole, graph, s) for s in (settings, settings.deployed) * 2]
for session in held:
    session.run(x)
print(anonymous() - before)
"""
SIDE = 1280
"""A weight of 6.25 MiB; 16 of them are 100 MiB."""


def _outside(file: Path) -> None:
    """A chain of MatMul with 100 MiB of weights in a file of their own."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for at in range(16):
        value = rng.random((SIDE, SIDE), np.float32) / SIDE  # equal ones would share a copy
        weights.append(onnx.numpy_helper.from_array(value, f"w{at}"))
        nodes.append(
            onnx.helper.make_node("MatMul", [f"y{at}" if at else "x", f"w{at}"], [f"y{at + 1}"])
        )
    value_info = onnx.helper.make_tensor_value_info
    ends = [value_info(name, onnx.TensorProto.FLOAT, (1, SIDE)) for name in ("x", "y16")]
    graph = onnx.helper.make_graph(nodes, "outside", ends[:1], ends[1:], weights)
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.save(model, str(file), save_as_external_data=True, location="weights.bin")


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells it there")
def test_weights_in_a_file_of_their_own_are_copied_by_no_session(tmp_path: Path) -> None:
    """Four sessions held at once; each had its own copy of 100 MiB."""
    _outside(tmp_path / "float.onnx")
    assert peak(_SESSIONS, str(tmp_path / "float.onnx"), str(SIDE)) < 50


LAYERS_OUTSIDE, SIDE_OUTSIDE = 48, 1024
"""Weights of 192 MiB, and of 48 MiB as codes; 4 MiB each."""


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells it there")
def test_weights_in_files_of_their_own_cost_no_memory_of_the_process(tmp_path: Path) -> None:
    """Beyond the pages of those files, which the system takes back; half of it took 628 MiB."""
    files = write_pair(tmp_path, LAYERS_OUTSIDE, SIDE_OUTSIDE)
    peak = measured(compare_command(files, "64MiB"), tmp_path)
    assert peak.own <= ALLOWED, peak


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tall")
    names = [folder / name for name in ("float.onnx", "quant.onnx", "x.npy")]
    onnx.save(network(LAYERS, 0.0, SHAPE), str(names[0]))
    onnx.save(network(LAYERS, 1e-3, SHAPE), str(names[1]))
    np.save(names[2], np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32))
    return [str(name) for name in names]


def peak(script: str, *arguments: str) -> float:
    command = [sys.executable, "-c", script, *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_every_cap_holds_and_a_smaller_one_needs_no_more(files: list[str]) -> None:
    plain = peak(_PLAIN, *files)
    peaks = {cap: peak(_COMPARE, *files, f"{cap}MiB") for cap in (32, 64, 256)}
    for cap, found in peaks.items():
        assert found <= plain + cap + ALLOWED, (plain, peaks)
    # A little, not a rule: pages that the system keeps differ from run to run.
    assert peaks[32] <= peaks[64] + 16 <= peaks[256] + 32, (plain, peaks)
