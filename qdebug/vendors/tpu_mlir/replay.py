"""TPU-MLIR's integer arithmetic, layer by layer, from its lowered text.

Fed with TPU-MLIR's own codes, all 50 Convs of MobileNetV2 give its codes exactly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdebug.encodings.integer import (
    Codes,
    Rounding,
    Window,
    by_channel,
    conv_sums,
    pool_sums,
    rescaled,
)
from qdebug.encodings.source import Source
from qdebug.graph.qparams import code_range
from qdebug.vendors.tpu_mlir.lowered import QUANTIZED, Operation, operations

_ROUNDINGS: dict[str, Rounding] = {
    "HalfUp": "half_up",
    "HalfAwayFromZero": "half_away",
    "HalfToEven": "half_even",
    "Down": "down",
}


@dataclass(frozen=True)
class Step:
    """A layer that can be replayed.

    Attributes:
        name: of its result, as in the calibration table.
        op: ``Conv2D``, ``MatMul``, ``Add``, ``Pool2D``, ``Mul``.
        operands: names of the results that it reads; empty for a weight.
        dtype: of its codes.
        scale: of them.
        text: its attributes.
    """

    name: str
    op: str
    operands: tuple[str, ...]
    dtype: str
    scale: float
    text: str

    def numbers(self, *names: str) -> list[int]:
        """The integers of the first attribute that the layer has; empty without one."""
        for name in names:
            found = re.search(rf"\b{name} = (?:\[([^\]]*)\]|(-?\d+))", self.text)
            if found is not None:
                return [int(word) for word in (found[1] or found[2]).split(",")]
        return []

    @property
    def rounding(self) -> Rounding:
        """Of its sums."""
        found = re.search(r"\bround_mode = #tpu<round_mode (\w+)>", self.text)
        return _ROUNDINGS[found[1]] if found is not None else "half_up"

    @property
    def window(self) -> Window:
        """Of its kernel."""
        rows, columns = (self.numbers("strides") or [1, 1])[:2]
        pads = self.numbers("pads") or [0, 0, 0, 0]
        dilations = self.numbers("dilations") or [1, 1]
        group = (self.numbers("group") or [1])[0]
        return Window((rows, columns), tuple(pads[:4]), tuple(dilations[:2]), group)  # type: ignore[arg-type]


def steps(source: Source) -> dict[str, Step]:
    """The layers of a lowered text whose results are codes, by name."""
    named: dict[str, str] = {}
    found: dict[str, Step] = {}
    for item in operations(source.text or ""):
        named[item.result] = item.names[0]
        step = _step(item, named)
        if step is not None:
            found[step.name] = step
    return found


def _step(item: Operation, named: dict[str, str]) -> Step | None:
    kind = QUANTIZED.search(item.types[0]) if item.types else None
    if item.dialect != "tpu" or kind is None:
        return None
    operands = tuple(named.get(value, "") for value in item.operands)
    dtype = f"{'u' if kind[1] == 'u' else ''}int{kind[2]}"
    return Step(item.names[0], item.op, operands, dtype, float(kind[3]), item.text)


def replay(
    step: Step,
    inputs: Sequence[Codes],
    weight: Codes | None = None,
    bias: Codes | None = None,
) -> Codes | None:
    """What TPU-MLIR computes in one layer.

    Args:
        step: the layer.
        inputs: codes of the tensors that it reads.
        weight: codes of its weight, in ONNX's layout; of a MatMul ``[in, out]``.
        bias: int32 at the scale of input times weight.

    Returns:
        Codes; None for a layer whose arithmetic is not known.
    """
    if step.op in ("Conv2D", "MatMul") and weight is not None:
        made = _product(step, inputs[0], weight, bias)
    elif step.op == "Add":
        made = _added(step, inputs)
    elif step.op == "Mul":
        product = inputs[0] * inputs[1]
        made = rescaled(product, *_fixed_point(step), step.rounding)
    elif step.op == "Pool2D" and "pool_mode Avg" in step.text:
        rows, columns = step.numbers("kernel_shape")
        sums = pool_sums(inputs[0], (rows, columns), step.window)
        made = rescaled(sums, *_fixed_point(step), step.rounding)
    else:
        return None
    low, high = code_range(step.dtype)
    if "do_relu = true" in step.text:
        low = max(low, 0)
    clipped: Codes = np.clip(made, low, high)
    return clipped


def _product(step: Step, codes: Codes, weight: Codes, bias: Codes | None) -> Codes:
    if step.op == "MatMul":
        sums = np.rint(codes.astype(np.float64) @ weight.astype(np.float64)).astype(np.int64)
    else:
        sums = conv_sums(codes, weight, step.window)
    if bias is not None:
        sums = sums + by_channel(bias, sums.ndim)
    multiplier, shift = (by_channel(v, sums.ndim) for v in _fixed_point(step))
    return rescaled(sums, multiplier, shift, step.rounding)


def _added(step: Step, inputs: Sequence[Codes]) -> Codes:
    """Each input is brought to the result's scale and rounded, then they are summed."""
    multipliers, shifts = _fixed_point(step)
    parts = [
        rescaled(codes, multiplier, shift, step.rounding)
        for codes, multiplier, shift in zip(inputs, multipliers, shifts, strict=True)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _fixed_point(step: Step) -> tuple[list[int], list[int]]:
    return step.numbers("multipliers", "multiplier"), step.numbers("rshifts", "rshift")
