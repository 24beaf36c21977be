"""Which tensors belong together, told by their values and by nothing else.

Both graphs run on the same inputs. Activations of a QDQ graph pass through its quantizers clipped
but unrounded, so that a float tensor and its counterpart agree closely and nothing else does.
Written apart from the package's own pairing, on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pairing
from tests.support.flavours.surgery import NORMALIZATION
from tests.support.nets import Array

SAME, OTHER = 0.12, 0.3
"""Relative L2 distance up to which values are the same, and from which they are not."""

_Q, _DQ = "QuantizeLinear", "DequantizeLinear"
_OUT_SCALE = {
    "QLinearConv": (6, 7),
    "QLinearMatMul": (6, 7),
    "QGemm": (7, 8),
    "QLinearAdd": (6, 7),
    "QLinearMul": (6, 7),
    "QLinearConcat": (0, 1),
    "QLinearSigmoid": (3, 4),
    "QLinearLeakyRelu": (3, 4),
    "QLinearSoftmax": (3, 4),
    "QLinearAveragePool": (3, 4),
    "QLinearGlobalAveragePool": (3, 4),
    _Q: (1, 2),
}


def unrounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with activations clipped to each quantizer's range but not rounded."""
    if any(n.op_type in _OUT_SCALE and n.op_type != _Q for n in model.graph.node):
        return model  # codes are computed with: there is nothing to pass through
    made = onnx.ModelProto()
    made.CopyFrom(model)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    computed = {i.name for i in model.graph.input if _is_float(i)} - set(stored)
    for node in made.graph.node:
        if any(name in computed for name in node.input):
            computed.update(node.output)
            if node.op_type == _Q and node.input[1] in stored:
                _to_clip(made, node, stored)
            elif node.op_type == _DQ or (node.op_type == "Clip" and _on_codes(node, stored)):
                _to_identity(node)
    del made.graph.value_info[:]
    return made


def _is_float(info: onnx.ValueInfoProto) -> bool:
    return bool(info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT)


def _on_codes(node: onnx.NodeProto, stored: dict[str, Array]) -> bool:
    low = stored.get(node.input[1]) if len(node.input) > 1 else None
    return low is not None and low.dtype.kind == "i"


def _to_clip(model: onnx.ModelProto, node: onnx.NodeProto, stored: dict[str, Array]) -> None:
    scale = stored[node.input[1]]
    zero = stored[node.input[2]] if len(node.input) > 2 else np.zeros((), np.uint8)
    info = np.iinfo(zero.dtype)
    low, high = ((np.float32(c) - np.float32(zero)) * scale for c in (info.min, info.max))
    for name, value in (("low", low), ("high", high)):
        tensor = numpy_helper.from_array(np.float32(value).reshape(()), f"{node.output[0]}:{name}")
        model.graph.initializer.append(tensor)
    node.op_type, node.domain = "Clip", ""
    node.input[:] = [node.input[0], f"{node.output[0]}:low", f"{node.output[0]}:high"]
    del node.attribute[:]


def _to_identity(node: onnx.NodeProto) -> None:
    node.op_type, node.domain = "Identity", ""
    node.input[:] = [node.input[0]]
    del node.attribute[:]


