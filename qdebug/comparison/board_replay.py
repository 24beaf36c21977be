"""One layer of the simulation, fed with the board's own inputs of that layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.analysis.extract import Cut, build_parts, cut_around
from qdebug.capture.session import Session, SessionSettings
from qdebug.errors import QdebugError
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.pairs import Pair

Array = npt.NDArray[Any]
Types = Mapping[str, TensorType]


class LayerReplay:
    """Runs single layers of the quant graph.

    Args:
        graphs: float and quant graph.
        types: of all their tensors.
        pairs: all pairs, by position.
        settings: how sessions run.
        shared: input of the quant model to the float model's input of the same values.
    """

    def __init__(
        self,
        graphs: tuple[Graph, Graph],
        types: tuple[Types, Types],
        pairs: Sequence[Pair],
        settings: SessionSettings,
        shared: Mapping[str, str],
    ) -> None:
        self._graphs, self._types, self._pairs = graphs, types, pairs
        self._settings, self._shared = settings, shared

    def __call__(self, at: int, board: Mapping[int, Array]) -> Array | None:
        """The layer's result, float32 in the float model's layout; None where it cannot be run.

        Args:
            at: position of the layer.
            board: the board's values by position. Where the layer reads an input of the model
                that is not among them, nothing is known of it: what the board was fed is not what
                the models were fed for certain. Nor where the nearest ones lie behind another
                quantizer: what is found then is the error of several layers, whose single codes
                grow.
        """
        try:
            cut = cut_around(self._graphs, self._pairs, board.keys(), at)
            if self._holds_others(cut):
                return None
            parts = build_parts(self._graphs, self._types, self._pairs, cut, self._shared)
            session = Session(parts.quant_model, self._graphs[1], self._settings)
        except (QdebugError, KeyError):
            return None
        given = {pair.float_tensor: board[i] for i, pair in enumerate(self._pairs) if i in board}
        feeds = {}
        for item in parts.inputs:
            fed = given.get(item.float_input or "")
            if item.position is not None:
                fed = board[item.position]
            if fed is None:
                return None
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(item.elem_type))
            feeds[item.name] = np.asarray(fed, dtype).reshape(item.shape)
        try:
            result = session.run(feeds, [parts.quant_output])[parts.quant_output]
        except QdebugError:
            return None
        return np.asarray(result, np.float32)

    def _holds_others(self, cut: Cut) -> bool:
        """Whether another quantized layer lies between a layer and what it is fed with."""
        inside = {name for node in cut.quant_nodes for name in node.outputs}
        own = self._pairs[cut.at].raw
        return any(
            pair.quantizer is not None and pair.raw in inside and pair.raw != own
            for pair in self._pairs
        )
