"""What an error at the outputs costs: ``L = sum w (quant - float)^2`` with weights of the task.

Class scores, masks and text: ``w = 1 / sum float^2``, so ``L`` is the inverse of the SQNR. Boxes:
what moving an output number does to the corners (as a share of the box) and to the scores of its
candidate, times how sure the candidate is, found by finite differences through the task's own
decoder. Text is measured before the ``Softmax``: after it the loss is dominated by single flipped
characters. What is added to all classes alike the Softmax takes away again, so neither an error nor
a signal of that kind counts: ``c = 1 - mean`` over the classes, ``L = sum (c e)^2 / sum (c f)^2``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import Task
from qdebug.graph.model import Graph

Array = npt.NDArray[Any]
Values = Mapping[str, Array]
Candidates = Callable[[Values], tuple[Array, Array]]

_LEAST_SCORE = 1e-3
"""Background candidates count a little: an error can raise them. By judgement."""
_LEAST_AREA = 16.0
"""Pixels: an error of a corner is not held against a box smaller than 4 by 4. By judgement."""
_STEP = 1e-2
"""Step of the finite differences; decoders are smooth, and the outputs of order 0.1 to 1000."""
_ONE_BY_ONE = 8
"""Columns differenced one by one: four corners or distances, and the objectness. The rest are
class scores, which decoders treat alike: one difference for all."""


@dataclass(frozen=True)
class Loss:
    """The weighted squared error at some tensors.

    Attributes:
        tensors: float tensors that it is taken at.
        told: how it is weighted, for people.
        factors: weight of each tensor beside the others.
        candidates: of a detector, its outputs to the corners and scores of every candidate, before
            suppression; None for others.
        shifts: by tensor, the axis along which a number added to all elements changes nothing for
            the task: that of the ``Softmax`` behind it.
    """

    tensors: tuple[str, ...]
    told: str
    factors: Mapping[str, float]
    candidates: Candidates | None = None
    shifts: Mapping[str, int] = field(default_factory=dict)

    def seen(self, name: str, error: Array) -> Array:
        """The part of an error that the task sees: an orthogonal projection.

        Args:
            name: of the tensor.
            error: of its shape.
        """
        if name not in self.shifts:
            return error
        return np.asarray(error - error.mean(axis=self.shifts[name], keepdims=True))

    def weights(self, reference: Values) -> dict[str, Array]:
        """The weight of every element, float32, for one sample.

        Args:
            reference: the float model's values of ``tensors``.
        """
        found = {}
        for name in self.tensors:
            value = self.seen(name, np.asarray(reference[name], np.float64))
            weight = self._of_boxes(name, reference) if self.candidates is not None else None
            plain = self.factors.get(name, 1.0) / max(float((value * value).sum()), _TINY)
            found[name] = np.asarray(
                np.full(value.shape, plain) if weight is None else weight, np.float32
            )
        return found

    def value(self, reference: Values, test: Values, weights: Values | None = None) -> float:
        """The loss of one sample; infinite where the values are not finite."""
        chosen = self.weights(reference) if weights is None else weights
        total = 0.0
        for name in self.tensors:
            wanted = np.asarray(reference[name], np.float64)
            apart = np.asarray(test[name], np.float64).reshape(wanted.shape) - wanted
            apart = self.seen(name, apart)
            total += float((chosen[name] * apart * apart).sum())
        return total if np.isfinite(total) else float("inf")

    def _of_boxes(self, name: str, reference: Values) -> Array | None:
        """Weights of a detector's output; None where its rows are not the candidates."""
        assert self.candidates is not None
        corners, scores = (np.asarray(v, np.float64) for v in self.candidates(reference))
        value = np.asarray(reference[name], np.float32)
        axes = [axis for axis in range(1, value.ndim) if value.shape[axis] == len(scores)]
        if value.ndim != 3 or value.shape[0] != 1 or len(axes) != 1 or scores.ndim != 2:
            return None
        rows = np.moveaxis(value, axes[0], 1)  # [1, candidates, columns]
        sure = np.clip(scores.max(axis=1, initial=0.0), _LEAST_SCORE, 1.0)
        sides = corners[:, 2:] - corners[:, :2]
        area = np.maximum(sides.prod(axis=1), _LEAST_AREA)
        cost = np.zeros(rows.shape[1:])
        for columns in _columns(rows.shape[2]):
            moved = rows.copy()
            moved[0][:, columns] += _STEP
            there = {**reference, name: np.moveaxis(moved, 1, axes[0])}
            new_corners, new_scores = (np.asarray(v, np.float64) for v in self.candidates(there))
            if new_scores.shape != scores.shape:
                return None
            apart = ((new_corners - corners) ** 2).sum(axis=1) / (4 * area)
            rise = ((new_scores - scores) ** 2).sum(axis=1) / len(columns)
            cost[:, columns] = ((apart + rise) / _STEP**2)[:, None]
        weighted = np.nan_to_num(cost * (sure / sure.sum())[:, None], posinf=0.0)
        return np.asarray(np.moveaxis(weighted[None], 1, axes[0]))


