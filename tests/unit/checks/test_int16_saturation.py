"""Products that overflow without VNNI."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.checks.int16_saturation import saturating_share
from tests.support.contexts import graph_of


@pytest.mark.parametrize(
    ("codes", "share"),
    [
        # 255 * 254 is beyond 32767; so is 255 * -129 below -32768; 255 * 128 = 32640 is not.
        (np.array([[127, 127, 1, 1], [-128, -1, 64, 64]], np.int8), 0.5),
        (np.array([[127, 127]], np.uint8), 0.0),
        (np.array([[127]], np.int8), 0.0),
    ],
)
def test_share_of_neighbours_that_overflow(codes: np.ndarray, share: float) -> None:
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
    weight = numpy_helper.from_array(codes, "w")
    model = helper.make_model(helper.make_graph([], "g", [], [out], [weight]))
    assert saturating_share(graph_of(model), "w") == share
