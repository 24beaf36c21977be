"""Peak memory under a cap, on a graph whose activations exceed it many times over.

    python -m benchmarks.memory [--gigabytes 8] [--cap 256MiB]

Builds a network of ``[1, 64, 512, 512]`` activations (64 MiB each) as long as needed, quantizes
its weights a little differently in the twin, and compares the two in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdebug.quantities import parse_size

ROOT = Path(__file__).resolve().parent.parent
SHAPE = (1, 64, 512, 512)
_COMPARE = """
import json, sys, time
from qdebug.comparison import compare
from qdebug.comparison.compare import peak_rss_mib
start = time.perf_counter()
run = compare(sys.argv[1], sys.argv[2], sys.argv[3], max_memory=int(sys.argv[4]))
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "peak_mib": peak_rss_mib(),
    "layers": len(run.layers),
    "captured_gb": 2 * 4e-9 * sum(int(__import__("math").prod(l.shape)) for l in run.layers),
    "plan": [note for note in run.notes if "segment" in note],
}))
"""


def network(layers: int, noise: float) -> onnx.ModelProto:
    """A chain of scalings and activations; ``noise`` tells the twin from the reference."""
    rng = np.random.default_rng(0)
    nodes, constants = [], []
    last = "x"
    for number in range(layers // 2):
        factor = rng.uniform(0.8, 1.25, (1, SHAPE[1], 1, 1)) * (1 + noise)
        constants.append(numpy_helper.from_array(factor.astype(np.float32), f"w{number}"))
        nodes.append(helper.make_node("Mul", [last, f"w{number}"], [f"m{number}"]))
        last = f"y{number}"
        nodes.append(helper.make_node("LeakyRelu", [f"m{number}"], [last], alpha=0.9))
    graph = helper.make_graph(
        nodes,
        "tall",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, SHAPE)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def main() -> int:
    """Build, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--cap", type=parse_size, default=parse_size("256MiB"))
    args = parser.parse_args()
    layers = int(args.gigabytes * 1e9 / (4 * np.prod(SHAPE))) + 1
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("float.onnx", "quant.onnx", "x.npy")]
        onnx.save(network(layers, 0.0), str(files[0]))
        onnx.save(network(layers, 1e-3), str(files[1]))
        np.save(files[2], np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32))
        command = [sys.executable, "-c", _COMPARE, *map(str, files), str(args.cap)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return 1
    found = json.loads(done.stdout)
    print(f"{found['layers']} layers, {found['captured_gb']:.1f} GB captured on both sides")
    print(*found["plan"], sep="\n")
    print(f"{found['seconds']:.1f} s, peak {found['peak_mib']:.0f} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
