"""A pair of graphs with its pairing, ready for the cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.cure.network import Network
from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.twin_outputs import quant_output_names
from tests.support import graphs

Array = npt.NDArray[Any]


def network_of(float_file: Path, quant_file: Path) -> Network:
    """The pair as ``qdebug tune`` sees it."""
    float_graph, quant_graph = load_graph(float_file), load_graph(quant_file)
    pairing = pair_graphs(float_graph, quant_graph)
    names = quant_output_names(float_graph.outputs, quant_graph.outputs, pairing)
    return Network(float_graph, quant_graph, pairing, names)


def tiny_network(folder: Path) -> Network:
    """The tiny classifier of ``tests.support.graphs``."""
    return network_of(*graphs.write_pair(folder))


def tiny_inputs(count: int, seed: int = 0) -> list[dict[str, Array]]:
    """Feeds of the tiny classifier."""
    rng = np.random.default_rng(seed)
    shape = (1, 3, graphs.SIDE, graphs.SIDE)
    return [{"images": rng.random(shape, np.float32)} for _ in range(count)]
