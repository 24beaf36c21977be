"""Applies the advice of a finding to the quant model itself, as a user's script would.

Plain ONNX surgery, independent of how qdebug computes a gain: tensors lose their Q/DQ pair, weights
become the float model's, quantizers get the range that the finding gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdebug.run.model import Finding, Layer, Run
from tests.support.editor import WEIGHTED, Editor

RANGES = ("activation-clipping", "range-too-wide")
WITH_WEIGHTS = ("error-source",)
"""Findings whose advice takes the weights of their layers out of quantization, too."""


def cured(
    run: Run, finding: Finding, models: tuple[onnx.ModelProto, onnx.ModelProto]
) -> onnx.ModelProto:
    """The quant model with a finding's advice applied.

    Args:
        run: that the finding is from.
        finding: which one.
        models: the float and the quant model.

    Raises:
        ValueError: the quant model has no Q/DQ pair to change.
    """
    floats, quant = Editor(models[0]), Editor(models[1])
    layers = [run.layers[at] for at in finding.layers]
    if finding.slug in RANGES:
        changed = sum(_set_range(quant, layers, row) for row in _better_ranges(finding))
    else:
        changed = sum([_set_free(floats, quant, layer) for layer in layers])
        if finding.slug in WITH_WEIGHTS:
            changed += sum([_set_float_weights(floats, quant, layer) for layer in layers])
    if not changed:
        raise ValueError(f"{finding.slug}: nothing to change in the quant model")
    return _sorted(quant.model)


def _set_free(floats: Editor, quant: Editor, layer: Layer) -> bool:
    """Let everything read the tensor as it is before its Q/DQ pair, activation included."""
    dequantizer = quant.dequantizer(layer.quant_tensor)
    quantizer = quant.producer.get(dequantizer.input[0]) if dequantizer is not None else None
    if quantizer is None or quantizer.op_type != "QuantizeLinear":
        return False
    raw, after = quantizer.input[0], _folded_activation(floats, quant, layer, quantizer.input[0])
    names = {n.output[0] for n in quant.readers(quantizer.output[0])}
    for node in quant.graph.node:
        for slot, name in enumerate(node.input):
            if name in names:
                node.input[slot] = after
    for output in quant.graph.output:
        if output.name in names:
            quant.producer[output.name].output[0] = f"{output.name}/codes"
            quant.graph.node.append(helper.make_node("Identity", [after], [output.name]))
    if after != raw:
        quant.producer[after] = quant.graph.node[-1]
    return True


def _folded_activation(floats: Editor, quant: Editor, layer: Layer, raw: str) -> str:
    """The float model's activation behind a tensor whose quantizer stood in for it."""
    node = floats.producer.get(layer.float_tensor)
    source = quant.producer.get(raw)
    if node is None or node.op_type not in ("Relu", "Clip"):
        return raw
    if source is not None and source.op_type == node.op_type:
        return raw
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[0], copy.output[0] = raw, f"{raw}/activation"
    for slot, name in enumerate(node.input):
        if slot and name:
            copy.input[slot] = f"{raw}/bound/{slot}"
            bound = numpy_helper.from_array(floats.value(name), copy.input[slot])
            quant.graph.initializer.append(bound)
    quant.graph.node.append(copy)
    return str(copy.output[0])


def _set_float_weights(floats: Editor, quant: Editor, layer: Layer) -> bool:
    """Give the node behind a tensor the float model's weight and bias."""
    dequantizer = quant.dequantizer(layer.quant_tensor)
    if dequantizer is None or layer.float_tensor not in floats.producer:
        return False
    try:
        node = quant.weighted(quant.producer[dequantizer.input[0]].input[0])
        twin = floats.weighted(layer.float_tensor)
    except (KeyError, IndexError):
        return False
    changed = False
    for slot, name in enumerate(twin.input[1:], 1):
        stored = quant.dequantizer(node.input[slot])
        if stored is None or name not in floats.constants or stored.input[0] not in quant.constants:
            continue
        if list(floats.constants[name].dims) != list(quant.constants[stored.input[0]].dims):
            continue
        node.input[slot] = f"{name}/float"
        quant.graph.initializer.append(
            numpy_helper.from_array(floats.value(name), node.input[slot])
        )
        changed = True
    return changed and node.op_type in WEIGHTED


def _better_ranges(finding: Finding) -> list[tuple[str, float, float]]:
    table = next(e.data for e in finding.evidence if e.kind == "table")
    found = []
    for row in table["rows"]:
        low, _, high = row[table["columns"].index("better range")].partition("..")
        found.append((row[0], float(low), float(high)))
    return found


def _set_range(quant: Editor, layers: Sequence[Layer], row: tuple[str, float, float]) -> bool:
    """Another scale and zero point for the Q and DQ nodes of a tensor."""
    name, low, high = row
    layer = next(x for x in layers if x.name == name)
    dequantizer = quant.dequantizer(layer.quant_tensor)
    quantizer = quant.producer.get(dequantizer.input[0]) if dequantizer is not None else None
    if quantizer is None or quantizer.op_type != "QuantizeLinear":
        return False
    zero = quant.value(quantizer.input[2])
    ends = np.iinfo(zero.dtype)
    scale = np.float32((max(high, 0) - min(low, 0)) / (ends.max - ends.min))
    shifted = np.array(round(ends.min - min(low, 0) / float(scale)), zero.dtype)
    for node in (quantizer, *quant.readers(quantizer.output[0])):
        quant.set(quant.own(node, 1), np.array(scale))
        quant.set(quant.own(node, 2), shifted)
    return True


def _sorted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Nodes in an order in which each one's inputs are there."""
    made = {name for node in model.graph.node for name in node.output}
    known: set[str] = {""}
    left, ordered = list(model.graph.node), []
    while left:
        ready = [all(x in known or x not in made for x in n.input) for n in left]
        if not any(ready):
            raise ValueError("the changed graph has a cycle")
        found = list(itertools.compress(left, ready))
        known |= {name for node in found for name in node.output}
        ordered += found
        left = [node for node, is_ready in zip(left, ready, strict=True) if not is_ready]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    return model
