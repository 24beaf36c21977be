"""Graphs written in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph

Write = Callable[..., Path]
Load = Callable[..., Graph]


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    **more: Any,
) -> onnx.ModelProto:
    """A model; arrays become initializers, outputs are left without a type."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, **more)
    model.ir_version = 8
    return model


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a model and give its path."""

    def function(*args: Any, **options: Any) -> Path:
        path = tmp_path / "m.onnx"
        onnx.save(build(*args, **options), path)
        return path

    return function


@pytest.fixture
def load(write: Write) -> Load:
    """Write a model and load it."""
    return lambda *args, **options: load_graph(write(*args, **options))
