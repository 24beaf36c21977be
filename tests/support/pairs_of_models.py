"""The trained pairs of the repository as the engine takes them: graphs, pairs and inputs."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if import Simulation, WhatIf
from qdebug.capture.session import SessionSettings
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.pairs import Pairing
from qdebug.preprocess import PreprocessSpec, prepare_file

ROOT = Path(__file__).resolve().parent.parent.parent / "sample_models"
DETECTOR_SPEC = "letterbox 320 pad 114 | rgb | /255 | nchw"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LoadedPair:
    """Two graphs, their pairs, and inputs made from pictures."""

    float_graph: Graph
    quant_graph: Graph
    pairing: Pairing
    feeds: list[dict[str, Array]]


def what_if(pair: LoadedPair, **options: Any) -> WhatIf:
    """What runs changes of a pair; options as of ``Simulation``."""
    return WhatIf(
        Simulation(
            (pair.float_graph, pair.quant_graph),
            pair.pairing,
            dict(zip(pair.float_graph.outputs, pair.quant_graph.outputs, strict=True)),
            lambda number: (pair.feeds[number], pair.feeds[number]),
            len(pair.feeds),
            (SessionSettings(threads=2), SessionSettings(threads=2)),
            **options,
        )
    )


def load_pair(float_file: Path, quant_file: Path, feeds: list[dict[str, Array]]) -> LoadedPair:
    """Load and pair two models."""
    float_graph, quant_graph = load_graph(float_file), load_graph(quant_file)
    return LoadedPair(float_graph, quant_graph, pair_graphs(float_graph, quant_graph, None), feeds)


@functools.cache
def _detector(quant: str) -> LoadedPair:
    """Without inputs; graphs are never changed, so all tests may have the same ones."""
    return load_pair(ROOT / "detector" / "float.onnx", ROOT / "detector" / f"{quant}.onnx", [])


def detector(quant: str, pictures: int = 1) -> LoadedPair:
    """The trained detector and one of its twins."""
    files = sorted((ROOT / "pictures" / "scenes").glob("scene_*.jpg"))[:pictures]
    spec = PreprocessSpec.parse(DETECTOR_SPEC)
    feeds = [{"images": prepare_file(file, spec).tensor} for file in files]
    return replace(_detector(quant), feeds=feeds)


@functools.cache
def float_graph(folder: Path) -> Graph:
    """The float model of a folder, read once."""
    return load_graph(folder / "float.onnx")


def noise_feeds(graph: Graph, count: int = 1, seed: int = 0) -> list[dict[str, Array]]:
    """Random inputs between 0 and 1 for a graph whose input shapes are fixed."""
    rng = np.random.default_rng(seed)
    shapes = {name: graph.type_of(name).fixed_shape or () for name in graph.inputs}
    return [
        {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]
