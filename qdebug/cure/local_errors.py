"""The error that each quant layer makes by itself, fed with float values.

The float values come from elsewhere, a stretch of the network at a time (`cure.runs`): neither
graph is run for their sake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.parts import Part, local_part, local_shapes
from qdebug.capture.session import NOT_IN_NUMPY, Session, SessionSettings
from qdebug.capture.shapes import types_for
from qdebug.cure.runs import FEW
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.pairs import Pair

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]


@dataclass
class _Stretch:
    """The layers that make some tensors."""

    part: Part | None
    session: Session | None = None


class LocalErrors:
    """Runs quant layers one by one, side by side.

    Args:
        graphs: float and quant graph.
        pairs: all of them, by position.
        chosen: positions of the pairs whose error is wanted.
        settings: how to run the two graphs.
        samples: how many there will be.
    """

    def __init__(
        self,
        graphs: tuple[Graph, Graph],
        pairs: Sequence[Pair],
        chosen: Collection[int],
        settings: tuple[SessionSettings, SessionSettings],
        samples: int,
    ) -> None:
        self.float_graph, self.quant_graph = graphs
        self.pairs, self.settings = pairs, settings
        few = samples <= FEW
        self._how = replace(settings[1], reordered=not few, short_lived=few)
        self._made_by: dict[str, list[int]] = {}
        for at in chosen:
            self._made_by.setdefault(pairs[at].float_tensor, []).append(at)
        self._quant_types: Mapping[str, TensorType] = {}
        self._shapes: Mapping[int, tuple[int, ...]] = {}
        self._stretches: dict[tuple[str, ...], _Stretch] = {}

    def adapt_to(self, float_feeds: Feeds, quant_feeds: Feeds) -> None:
        """Learn the tensors' shapes for a sample's inputs.

        Raises:
            ModelError: ONNX Runtime cannot run one of the graphs.
        """
        float_types = types_for(self.float_graph, float_feeds, self.settings[0])
        self._quant_types = types_for(self.quant_graph, quant_feeds, self.settings[1])
        shapes = {
            at: shape
            for at, shape in local_shapes(self.pairs, float_types, self._quant_types).items()
            if float_types[self.pairs[at].float_tensor].elem_type not in NOT_IN_NUMPY
        }
        if shapes != self._shapes:
            self._shapes = shapes
            self._stretches.clear()

    def reads(self, made: Sequence[str]) -> list[str]:
        """Float tensors that the layers which make some tensors are fed with, or measured by."""
        part = self._stretch(tuple(made)).part
        positions = [] if part is None else [*part.float_inputs.values(), *part.taps]
        return list(dict.fromkeys(self.pairs[at].float_tensor for at in positions))

    def errors(
        self, made: Sequence[str], values: Mapping[str, Any], quant_feeds: Feeds
    ) -> dict[int, Array]:
        """What the layers that make some tensors do wrong, by position; float32.

        Args:
            made: the tensors.
            values: of the float tensors that `reads` names.
            quant_feeds: inputs of the quant graph.

        Raises:
            ModelError: the layers cannot be run.
        """
        stretch = self._stretch(tuple(made))
        if stretch.part is None:
            return {}
        part = stretch.part
        if stretch.session is None:
            stretch.session = Session(part.model, self.quant_graph, self._how)
            part.model.Clear()  # the session has its own copy of the weights
        fed = {n: self._float_value(at, values) for n, at in part.float_inputs.items()}
        found = stretch.session.run({**quant_feeds, **fed})
        readers = Counter(part.taps.values())
        errors = {}
        for at, name in part.taps.items():
            local, right = found[name], self._float_value(at, values)
            if local.shape == right.shape:
                # A quant layer may stand for several float ones, each with an error of its own.
                errors[at] = np.subtract(local, right, out=local if readers[name] == 1 else None)
        return errors

    def close(self) -> None:
        """Release the sessions."""
        self._stretches.clear()

    def _float_value(self, at: int, values: Mapping[str, Any]) -> Array:
        return np.asarray(values[self.pairs[at].float_tensor], np.float32)

    def _stretch(self, made: tuple[str, ...]) -> _Stretch:
        if made not in self._stretches:
            asked = [at for tensor in made for at in self._made_by.get(tensor, ())]
            part = local_part(
                self.quant_graph, self._quant_types, self.pairs, self._shapes, sorted(asked)
            )
            self._stretches[made] = _Stretch(part)
        return self._stretches[made]
