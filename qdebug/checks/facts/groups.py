"""Grouped convolutions that the quant graph spells out as one of fewer groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from qdebug.graph.model import Node
from qdebug.graph.pairing.weights import spelled_out
from qdebug.graph.pairs import WeightPair
from qdebug.graph.regions import Regions


def foreign_groups(weights: Iterable[WeightPair], regions: Regions) -> Iterator[tuple[Node, str]]:
    """Convs whose weights, spelled out, mostly read the channels of other groups.

    Spelled out soundly, a weight is zero wherever a row would read another group's channels.

    Yields:
        The float node, and what differs as a phrase.
    """
    for weight in weights:
        node = regions.float_graph.nodes[weight.node]
        group = int(node.attributes.get("group", 1))
        if weight.role != "weight" or node.op != "Conv" or group == 1:
            continue
        stored = regions.float_constants.value(node.inputs[1])
        value = weight.quant_value
        times = 1 if stored is None else value.shape[1] // stored.shape[1]
        if stored is None or times == 1:
            continue
        own = spelled_out(np.ones(stored.shape, bool), group, times)
        power = np.square(value.astype(np.float64))
        if power[~own].sum() > power[own].sum():
            fewer = group // times
            yield (
                node,
                f"its {group} groups are spelled out as {fewer}, and most of the weights read the "
                "channels of other groups",
            )
