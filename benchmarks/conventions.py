"""Networks that work, re-expressed for another normalization and order of the channels.

What a network computes of its input in another convention is a gain, an offset and a permutation
before its first layer; folded into that layer they leave a network of which nothing but its answers
tells what it is fed. Exact up to the border of padded pictures.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdebug.preprocess import PreprocessSpec, prepare_file

Array = npt.NDArray[Any]

CONVENTIONS = (
    "/255",
    "",
    "mean 127.5 std 127.5",
    "mean 127 std 128",
    "mean 123.675,116.28,103.53 std 58.395,57.12,57.375",
    "mean 123.68,116.779,103.939",
    "mean 122.7709,116.7460,104.0937 std 68.5005,66.6322,70.3232",
    "mean 128 std 1",
    "/127.5",
    "mean 128 std 64",
)
"""Those that people use, in RGB order, and two that nobody does."""


@dataclass(frozen=True)
class Convention:
    """What a network is fed.

    Attributes:
        text: the normalization as a spec has it, its numbers in RGB order.
        order: ``rgb`` or ``bgr``.
    """

    text: str
    order: str

    def affine(self) -> tuple[Array, Array]:
        """Gain and offset of the channels in their order, from pixels 0..255."""
        spec = PreprocessSpec.parse(" | ".join(filter(None, ("rgb", self.text, "nchw"))))
        gain, offset = (np.broadcast_to(v, 3) for v in (spec.affine.gain, spec.affine.offset))
        turn = slice(None, None, -1 if self.order == "bgr" else 1)
        return gain[turn].astype(np.float64), offset[turn].astype(np.float64)


def refolded(model: onnx.ModelProto, own: Convention, wanted: Convention) -> onnx.ModelProto:
    """The network that answers with ``wanted`` what ``model`` answers with ``own``.

    Raises:
        ValueError: the input does not lead to convolutions alone.
    """
    model = copy.deepcopy(model)
    del model.metadata_props[:]  # which may tell the own convention
    (gain, offset), (new_gain, new_offset) = own.affine(), wanted.affine()
    turn = slice(None, None, 1 if own.order == wanted.order else -1)
    scale = gain / new_gain[turn]
    shift = offset - scale * new_offset[turn]
    weights = _constants(model)
    fed = next(item.name for item in model.graph.input if item.name not in weights)
    for conv in _first_convs(model, fed):
        weight = numpy_helper.to_array(weights[conv.input[1]]).astype(np.float64)
        groups = weight.shape[1] // 3
        turned = weight.reshape(len(weight), groups, 3, *weight.shape[2:])
        by_channel = (slice(None), *(None,) * (turned.ndim - 3))
        moved = (turned * shift[by_channel]).reshape(len(weight), -1).sum(axis=1)
        changed = (turned * scale[by_channel])[:, :, turn].reshape(weight.shape)
        _set(model, conv, changed, moved)
    return model


def _set(model: onnx.ModelProto, conv: onnx.NodeProto, weight: Array, moved: Array) -> None:
    """Give a convolution a weight, and move its bias."""
    known = _constants(model)
    has_bias = len(conv.input) > 2
    bias = numpy_helper.to_array(known[conv.input[2]]) if has_bias else np.zeros(len(weight))
    values = {f"{conv.output[0]}_w": weight, f"{conv.output[0]}_b": bias + moved}
    first = conv.input[0]
    del conv.input[:]
    conv.input.extend([first, *values])
    for name, value in values.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))


def _constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Initializers and the values of ``Constant`` nodes."""
    found = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            found[node.output[0]] = node.attribute[0].t
    return found


def _first_convs(model: onnx.ModelProto, fed: str) -> list[onnx.NodeProto]:
    """The convolutions that read the input, through padding and the slices of a Focus layer."""
    reached, found = {fed}, []
    for node in model.graph.node:
        if not reached & set(node.input):
            continue
        if node.op_type == "Conv":
            found.append(node)
        elif node.op_type in ("Pad", "Slice", "Concat", "Identity"):
            reached |= set(node.output)
        elif node.op_type != "Shape":
            raise ValueError(f"{node.op_type} reads the input")
    return found


def with_range(
    model: onnx.ModelProto, spec: PreprocessSpec, photos: Sequence[Path], share: float
) -> onnx.ModelProto:
    """The network behind a quantizer that was calibrated on pictures.

    Args:
        model: takes ``spec``.
        spec: the pipeline.
        photos: of the calibration.
        share: of the range that is kept: 1 for minimum and maximum, less for a percentile.
    """
    values = np.concatenate([prepare_file(photo, spec).tensor.ravel() for photo in photos])
    low, high = min(float(values.min()), 0.0) * share, max(float(values.max()), 0.0) * share
    step = np.float32((high - low) / 255)
    model = copy.deepcopy(model)
    weights = {item.name for item in model.graph.initializer}
    fed = next(item.name for item in model.graph.input if item.name not in weights)
    for node in model.graph.node:
        renamed = ["planted_rounded" if name == fed else name for name in node.input]
        del node.input[:]
        node.input.extend(renamed)
    parts = ["planted_step", "planted_zero"]
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(step, parts[0]),
            numpy_helper.from_array(np.uint8(round(-low / step)), parts[1]),
        ]
    )
    pair = (("QuantizeLinear", fed, "planted_codes"),
            ("DequantizeLinear", "planted_codes", "planted_rounded"))  # fmt: skip
    for at, (op, source, made) in enumerate(pair):
        model.graph.node.insert(at, helper.make_node(op, [source, *parts], [made]))
    return model


def any_size(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network with an input that says no size."""
    model = copy.deepcopy(model)
    for item in (*model.graph.input, *model.graph.output):
        tensor = item.type.tensor_type
        if tensor.elem_type == TensorProto.FLOAT and len(tensor.shape.dim) == 4:
            for at, name in ((2, "height"), (3, "width")):
                tensor.shape.dim[at].dim_param = name
    del model.graph.value_info[:]
    return model
