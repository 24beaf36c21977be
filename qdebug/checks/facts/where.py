"""Layers whose values, of either graph, are such or such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from qdebug.capture.fetch import Fetcher
from qdebug.errors import QdebugError

Array = npt.NDArray[Any]


def layers_where(
    fetcher: Fetcher,
    tensors: Mapping[int, str],
    feeds: Mapping[str, Array],
    holds: Callable[[int, Array], bool],
) -> frozenset[int]:
    """Layers of whose tensor something holds; none where the graph cannot be run.

    The values of few tensors are held at a time.

    Args:
        fetcher: of the graph that has the tensors.
        tensors: by position of the layer.
        feeds: inputs of the graph.
        holds: what is asked of a layer's position and its tensor's values.
    """
    layers: dict[str, list[int]] = {}
    for at, name in tensors.items():
        layers.setdefault(name, []).append(at)
    try:
        found = fetcher.each(list(layers), feeds)
        return frozenset(at for name, v in found for at in layers[name] if holds(at, v))
    except QdebugError:
        return frozenset()
