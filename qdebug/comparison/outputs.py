"""What happens at the models' outputs, sample by sample: as declared, as deployed, in the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.analysis.ceiling import Ceiling
from qdebug.analysis.tasks import Shown, TaskWatch, prior_constants, shaped_like
from qdebug.analysis.what_if import SAMPLES
from qdebug.capture.deployed import (
    DeployedOutputs,
    DeployedPair,
    DeployedSample,
    deployed_samples,
    laid_out,
)
from qdebug.comparison.sides import Side
from qdebug.graph.expand import Expansion
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pairing
from qdebug.graph.twin_outputs import output_layouts, quant_output_names
from qdebug.preprocess import Sample
from qdebug.preprocess.geometry import Geometry
from qdebug.run.model import SampleInfo

if TYPE_CHECKING:
    from qdebug.reading.outcome import ReadingOutcome
    from qdebug.reading.watch import ReadingWatch

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class OutputSample:
    """What one sample gives at the outputs; travels between processes.

    Attributes:
        reference: the float model's declared outputs by name, float32.
        test: the quant model's by the same names.
        deployed: both models as deployed; None where this sample is not run so.
        wide: outputs of the quant model with 16-bit codes.
    """

    reference: dict[str, Array]
    test: dict[str, Array]
    deployed: DeployedSample | None
    wide: dict[str, Array]


class OutputRuns:
    """Follows the outputs through all samples.

    Args:
        sides: float and quant.
        deployed: sessions of both models as deployed, opened when they are needed.
        pairs: the graphs' pairing, and the quant graph written as QDQ.
        samples: number of samples to come.
        task: see ``choose_task``.
        ceiling: run the quant model with 16-bit codes too.
        reading: what becomes of the outputs on a board; None where nothing is known of it.
        alone: there is no quantized model: the task is judged by the board's outputs.
    """

    def __init__(
        self,
        sides: tuple[Side, Side],
        deployed: DeployedPair,
        pairs: tuple[Pairing, Expansion],
        samples: int,
        task: str | None,
        ceiling: bool,
        reading: ReadingWatch | None = None,
        *,
        alone: bool = False,
    ) -> None:
        graphs = sides[0].graph, sides[1].graph
        pairing, expansion = pairs
        names = quant_output_names(graphs[0].outputs, graphs[1].outputs, pairing)
        self._layouts = output_layouts(names, graphs[1], pairing)
        self.deployed = DeployedOutputs(deployed, names, self._layouts)
        self.ceiling = None
        if ceiling:
            wide = expansion.graph, expansion.pairing(pairing)
            self.ceiling = Ceiling(*wide, deployed.settings[1], names)
        size = sides[0].contract.size
        metadata = {**graphs[1].metadata, **graphs[0].metadata}
        self.task = TaskWatch(task, size, metadata, prior_constants(graphs[0]))
        self._outputs = {
            at: pair.float_tensor
            for at, pair in enumerate(pairing.pairs)
            if pair.float_tensor in names
        }
        self._deployed_samples = deployed_samples(samples)
        self._whole = whole_outputs(graphs[0])
        self.reading = reading
        self._alone = alone
        self.references: dict[int, dict[str, Array]] = {}
        """The float model's outputs of the samples that gains are computed on."""
        self._first: tuple[Shown, dict[str, Array]] | None = None
        self._declared: dict[str, dict[str, Array]] = {"float": {}, "quant": {}}

    def receive(self, at: int, side: str, value: Array) -> None:
        """Take a captured value, if it is an output's; see ``Sink``."""
        if at in self._outputs:
            self._declared[side][self._outputs[at]] = value.copy()

    def sample(self, number: int, feeds: tuple[Feeds, Feeds]) -> OutputSample:
        """What a sample gives at the outputs, once all its captured values were received.

        Raises:
            ModelError: ONNX Runtime cannot load or run a model.
        """
        reference, test = self._declared["float"], self._declared["quant"]
        self._declared = {"float": {}, "quant": {}}
        is_run = self._whole or number in self._deployed_samples
        return OutputSample(
            reference,
            test,
            self.deployed.run(feeds) if is_run else None,
            laid_out(self.ceiling.run(feeds[1]), self._layouts) if self.ceiling is not None else {},
        )

    def include(self, number: int, sample: OutputSample, shown: Shown) -> None:
        """Include what a sample gave; samples come in their order, whoever ran them."""
        reference, test = sample.reference, sample.test
        deployed: tuple[dict[str, Array], dict[str, Array]] = {}, {}
        if number < SAMPLES:
            self.references[number] = reference
        if sample.deployed is not None:
            self.deployed.include(sample.deployed, shaped_like(test, reference))
            deployed = sample.deployed.float_values, sample.deployed.quant_values
        both = (
            {**reference, **self._whole_of(deployed[0])},
            {**test, **self._whole_of(deployed[1])},
        )
        if self._alone:
            self.task.recognize(both[0])
            self._first = self._first or (shown, both[0])
        else:
            self.task.add(shown, *both)
        if self.reading is not None:
            known = shaped_like(both[1], both[0])
            self.reading.add(number, self.task.task, {"quant": known, "float": both[0]})
        if number in self._deployed_samples and not self._alone:
            self.task.add_variant("deployed", *deployed)
        if self.ceiling is not None:
            values = shaped_like(sample.wide, reference)
            self.ceiling.measure(reference, values)
            self.task.add_variant("ceiling", reference, values)

    def read(self, on_board: Mapping[str, Array]) -> ReadingOutcome | None:
        """What the board's answers say, once all samples were run; None without answers.

        Args:
            on_board: the board's own outputs of the first sample, by name; empty without a dump.
        """
        if self._alone and self._first is not None and on_board:
            self.task.add(*self._first, on_board)
        if self.reading is None:
            return None
        if on_board:
            self.reading.add(0, self.task.task, {"board": on_board})
        outcome = self.task.outcome()
        certain = outcome is not None and not outcome.guessed
        return self.reading.outcome(certain)

    def _whole_of(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Classes and counts, which are not captured: for the task they are numbers too."""
        return {n: values[n].astype(np.float32) for n in self._whole if values.get(n) is not None}


def whole_outputs(graph: Graph) -> tuple[str, ...]:
    """Outputs of whole numbers: classes of pixels or boxes, and their count."""
    kinds = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.UINT8)
    return tuple(name for name in graph.outputs if graph.type_of(name).elem_type in kinds)


def shown_sample(sample: Sample, info: SampleInfo, size: tuple[int, int] | None) -> Shown:
    """How boxes get onto a sample's stored picture.

    That is the source picture where there is one, else what the input tensor shows.

    Args:
        sample: the sample.
        info: what the run holds of it.
        size: width and height of the model's picture.
    """
    if info.source is not None:
        geometry = sample.geometry
        if geometry is not None:
            return Shown(info.name, info.source, lambda boxes: _on_source(geometry, boxes))
    if info.thumb is not None and size is not None:
        whole = np.array([*size, *size], np.float64)
        return Shown(info.name, info.thumb, lambda boxes: boxes / whole)
    return Shown(info.name, None, None)


def _on_source(geometry: Geometry, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    whole = np.array([*geometry.source, *geometry.source], np.float64)
    return geometry.to_source(boxes) / whole
