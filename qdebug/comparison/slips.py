"""Slips of the command line that would lead to a confident wrong answer."""

from __future__ import annotations

import shlex
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
