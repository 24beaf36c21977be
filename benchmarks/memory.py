"""Peak memory under a cap: plain inference against comparing, capped and uncapped.

    python -m benchmarks.memory [--gigabytes 8] [--caps 32MiB,256MiB,2GiB]
    python -m benchmarks.memory --model yolov5n --images 1,16 [--caps ...]

On the largest real model that is here, and on a network of ``[1, 64, 256, 512]`` activations
(32 MiB each) as long as it takes, whose twin has slightly other weights. Every figure comes from a
process of its own. Capped and uncapped runs must give identical numbers. With ``--model`` that one
alone, by the cap and the number of pictures: seconds and peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.cases import CASES
from qdebug.quantities import parse_size

ROOT = Path(__file__).resolve().parent.parent
SHAPE = (1, 64, 256, 512)
UNCAPPED = 1 << 62
_SCRIPT = """
import json, math, sys, time
import qdebug
from qdebug.comparison.compare import peak_rss_mib
start = time.perf_counter()
float_model, quant_model, cap, spec, *inputs = sys.argv[1:]
run = qdebug.compare(
    float_model, quant_model, inputs, max_memory=int(cap), preprocess=spec or None
)
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "peak_mib": peak_rss_mib(),
    "captured_gb": 8e-9 * sum(math.prod(layer.shape) for layer in run.layers),
    "plan": [note for note in run.notes if "segment" in note],
    "numbers": [repr((l.float_tensor, l.accumulated, l.local)) for l in run.layers],
}))
"""
_PLAIN = """
import sys
import numpy as np, onnxruntime
from qdebug.comparison.compare import peak_rss_mib
from qdebug.preprocess import PreprocessSpec, prepare_file
from pathlib import Path
*models, _, spec = sys.argv[1:5]
sessions = [onnxruntime.InferenceSession(m, providers=["CPUExecutionProvider"]) for m in models]
for path in map(Path, sys.argv[5:]):
    x = np.load(path) if path.suffix == ".npy" else prepare_file(
        path, PreprocessSpec.parse(spec)).tensor
    for session in sessions:
        session.run(None, {session.get_inputs()[0].name: x})
print(peak_rss_mib())
"""


@dataclass(frozen=True)
class Given:
    """What to measure: two models and an input."""

    name: str
    files: tuple[Path, Path, Path]
    spec: str
    is_small: bool
    """Whether an uncapped run fits into memory."""
    more: tuple[Path, ...] = ()
    """Further inputs."""


def network(layers: int, noise: float, shape: tuple[int, int, int, int] = SHAPE) -> onnx.ModelProto:
    """A chain of scalings and activations; ``noise`` tells the twin from the reference."""
    rng = np.random.default_rng(0)
    nodes, constants = [], []
    last = "x"
    for number in range(layers // 2):
        factor = rng.uniform(0.8, 1.25, (1, shape[1], 1, 1)) * (1 + noise)
        constants.append(numpy_helper.from_array(factor.astype(np.float32), f"w{number}"))
        nodes.append(helper.make_node("Mul", [last, f"w{number}"], [f"m{number}"]))
        last = f"y{number}"
        nodes.append(helper.make_node("LeakyRelu", [f"m{number}"], [last], alpha=0.9))
    graph = helper.make_graph(
        nodes,
        "tall",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _given(folder: Path, gigabytes: float) -> Iterator[Given]:
    largest = max(
        (c for c in CASES if c.float_model.exists()), key=lambda c: c.float_model.stat().st_size
    )
    files = largest.float_model, largest.quant_model, largest.files(1)[0]
    yield Given(largest.name, files, largest.spec, True)
    for size, is_small in ((1.0, True), (gigabytes, False)):
        made = tuple(folder / f"{size}-{name}" for name in ("float.onnx", "quant.onnx", "x.npy"))
        layers = int(size * 1e9 / (4 * np.prod(SHAPE))) + 1
        onnx.save(network(layers, 0.0), str(made[0]))
        onnx.save(network(layers, 1e-3), str(made[1]))
        np.save(made[2], np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32))
        yield Given(f"{size:g} GB of activations", (made[0], made[1], made[2]), "", is_small)


def _process(script: str, given: Given, cap: int) -> Any:
    *models, file = map(str, given.files)
    inputs = (file, *map(str, given.more))
    command = [sys.executable, "-c", script, *models, str(cap), given.spec, *inputs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def lines(gigabytes: float, caps: Sequence[int]) -> Iterator[str]:
    """The table, line by line."""
    heads = "graph", "captured GB", "cap MiB", "plain MiB", "capped MiB", "plain + cap + 300"
    yield f"| {' | '.join(heads)} | same numbers |"
    yield "|---|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        for given in _given(Path(folder), gigabytes):
            plain = float(_process(_PLAIN, given, 0))
            whole = _process(_SCRIPT, given, UNCAPPED) if given.is_small else None
            for cap in caps:
                yield _line(given, plain, whole, cap)


def _line(given: Given, plain: float, whole: Any, cap: int) -> str:
    capped = _process(_SCRIPT, given, cap)
    print(*capped["plan"], sep="\n", file=sys.stderr)
    same = "too large to tell"
    if whole is not None:
        same = "yes" if whole["numbers"] == capped["numbers"] else "NO"
    mib = cap / 2**20
    return (
        f"| {given.name} | {capped['captured_gb']:.1f} | {mib:.0f} | {plain:.0f} | "
        f"{capped['peak_mib']:.0f} | {plain + mib + 300:.0f} | {same} |"
    )


def lines_by_cap(name: str, counts: Sequence[int], caps: Sequence[int]) -> Iterator[str]:
    """One model's table, line by line; ``name`` is how its name begins."""
    case = next(c for c in CASES if c.name.startswith(name))
    yield f"| `--max-memory`, {case.name} | images | seconds | peak MiB | above plain |"
    yield "|---|---|---|---|---|"
    for count in counts:
        first, *more = dict.fromkeys(case.files(count))
        files = case.float_model, case.quant_model, first
        given = Given(case.name, files, case.spec, True, tuple(more))
        plain = float(_process(_PLAIN, given, 0))
        for cap in caps:
            found = _process(_SCRIPT, given, cap)
            peak, mib = found["peak_mib"], cap / 2**20
            yield (
                f"| {mib:.0f}MiB | {1 + len(more)} | {found['seconds']:.1f} | {peak:.0f} | "
                f"{peak - plain:.0f} |"
            )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--caps", default="32MiB,64MiB,128MiB,256MiB,1GiB,2GiB")
    parser.add_argument("--model", help="one model of the benchmarks alone, by the cap")
    parser.add_argument("--images", default="1,16")
    args = parser.parse_args()
    caps = [parse_size(text) for text in args.caps.split(",")]
    counts = [int(text) for text in args.images.split(",")]
    table = lines_by_cap(args.model, counts, caps) if args.model else lines(args.gigabytes, caps)
    for line in table:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
