"""RKNN-Toolkit2: does step 2 of hybrid quantization take the cfg with qdebug's lines?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.vendors.work import FLOAT, MEAN, STD, Bench, Row, fix_of, last_line, sqnr
from qdebug.encodings.source import Source
from qdebug.vendors.rknn.writing import write_cfg

_PROGRAM = Path(__file__).parent / "programs" / "hybrid_quantization.py"


def steps(bench: Bench) -> list[Row]:
    """Step 1, the fix, step 2 with the cfg as it was and with the fix in it."""
    assert bench.python is not None, "give the program's environment: --python"
    dataset = bench.folder / "dataset.txt"
    dataset.write_text("".join(f"{path}\n" for path in bench.pictures))
    numbers = [",".join(map(str, values)) for values in (MEAN, STD)]
    code, said = bench.run(bench.python, _PROGRAM, "step1", FLOAT, dataset, *numbers)
    cfg = bench.folder / "float.quantization.cfg"
    if code or not cfg.exists():
        return [Row("step 1", False, last_line(said))]
    run = bench.compared(cfg)
    info = run.models.quant.encodings
    assert info is not None
    rows = [Row("its cfg is read", True, f"{info.placed} of {info.entries} entries placed")]
    change = fix_of(run)
    written = write_cfg(replace(change, ranges=(), base=Source.read(cfg)))
    fixed = bench.folder / "fixed.quantization.cfg"
    fixed.write_bytes(written.content)
    for title, path in (("step 2, cfg as it was", cfg), ("step 2, cfg with the fix", fixed)):
        rows.append(_step_2(bench, title, path, numbers))
    kept = ", ".join(layer.tensor for layer in change.keep)
    return [*rows, Row("the fix", True, f"float16 for {kept}; {' '.join(written.notes)}")]


def _step_2(bench: Bench, title: str, cfg: Path, numbers: list[str]) -> Row:
    assert bench.python is not None
    out = bench.folder / "output.npz"
    given = cfg, bench.pictures[0], out
    code, said = bench.run(bench.python, _PROGRAM, "step2", *given, *numbers)
    if code or not out.exists():
        return Row(title, False, last_line(said))
    theirs = np.load(out)["output"]
    ours = bench.twin(cfg)
    told = f"its simulator {sqnr(bench.wanted, theirs):.1f} dB, qdebug's twin "
    told += f"{sqnr(bench.wanted, ours):.1f} dB, one against the other {sqnr(theirs, ours):.1f} dB"
    return Row(title, True, told)
