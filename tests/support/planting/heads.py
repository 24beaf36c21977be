"""Fault 10: parts of different range joined under one scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.editor import Editor
from tests.support.planting.planted import Planted


def mixed_head(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 10: boxes in pixels and scores in 0..1 joined under one scale; the control splits them.

    Both parts are made of the first output ``y``: ``640 sigmoid(y)`` and ``sigmoid(-y)``.
    """
    models = [
        _with_head(m, scale)
        for m, scale in ((float_model, None), (quant, 640 / 255), (quant, None))
    ]
    return Planted(models[0], models[1], "mixed-range", ("planted/head",), models[2])


def values_axis(shape: Sequence[int]) -> int:
    """The last axis of ``[N, boxes, values]``, else the second one."""
    if len(shape) == 3 and 0 < shape[2] < shape[1]:
        return 2
    return 1 if len(shape) > 1 else 0


def _with_head(model: onnx.ModelProto, scale: float | None) -> onnx.ModelProto:
    editor = Editor(model)
    graph = editor.graph
    first = graph.output[0]
    source, rank = first.name, len(first.type.tensor_type.shape.dim)
    graph.initializer.append(numpy_helper.from_array(np.float32(640), "planted/stride"))
    head = "planted/head" if scale is None else "planted/head_raw"
    axis = values_axis([d.dim_value for d in first.type.tensor_type.shape.dim])
    graph.node.extend(
        [
            helper.make_node("Sigmoid", [source], ["planted/unit"], "planted/unit"),
            helper.make_node(
                "Mul", ["planted/unit", "planted/stride"], ["planted/boxes"], "planted/boxes"
            ),
            helper.make_node("Neg", [source], ["planted/negative"], "planted/negative"),
            helper.make_node("Sigmoid", ["planted/negative"], ["planted/scores"], "planted/scores"),
            helper.make_node(
                "Concat", ["planted/boxes", "planted/scores"], [head], "planted/head", axis=axis
            ),
        ]
    )
    if scale is not None:
        graph.initializer.append(numpy_helper.from_array(np.float32(scale), "planted/scale"))
        graph.initializer.append(numpy_helper.from_array(np.uint8(0), "planted/zero"))
        ends = ["planted/scale", "planted/zero"]
        graph.node.append(
            helper.make_node("QuantizeLinear", [head, *ends], ["planted/codes"], "planted/q")
        )
        graph.node.append(
            helper.make_node(
                "DequantizeLinear", ["planted/codes", *ends], ["planted/head"], "planted/dq"
            )
        )
    del graph.output[:]
    dims = [None] * rank
    graph.output.append(helper.make_tensor_value_info("planted/head", TensorProto.FLOAT, dims))
    return editor.model
