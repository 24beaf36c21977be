"""``python -m benchmarks.vendors rknn|tpu-mlir|horizon --python ENV/bin/python``, or ``ncnn``.

Takes a toolchain's program through the sample classifier: the program writes its table, qdebug
reads it, compares, writes a fix, and the program is given that. One line a step, ``ok`` or
``REFUSED``; the figures are SQNR in dB of the program's own output against the float model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.vendors import horizon, ncnn, rknn, tpu_mlir
from benchmarks.vendors.work import Bench, Row

TOOLCHAINS: dict[str, Callable[[Bench], list[Row]]] = {
    "rknn": rknn.steps,
    "tpu-mlir": tpu_mlir.steps,
    "ncnn": ncnn.steps,
    "horizon": horizon.steps,
}


def main(arguments: list[str]) -> int:
    """Run one toolchain; 1 where its program refused something."""
    parser = argparse.ArgumentParser(prog="benchmarks.vendors", description=__doc__)
    parser.add_argument("toolchain", choices=TOOLCHAINS)
    parser.add_argument("--python", type=Path, help="the interpreter of the program's environment")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = TOOLCHAINS[args.toolchain](Bench(Path(folder), args.python))
    for row in rows:
        print(f"{'ok' if row.ok else 'REFUSED':<8} {row.step}: {row.told}")
    return 0 if rows and all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
