"""Peak memory stays below plain inference, the cap and a constant, for small caps as for large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

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
