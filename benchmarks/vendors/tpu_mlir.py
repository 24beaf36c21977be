"""TPU-MLIR: does ``model_deploy`` take a calibration table and a quantization table of qdebug's?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.vendors.work import FLOAT, MEAN, SIZE, STD, Bench, Row, fix_of, last_line, sqnr
from qdebug.encodings.model import Encoding, Encodings
from qdebug.encodings.source import Source
from qdebug.graph.load import load_graph
from qdebug.vendors.advice import BetterRange
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.tpu_mlir.lowered import read_lowered
from qdebug.vendors.tpu_mlir.writing import write_cali_table, write_qtable

_CHIP = "bm1684x"
_WIDER = 1.1
"""The range that is written over the one that was: any number but 1 shows that it is taken."""


def steps(bench: Bench) -> list[Row]:
    """Transform, calibrate, deploy as it was, and with the fix."""
    shape = f"[[1,3,{SIZE},{SIZE}]]"
    scale = ",".join(f"{1 / value:.10f}" for value in STD)
    transform = ["model_transform", "--model_name", "net", "--model_def", str(FLOAT)]
    transform += ["--input_shapes", shape, "--mean", ",".join(map(str, MEAN)), "--scale", scale]
    transform += ["--pixel_format", "rgb", "--mlir", "net.mlir"]
    folder = bench.pictures[0].parent
    table = bench.folder / "cali_table"
    calibrate = ["run_calibration", "net.mlir", "--dataset", str(folder), "--input_num", "4"]
    calibrate += ["--cali_method", "use_max", "-o", table.name]
    for title, command in (("model_transform", transform), ("run_calibration", calibrate)):
        code, said = bench.run(*command)
        if code:
            return [Row(title, False, last_line(said))]
    run = bench.compared(table)
    info = run.models.quant.encodings
    assert info is not None
    rows = [Row("its table is read", True, f"{info.placed} of {info.entries} entries placed")]
    change = _change(fix_of(run))
    rows.append(
        _deployed(bench, "model_deploy, table as it was", table, None, Change(change.encodings, ()))
    )
    fixed, qtable = bench.folder / "fixed_cali_table", bench.folder / "qtable"
    fixed.write_bytes(write_cali_table(replace(change, base=Source.read(table))).content)
    qtable.write_bytes(write_qtable(change).content)
    rows.append(_deployed(bench, "model_deploy, both tables with the fix", fixed, qtable, change))
    whole = bench.folder / "whole_cali_table"
    whole.write_bytes(write_cali_table(replace(change, ranges=())).content)
    rows.append(
        _deployed(
            bench,
            "model_deploy, a table made of the run",
            whole,
            None,
            Change(change.encodings, ()),
        )
    )
    return rows


def _change(change: Change) -> Change:
    """The fix, with one range made wider as well."""
    kept = {layer.tensor for layer in change.keep}
    entry = next(
        e for e in change.encodings.entries if e.encoding.is_linear and e.name not in kept
        and change.layer_of(e.name) is not None
    )  # fmt: skip
    layer = change.layer_of(entry.name)
    assert layer is not None
    low, high = (value * _WIDER for value in entry.encoding.quantizer().real_range)
    return replace(change, ranges=(BetterRange(layer, low, high, clips=False),))


def _deployed(bench: Bench, title: str, table: Path, qtable: Path | None, change: Change) -> Row:
    """Deploy; whether the lowered text holds what was asked for, and what its run gives."""
    command = ["model_deploy", "--mlir", "net.mlir", "--quantize", "INT8", "--chip", _CHIP]
    command += ["--calibration_table", table.name, "--model", "net.bmodel", "--debug"]
    command += ["--quantize_table", qtable.name] if qtable is not None else []
    code, said = bench.run(*command)
    text = bench.folder / f"net_{_CHIP}_int8_sym_tpu.mlir"
    if not text.exists():
        return Row(title, False, last_line(said))
    lowered = read_lowered(Source.read(text), Beside(load_graph(FLOAT)))
    ok, told = _held(lowered, table, change)
    np.savez(bench.folder / "in.npz", input=bench.fed)
    run = ["model_runner", "--input", "in.npz", "--model", text.name, "--output", "out.npz"]
    ran, words = bench.run(*run)
    if ran:
        return Row(title, False, f"{told}; its runner: {last_line(words)}")
    stored = np.load(bench.folder / "out.npz")
    theirs = next(stored[n] for n in stored.files if stored[n].size == bench.wanted.size)
    ours = bench.twin(table, qtable=qtable)
    told += f"; its runner {sqnr(bench.wanted, theirs):.1f} dB, qdebug's twin "
    told += f"{sqnr(bench.wanted, ours):.1f} dB, one against the other {sqnr(theirs, ours):.1f} dB"
    text.unlink()
    return Row(title, ok and code == 0, told)


def _held(lowered: Encodings, table: Path, change: Change) -> tuple[bool, str]:
    """Whether layers to keep are in float, and how many thresholds are those of the table."""
    rows = [line.split() for _, line in Source.read(table).lines()]
    floats = [f"{x.tensor}_{x.op}" in lowered.of_kind("node") for x in change.keep]
    held = lowered.of_kind("tensor")
    codes = [(float(row[1]), held[row[0]].encoding) for row in rows if row[0] in held]
    same = sum(_reach(encoding) / threshold - 1 < 1e-4 for threshold, encoding in codes)
    told = f"{sum(floats)} of {len(floats)} layers in float, " if floats else ""
    return all(floats), f"{told}{same} of {len(codes)} thresholds are the table's"


def _reach(encoding: Encoding) -> float:
    return encoding.quantizer(0).real_range[1]