def run_all(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """Values of all inputs and computed tensors, without graph optimizations."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    outputs = {o.name for o in model.graph.output}
    names = [n for node in model.graph.node if not _to_bfloat16(node) for n in node.output if n]
    tapped.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in outputs
    )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        tapped.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    wanted = [o.name for o in session.get_outputs()]
    return dict(zip(wanted, session.run(wanted, feeds), strict=True)) | feeds


def _to_bfloat16(node: onnx.NodeProto) -> bool:
    # numpy has no such type, and ONNX Runtime cannot hand the values out
    return any(a.name == "to" and a.i == onnx.TensorProto.BFLOAT16 for a in node.attribute)


def read_values(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """Real values of the tensors that operations (not quantizers) read, or that are outputs."""
    values = run_all(unrounded(model), feeds)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    _dequantize(model, values, stored)
    readers: dict[str, set[str]] = {o.name: {"output"} for o in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    return {
        name: value.astype(np.float32)
        for name, value in values.items()
        if readers.get(name, set()) - {_Q} and value.dtype.kind == "f"
    }


def _dequantize(model: onnx.ModelProto, values: dict[str, Array], stored: dict[str, Array]) -> None:
    scales: dict[str, tuple[Array, Array]] = {}
    for node in model.graph.node:
        slots = _OUT_SCALE.get(node.op_type)
        out = node.output[0]
        if slots is not None and len(node.input) > slots[1] and node.input[slots[0]] in stored:
            scales[out] = stored[node.input[slots[0]]], stored[node.input[slots[1]]]
        elif node.input and node.input[0] in scales and node.op_type != _DQ:
            for name in node.output:
                scales[name] = scales[node.input[0]]
    for name, (scale, zero) in scales.items():
        if name in values and values[name].dtype.kind in "iu" and scale.size == 1:
            codes = values[name].astype(np.float32)
            values[name] = (codes - zero.astype(np.float32)) * scale


def distance(left: Array, right: Array) -> float:
    """Smallest relative L2 distance over all layouts; 9 where the sizes differ.

    Of a repeated batch, the first part counts.
    """
    if right.ndim and right.size == 2 * left.size:
        right = right[: right.shape[0] // 2]
    if left.size != right.size or not left.size:
        return 9.0
    norm = float(np.linalg.norm(left))
    found = [right.reshape(left.shape)]
    if right.ndim <= 4:
        moved = (right.transpose(perm) for perm in permutations(range(right.ndim)))
        found += [other for other in moved if other.shape == left.shape]
    gap = min(float(np.linalg.norm(left - other)) for other in found)
    return gap / norm if norm else (0.0 if gap == 0 else 9.0)


@dataclass(frozen=True)
class Verdict:
    """How a pairing compares with the truth.

    Attributes:
        total: float tensors with a true counterpart.
        found: of these, how many are paired rightly.
        wrong: pairs whose values are not the same, as text.
        missed: float tensors with a counterpart but without a pair.
    """

    total: int
    found: int
    wrong: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def recall(self) -> float:
        """Share of the tensors with a true counterpart that are paired rightly."""
        return self.found / max(self.total, 1)


def feeds_for(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """The float graph's inputs as another graph takes them, by order.

    Transposed to NHWC, repeated for a larger batch, quantized, or with the graph's own
    normalization undone, whatever its inputs call for.
    """
    return {
        info.name: _feed_for(model, info, value)
        for info, value in zip(model.graph.input, feeds.values(), strict=True)
    }


def _feed_for(model: onnx.ModelProto, info: onnx.ValueInfoProto, value: Array) -> Array:
    dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
    if any(f"{info.name}_ready" in node.output for node in model.graph.node):
        value = np.float32(NORMALIZATION[0]) + value * np.float32(NORMALIZATION[1])
    if not _is_float(info):
        value = _codes(model, info.name, value)
    if len(dims) == 4 and dims[0] == value.shape[0] and tuple(dims) != value.shape:
        value = np.ascontiguousarray(value.transpose(0, 2, 3, 1))
    return np.repeat(value, max(dims[0], 1) // value.shape[0], axis=0)


def _codes(model: onnx.ModelProto, name: str, value: Array) -> Array:
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    reader = next(node for node in model.graph.node if name in node.input)
    scale, zero = (stored[n] for n in reader.input[1:3])
    bounds = np.iinfo(zero.dtype)
    codes: Array = np.clip(np.rint(value / scale) + zero, bounds.min, bounds.max)
    return codes.astype(zero.dtype)


def judge(
    pairing: Pairing, left: Graph, floats: dict[str, Array], quants: dict[str, Array]
) -> Verdict:
    """Compare a pairing with what values say.

    Args:
        pairing: to be judged.
        left: the float graph.
        floats: values of the float graph's tensors.
        quants: real values of the quant graph's tensors that are read.
    """
    computed = {n: v for n, v in floats.items() if v.dtype.kind == "f" and not left.is_constant(n)}
    pairs = {pair.float_tensor: pair for pair in pairing.pairs}
    counterparts = _counterparts(computed, quants)
    total, found, wrong, missed = 0, 0, [], []
    for name, value in computed.items():
        best = counterparts.get(name)
        total += best is not None
        pair = pairs.get(name)
        if pair is None:
            missed.extend([name] if best is not None else [])
            continue
        gap = distance(value, quants[pair.read]) if pair.read in quants else 9.0
        if gap > OTHER or (best is not None and gap > max(3 * best, SAME)):
            wrong.append(f"{name} with {pair.read}: {gap:.2f}, best {best}")
        else:
            found += best is not None
    return Verdict(total, found, tuple(wrong), tuple(missed))


def _counterparts(floats: dict[str, Array], quants: dict[str, Array]) -> dict[str, float]:
    """Float tensors that some quant tensor resembles, more than any other, by distance."""
    found: dict[str, float] = {}
    for value in quants.values():
        gaps = {
            n: distance(f, value) for n, f in floats.items() if value.size in (f.size, 2 * f.size)
        }
        nearest = min(gaps.values(), default=9.0)
        for name, gap in gaps.items():
            if gap < SAME and gap <= 1.5 * nearest + 1e-3:
                found[name] = min(gap, found.get(name, 9.0))
    return found
