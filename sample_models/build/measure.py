"""Measures every model on held-out pictures, rendered with seeds that training never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sample_models.build import reading
from sample_models.build.reading import Array
from sample_models.build.scenes import OBJECTS, Scene, object_picture, render_scene
from sample_models.build.textures import TEXTURES, Picture, texture_picture

HELD_OUT = {"detector": 200, "classifier": 400, "transformer": 400}


def scenes(count: int, seed: int) -> list[Scene]:
    """Scenes of 320 to 640 pixels with the boxes moved to the detector's letterboxed frame."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        width, height = (int(side) for side in rng.integers(280, 561, 2))
        scene = render_scene(width, height, int(rng.integers(1, 9)), rng)
        scale, left, top = reading.letterbox_frame(width, height)
        boxes = scene.boxes * np.float32(scale) + np.array([left, top, left, top], np.float32)
        found.append(Scene(scene.picture, scene.classes, boxes))
    return found


def _size(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height of a picture of one thing."""
    return int(rng.integers(96, 241)), int(rng.integers(96, 241))


def objects(count: int, seed: int) -> tuple[list[Picture], NDArray[np.int64]]:
    """Pictures of one object, and the index of its class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(OBJECTS), count)
    found = [object_picture(OBJECTS[label], *_size(rng), rng) for label in labels]
    return found, labels


def textures(count: int, seed: int) -> tuple[list[Picture], NDArray[np.int64]]:
    """Pictures of one texture, and the index of its class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(TEXTURES), count)
    found = [texture_picture(TEXTURES[label], *_size(rng), rng) for label in labels]
    return found, labels


def _row(path: Path, quality: str, reference: list[Array], found: list[Array]) -> None:
    """One line of the table; the last two columns compare the whole output with the float net's."""
    likeness = f"{reading.cosine(reference, found):.5f} | {reading.sqnr_db(reference, found):.1f}"
    size = path.stat().st_size / 1000
    print(f"| {path.parent.name}/{path.name} | {size:.0f} | {quality} | {likeness} |", flush=True)


def _models(folder: Path) -> list[Path]:
    """Every model of a folder, the float one first."""
    return sorted(folder.glob("*.onnx"), key=lambda path: (path.name != "float.onnx", path.name))


def print_table(folder: Path) -> None:
    """Prints size in kB, quality, and whole-output cosine and SQNR (dB) for every model."""
    held_out = scenes(HELD_OUT["detector"], seed=21)
    inputs = [reading.for_detector(scene.picture) for scene in held_out]
    reference = reading.outputs(folder / "detector" / "float.onnx", inputs)
    for path in _models(folder / "detector"):
        found = reading.outputs(path, inputs)
        f1, hits, count = reading.f1_of(held_out, [reading.detections(x) for x in found])
        _row(path, f"F1 {f1:.3f}, {hits} of {count}", reference, found)
    for kind, render, prepare, seed in (
        ("classifier", objects, reading.for_classifier, 22),
        ("transformer", textures, reading.for_transformer, 23),
    ):
        pictures, labels = render(HELD_OUT[kind], seed)
        inputs = [prepare(picture) for picture in pictures]
        reference = reading.outputs(folder / kind / "float.onnx", inputs)
        for path in _models(folder / kind):
            found = reading.outputs(path, inputs)
            top = f"top-1 {100 * reading.accuracy(found, labels):.1f} %"
            _row(path, top, reference, found)
