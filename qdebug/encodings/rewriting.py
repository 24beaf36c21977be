"""A model whose toolchain's own operators are replaced by standard ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdebug.encodings.opsets import MICROSOFT
from qdebug.graph.model import Graph


class Rewriting:
    """One graph on its way to standard operators.

    Args:
        model: it is changed.
        folder: where its external weights lie.
        domain: of the operators that quantize.

    Attributes:
        graph: the model as it was.
        nodes: those of the new graph, in execution order.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path, domain: str = "") -> None:
        self.model, self.domain = model, domain
        self.graph = Graph(model, folder / "rewritten", "")
        self.nodes: list[onnx.NodeProto] = []

    def constant(self, name: str, value: Any) -> str:
        """Add a constant; its name."""
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def emit(self, op: str, inputs: Sequence[str], out: str, **attributes: Any) -> None:
        """Add a node with one output."""
        name = f"{out}_{op}"
        made = helper.make_node(op, list(inputs), [out], name, domain=self.domain, **attributes)
        self.nodes.append(made)

    def written(self) -> onnx.ModelProto:
        """The model with the new nodes, without the shapes that stood beside the old ones."""
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        del self.model.graph.value_info[:]
        if self.domain and all(o.domain != MICROSOFT for o in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return self.model
