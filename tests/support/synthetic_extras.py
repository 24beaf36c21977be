"""What only some runs have, put into a generated one: a board, crops of layers, a tuning."""

from __future__ import annotations

import dataclasses

import numpy as np

from qdebug.run.board_results import BoardInfo, BoardLayer
from qdebug.run.crops import CROPS_NPZ, Crop, CropValues, crops_to_bytes
from qdebug.run.files import MemoryFiles
from qdebug.run.model import Finding, Layer, Run, Verdict
from qdebug.run.tuning import (
    Cure,
    CurvePoint,
    Measured,
    MethodResult,
    PlannedUnit,
    Trial,
    Tuning,
    UnitChoice,
    UnitSetting,
)

BOARD_DB = 12.5
"""SQNR of the layer at which the board leaves the simulation."""


def with_board(run: Run, at: int = 5, name: str = "snapshot.npz", tensor: str = "{}_si8") -> Run:
    """The run with a board that computes one layer otherwise, and lacks every seventh.

    Args:
        run: the run.
        at: position of that layer.
        name: of the dump.
        tensor: form of the dump's names, from the float tensors'.
    """
    layers = tuple(
        dataclasses.replace(layer, board=_on_board(layer, i == at, i % 7 == 6, tensor))
        for i, layer in enumerate(run.layers)
    )
    named = run.layers[at].name
    finding = Finding(
        "QD703", "board-layer", "fail", "error", f"{named} computes something else on the board",
        f"{named} agrees to {BOARD_DB} dB", "Look at the scale.", layers=(at,), gate="board",
    )  # fmt: skip
    unmapped = ((tensor.format("blob"), f"like nothing of {named}"),)
    return dataclasses.replace(
        run,
        layers=layers,
        findings=(finding, *run.findings),
        verdict=Verdict("fail", "board", finding.seen, run.verdict.limits),
        board=BoardInfo(name, "TPU-MLIR npz", len(layers), len(layers) - 1, unmapped),
    )


def _on_board(layer: Layer, wrong: bool, lacking: bool, tensor: str) -> BoardLayer:
    if lacking or layer.accumulated is None:
        return BoardLayer("not_dumped", f"nothing is named {layer.name}")
    level = dataclasses.replace(layer.accumulated, sqnr_db=BOARD_DB if wrong else 40.0)
    return BoardLayer(
        "compared",
        tensor=tensor.format(layer.float_tensor),
        mapped_by="suffix",
        layout="NHWC",
        scale=0.0625,
        scale_from="dump",
        against_quant=level,
        against_float=layer.accumulated,
        own=level if wrong else None,
        own_steps=2.5 if wrong else None,
        own_gain=1.25 if wrong else None,
    )


def with_crops(run: Run, *positions: int) -> Run:
    """The run with a crop of some layers: one channel of an image, and, last, a table."""
    rng = np.random.default_rng(1)
    layers, values = list(run.layers), {}
    for at in positions:
        is_table = at == positions[-1]
        size = (8, 40) if is_table else (24, 32)
        f = rng.normal(0, 1, size).astype(np.float32)
        f *= np.logspace(-2, 2, size[0], dtype=np.float32)[:, None] if is_table else 1
        values[at] = CropValues(f, (np.round(f * 4) / 4).astype(np.float32))
        shape, axis = ((1, *size), 1) if is_table else ((1, 1, *size), 1)
        start = (0,) * len(shape) if is_table else (0, 3, 0, 8)
        crop = Crop(run.samples[0].name, start, shape)
        layers[at] = dataclasses.replace(layers[at], crop=crop, channel_axis=axis)
    files = {name: run.files.read(name) for name in run.files.names()}
    files[CROPS_NPZ] = crops_to_bytes(values)
    return dataclasses.replace(run, layers=tuple(layers), files=MemoryFiles(files))


def planned(name: str, given: float, ranges: float, wide: float, chosen: UnitChoice) -> PlannedUnit:
    """A unit whose share of the loss is known with each setting."""
    return PlannedUnit(
        name,
        (f"{name}_codes",),
        0.003,
        UnitSetting(0.1, 0, 255, 8, given),
        UnitSetting(0.05, 0, 255, 8, ranges),
        UnitSetting(0.001, 0, 65535, 16, wide),
        chosen,
    )


def with_tuning(run: Run, unit: str | None = None, *, has_units: bool = True) -> Run:
    """The run as the record of a tuning: two cures, one of them refused, a curve, methods.

    Args:
        run: the run.
        unit: name of the unit that went to 16 bits; None for the last layer's.
        has_units: whether the record holds units to switch, as those of earlier versions do not.
    """
    name = run.layers[-1].name if unit is None else unit
    given, tuned, best = Measured(0.5, 3.0, 0.2), Measured(0.01, 20.0, 0.9), Measured(1e-4, 40, 1.0)
    curve = [
        CurvePoint(added, (name,) * added, order, added * cost, 0.3 / (1 + added),
                   Measured(0.3 / (1 + added), 12.0 + 2 * added + extra, 0.5 + added / 20),
                   chosen=added == 5 and order == "share")
        for order, cost, extra in (("share", 0.01, 1.0), ("share per MAC", 0.002, 0.0))
        for added in (0, 1, 2, 3, 5, 8)
    ]  # fmt: skip
    tuning = Tuning(
        outcome="tuned",
        verdict=f"tuned: f1 from 0.200 to 0.900 with {name} at 16 bits",
        loss="boxes and scores",
        task="f1",
        searched=8,
        held_out=4,
        given=given,
        tuned=tuned,
        ceiling=best,
        target="f1 0.95",
        cures=(
            Cure("bits", "16 bits for what is broken", (name,), 12.0, 13.5, 0.2, 0.8, 0.003, True,
                 ""),
            Cure("bias", "bias correction", (), None, -0.4, 0.8, 0.7, 0.0, False, "worse held out",
                 float_equivalent=False),
            Cure("ranges", "ranges by KL", (), 9.0, 2.0, 0.8, 0.9, 0.0, True, ""),
        ),
        curve=tuple(curve),
        methods=(MethodResult("MAX", 0.4, None), MethodResult("KL", 0.2, tuned, chosen=True)),
        tried=(Trial("given", "as given", None, given),),
        notes=(f"{name} has no reverse rule",),
        files={"onnx": "tuned.onnx"},
        units=(
            planned(name, 0.4, 0.02, 0.001, "wide"),
            planned(f"{name}_2", 0.03, 0.01, 0.002, "ranges"),
        ) if has_units else (),
        floors={"given": 0.005} if has_units else None,
    )  # fmt: skip
    return dataclasses.replace(run, tuning=tuning)
