"""ONNX Runtime: a script that quantizes with overrides, and the quantized graph itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import external_data_helper

from qdebug.encodings.model import Encoding, Entry
from qdebug.errors import UsageError
from qdebug.vendors.encodings import Change, Written

_TYPES = {"int8": "QInt8", "uint8": "QUInt8", "int16": "QInt16", "uint16": "QUInt16"}
_SCRIPT = '''\
"""Quantizes a model with ONNX Runtime: python SCRIPT float.onnx quant.onnx inputs.npz ...

Each .npz file holds one input of the model, by input name. Written by qdebug.
"""

import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

NODES_TO_EXCLUDE = [{exclude}]
OVERRIDES = {{{overrides}}}


class Reader(CalibrationDataReader):
    def __init__(self, files):
        self._files = iter(files)

    def get_next(self):
        file = next(self._files, None)
        return None if file is None else dict(np.load(file))


if __name__ == "__main__":
    float_model, quant_model, *files = sys.argv[1:]
    quantize_static(
        float_model,
        quant_model,
        Reader(files),
        per_channel=True,
        nodes_to_exclude=NODES_TO_EXCLUDE,
        extra_options={{"TensorQuantOverrides": OVERRIDES}},
    )
'''


def write_script(change: Change) -> Written:
    """A script with ``nodes_to_exclude`` and ``TensorQuantOverrides``.

    A better range overrides the tensor's; without any change that is asked for, all encodings of
    activations do, so that the script gives the same quantization again.
    """
    exclude = [f"    {layer.node!r}," for layer in change.keep]
    lines = list(_ranges(change))
    left = 0
    if not change.keep and not change.ranges:
        overrides = [_scales(e.name, e.encoding) for e in _whole(change)]
        lines = [line for line in overrides if line]
        left = len(overrides) - len(lines)
    if not exclude and not lines:
        raise UsageError("there is nothing that the script could say")
    text = _SCRIPT.format(exclude=_block(exclude), overrides=_block(lines))
    notes = (f"{left} tensors are left out: the script holds one scale for each tensor only",)
    return Written(text.encode(), notes if left else ())


def _whole(change: Change) -> Iterator[Entry]:
    return (e for e in change.encodings.entries if e.kind == "tensor" and not e.readers)


def _ranges(change: Change) -> Iterator[str]:
    for item in change.ranges:
        low, high = (f"np.float32({value:.9g})" for value in (item.low, item.high))
        yield f'    {item.layer.tensor!r}: [{{"rmin": {low}, "rmax": {high}}}],'


def _scales(name: str, encoding: Encoding) -> str:
    """An override; empty where ONNX Runtime has no type for it, or it has many scales."""
    if encoding.scale is None or encoding.zero_point is None or encoding.scale.ndim:
        return ""
    kind = _TYPES.get(encoding.dtype)
    if kind is None:
        return ""
    scale = f"np.array({float(encoding.scale):.9g}, np.float32)"
    zero = f"np.array({int(encoding.zero_point)}, np.{encoding.dtype})"
    kinds = f'"quant_type": QuantType.{kind}'
    return f'    {name!r}: [{{{kinds}, "scale": {scale}, "zero_point": {zero}}}],'


def _block(lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"\n{text}\n" if text else ""


def write_graph(change: Change) -> Written:
    """The quantized graph as QDQ, its weights inside."""
    if change.model is None:
        raise UsageError(
            "a run holds no graph", "qdebug quantize writes a quantized graph of FLOAT"
        )
    model = onnx.ModelProto()
    model.CopyFrom(change.model.proto)
    external_data_helper.load_external_data_for_model(model, str(change.model.folder))
    return Written(model.SerializeToString())