_TINY = 1e-30


def _columns(count: int) -> list[list[int]]:
    """Columns that are moved together."""
    alone = [[column] for column in range(min(count, _ONE_BY_ONE))]
    return [*alone, list(range(_ONE_BY_ONE, count))] if count > _ONE_BY_ONE else alone


def loss_for(
    graph: Graph,
    task: Task | None,
    outputs: Sequence[str],
    comparable: Callable[[str], bool],
    compare_at: Mapping[str, float] | None = None,
) -> Loss:
    """The loss that suits a task.

    Args:
        graph: the float graph.
        task: what the outputs are read as; None where it is not recognized.
        outputs: float outputs of floating-point type.
        comparable: whether the quant graph has a tensor of the same value.
        compare_at: tensors that the user wants to be compared at instead, with their weights.
    """
    if compare_at:
        named = ", ".join(compare_at)
        return Loss(tuple(compare_at), f"squared error at {named}, as asked for", dict(compare_at))
    tensors = tuple(outputs)
    if task is None:
        return Loss(tensors, "relative squared error of the raw outputs: no task is known", {})
    read = tuple(name for name in tensors if not task.reads or name in task.reads) or tensors
    if task.kind == "detection" and task.read is not None:
        told = "change of boxes and scores, by the candidate's score"
        return Loss(read, told, {}, _candidates(task.read))
    if task.kind == "text":
        before = tuple(_before_softmax(graph, name, comparable) for name in read)
        where = "before the Softmax" if before != read else "at the output"
        axes = {b: _shift_axis(graph, a) for a, b in zip(read, before, strict=True) if a != b}
        shifts = {name: axis for name, axis in axes.items() if axis is not None}
        return Loss(before, f"relative squared error {where}", {}, shifts=shifts)
    return Loss(read, "relative squared error of the outputs", {})


def _candidates(read: Callable[[Values], Any]) -> Candidates:
    """Corners ``[n, 4]`` and scores ``[n, classes]`` of every candidate, before suppression."""

    def decode(values: Values) -> tuple[Array, Array]:
        found = read(values)
        return found.corners, found.scores

    return decode


def _before_softmax(graph: Graph, output: str, comparable: Callable[[str], bool]) -> str:
    node = graph.producer.get(output)
    if node is not None and node.op == "Softmax" and comparable(node.inputs[0]):
        return node.inputs[0]
    return output


_ONE_AXIS = 13
"""The operator set since which a Softmax is over one axis; before, over all from there on."""


def _shift_axis(graph: Graph, output: str) -> int | None:
    """The axis that a Softmax is over; None where it is over several at once."""
    axis = graph.producer[output].attributes.get("axis")
    if graph.opset >= _ONE_AXIS:
        return -1 if axis is None else int(axis)
    rank = len(graph.type_of(output).shape or ())
    first = 1 if axis is None else int(axis)
    return -1 if first == -1 or (rank > 0 and first == rank - 1) else None
