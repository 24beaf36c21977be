"""Slips of the command line that would lead to a confident wrong answer."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qdebug.errors import UsageError
from qdebug.graph.describe import describe
from qdebug.graph.model import Graph
from qdebug.preprocess.decode import IMAGE_SUFFIXES

_ORDER = "the order is FLOAT QUANT INPUT"


def check_places(models: tuple[str, str], inputs: Sequence[str]) -> None:
    """Refuse a picture where a model should stand.

    Raises:
        UsageError: with the corrected command.
    """
    words = [*models, *map(str, inputs)]
    pictures = [word for word in words if Path(word).suffix.lower() in IMAGE_SUFFIXES]
    if not any(model in pictures for model in models):
        return
    others = [word for word in words if word not in pictures]
    raise UsageError(
        f"{Path(pictures[0]).name} is a picture, not a model: {_ORDER}",
        f"qdebug compare {' '.join(map(shlex.quote, [*others, *pictures]))}",
    )


def check_pair(graphs: tuple[Graph, Graph], inputs: Sequence[str]) -> None:
    """Refuse two models that are no float model and its quantized twin.

    Raises:
        UsageError: with the corrected command where there is one.
    """
    names = tuple(graph.path.name for graph in graphs)
    formats = tuple(describe(graph).format for graph in graphs)
    if graphs[0].sha256 == graphs[1].sha256:
        raise UsageError(
            f"{names[0]} and {names[1]} are the same model: there is nothing to compare",
            f"give the float model, then its quantized twin: {_ORDER}",
        )
    is_float = tuple(kind == "float" for kind in formats)
    if not is_float[0] and is_float[1]:
        places = [str(graphs[1].path), str(graphs[0].path), *map(str, inputs)]
        raise UsageError(
            f"{names[0]} is quantized and {names[1]} is not: {_ORDER}",
            f"qdebug compare {' '.join(map(shlex.quote, places))}",
        )
    if all(is_float):
        raise UsageError(
            f"{names[1]} holds no quantizer: these are two float models",
            "were its quantizers folded away? --any-pair compares two float models all the same",
        )
    if not any(is_float) and "float16" not in formats[:1]:
        raise UsageError(
            f"{names[0]} is quantized too: these are two quantized models",
            "give the float model first; --any-pair compares them all the same",
        )
    _check_network(graphs)


def _check_network(graphs: tuple[Graph, Graph]) -> None:
    """Refuse models of two networks: hardly a weight of one has the shape of one of the other.

    Raises:
        UsageError: they are two networks, or one network at two input sizes.
    """
    names = tuple(graph.path.name for graph in graphs)
    shapes = tuple(map(_weight_shapes, graphs))
    same, fewest = (shapes[0] & shapes[1]).total(), min(found.total() for found in shapes)
    if fewest >= _FEWEST and same < _RELATED * fewest:
        raise UsageError(
            f"{names[1]} was not made from {names[0]}: {same} of {fewest} weights have a "
            "counterpart of their shape",
            f"give the float model that {names[1]} was made from; --any-pair compares them "
            "all the same",
        )
    sizes = tuple(map(_picture_size, graphs))
    if None not in sizes and sizes[0] != sizes[1]:
        told = tuple("x".join(map(str, size or ())) for size in sizes)
        raise UsageError(
            f"{names[0]} takes {told[0]} and {names[1]} {told[1]}: they cannot be fed alike",
            "export both with one input size, and quantize again",
        )


_FEWEST, _RELATED = 5, 0.3
"""Weights that make a network known, and the share of them that two versions of it have in common
at the least. By judgement: the zoo's and the sample twins share all, two detectors of one family
0.5 to 0.65, other networks 0 to 0.25."""


def _weight_shapes(graph: Graph) -> Counter[tuple[int, ...]]:
    """Counts of the shapes of all weights, sides in order: layouts differ between versions."""
    found: Counter[tuple[int, ...]] = Counter()
    for node in graph.nodes:
        for name in node.inputs if node.op != "Constant" else ():
            shape = graph.type_of(name).fixed_shape if graph.is_constant(name) else None
            sides = tuple(sorted(side for side in shape or () if side > 1))
            if len(sides) > 1:
                found[sides] += 1
    return found


def _picture_size(graph: Graph) -> tuple[int, ...] | None:
    """Sides of the only input but for the batch, in order; None where they are not all numbers."""
    shape = graph.type_of(graph.inputs[0]).shape if len(graph.inputs) == 1 else None
    sides = tuple(side for side in (shape or ())[1:] if isinstance(side, int) and side > 0)
    is_picture = shape is not None and len(shape) == _PICTURE_RANK and len(sides) == len(shape) - 1
    return tuple(sorted(sides)) if is_picture else None


_PICTURE_RANK = 4
