"""Constants that stand in for infinity."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.checks import CheckContext
from qdebug.checks.facts.masks import harmful_masks, mask_layers, masked_layers, masks
from tests.support.contexts import check_context, measured, step_of

LOGITS = np.linspace(-8, 8, 24).reshape(1, 2, 12)


def attention(constant: float) -> onnx.ModelProto:
    """A constant added to logits, moved, and turned into weights."""
    shape = [1, 2, 12]
    nodes = [
        helper.make_node("Add", ["logits", "mask"], ["masked"], "add"),
        helper.make_node("Transpose", ["masked"], ["moved"], "move", perm=[0, 1, 2]),
        helper.make_node("Softmax", ["moved"], ["weights"], "softmax"),
        helper.make_node("Relu", ["weights"], ["after"], "after"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("logits", "after")]
    mask = numpy_helper.from_array(np.full(shape, constant, np.float32), "mask")
    graph = helper.make_graph(nodes, "attention", ends[:1], ends[1:], [mask])
    return helper.make_model(graph)


def context(constant: float, step: float) -> CheckContext:
    quantizers = {"masked": step_of(step)}
    names = ("logits", "masked", "moved", "weights", "after")
    layers = [measured(name, LOGITS, LOGITS, quantizer=quantizers.get(name)) for name in names]
    return check_context(layers, float_model=attention(constant))


def test_a_mask_reaches_from_the_sum_to_the_softmax() -> None:
    given = context(-1e12, 4e9)
    (mask,) = given.once(harmful_masks)
    assert (mask.at, mask.constant, mask.value, mask.logits) == (
        1,
        "mask",
        float(np.float32(1e12)),
        8.0,
    )
    assert given.once(mask_layers) == [1, 2, 3]
    assert given.once(masked_layers) == {1}


@pytest.mark.parametrize(("step", "harmful"), [(8 / 16, 0), (8 / 15, 1)])
def test_a_mask_is_harmful_where_the_logits_are_left_few_codes(step: float, harmful: int) -> None:
    given = context(-1e12, step)
    assert len(given.once(masks)) == 1
    assert len(given.once(harmful_masks)) == harmful


@pytest.mark.parametrize("constant", [-30.0, -7999.0])
def test_a_constant_that_is_no_infinity_is_no_mask(constant: float) -> None:
    assert context(constant, 4e9).once(masks) == []
