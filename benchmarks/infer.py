"""Pipelines inferred without ``-p``: what is chosen, what is doubtful, and what is true.

``python -m benchmarks.infer FOLDER`` takes a folder of models, each with ``preprocess.json``, float
and quant graphs, and prints a row a pair.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qdebug.comparison.sides import Side, load_sides
from qdebug.errors import QdebugError
from qdebug.options import CompareOptions
from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.normalization import difference_in_codes
from qdebug.preprocess.spec import Affine
from qdebug.preprocess.steps import Color

SAME_CODES = 1.5
"""Normalizations that differ by less are one: (x - 127.5) / 127.5 and (x - 127) / 128."""


def truths(folder: Path) -> Iterator[tuple[str, Path, Path, dict[str, Any]]]:
    """Name, float graph, quant graph and the true preprocessing of every pair."""
    for file in sorted(folder.glob("*/preprocess.json")):
        truth = json.loads(file.read_text(encoding="utf-8"))
        for quant in sorted(file.parent.glob("quant_*.onnx")):
            yield f"{file.parent.name}/{quant.stem}", file.parent / "float.onnx", quant, truth


def true_affine(truth: dict[str, Any]) -> Affine:
    """Of the tensor's channels, on pixels 0..255."""
    gain = tuple(1 / s for s in truth["std"])
    return Affine(gain, tuple(-m / s for m, s in zip(truth["mean"], truth["std"], strict=True)))


def judge(side: Side, truth: dict[str, Any]) -> dict[str, str]:
    """``right``, ``doubtful`` or ``WRONG`` for the normalization and the order."""
    spec = PreprocessSpec.parse(side.preprocess.spec)
    told = " ".join(side.preprocess.doubts)
    wanted = true_affine(truth)
    gap = difference_in_codes(wanted, spec.affine)
    swapped = Affine(wanted.gain[::-1], wanted.offset[::-1])
    same = min(gap, difference_in_codes(swapped, spec.affine)) <= SAME_CODES
    color = spec.find(Color)
    order = color.order if color is not None else ""
    order_right = order == truth["color"].lower()
    return {
        "normalization": "right" if same else "WRONG",
        "order": _word(order_right, "RGB or BGR" in told),
        "geometry": "doubtful" if "how pictures are placed" in told else "decided",
    }


def _word(right: bool, doubtful: bool) -> str:
    if doubtful:
        return "doubtful" if right else "doubtful (other)"
    return "right" if right else "WRONG"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of models")
    parser.add_argument("--only", default="", help="part of the name")
    parser.add_argument("--photos", type=int, default=4)
    arguments = parser.parse_args()
    photos = sorted((arguments.folder / "photos").glob("*/*"))
    for name, reference, quant, truth in truths(arguments.folder):
        if arguments.only not in name:
            continue
        chosen = photos_for(name, photos)[: arguments.photos]
        start = time.perf_counter()
        try:
            side, _ = load_sides(CompareOptions(reference, quant, chosen))
            found = judge(side, truth)
            told = side.preprocess.spec
        except QdebugError as error:
            found, told = {"refused": error.message}, ""
        seconds = time.perf_counter() - start
        print(f"{name:45} {seconds:5.1f} s  {found}  {told}", flush=True)


def photos_for(name: str, photos: list[Path]) -> list[Path]:
    """Photos of what the model looks at."""
    kinds = {"ppocrv4": "text", "doclaynet": "docs"}
    kind = next((folder for word, folder in kinds.items() if word in name), "street")
    return [photo for photo in photos if photo.parent.name == kind]


if __name__ == "__main__":
    main()
