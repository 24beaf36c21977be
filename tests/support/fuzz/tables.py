"""What other programs write beside a model, sound at first and then damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.fuzz.models import STRANGE, damaged_bytes

Rng = np.random.Generator
_SHAPES = {"images": (1, 3, 16, 16), "t2": (1, 8, 16, 16), "t4": (1, 8, 8, 8), "scores": (1, 4)}
PICTURES = ("photo.png", "photo.jpg")
_ACTIVATIONS = ("images", "t2", "t4", "t5")
_WEIGHTS = ("w1", "w2", "w3")


def mutate(value: Any, rng: Rng) -> None:
    """Replace one value somewhere inside a JSON document by something else."""
    values: list[Any] = [None, 0, -1, 1e308, "", "nan", [], {}, "\x1b[31m", 10**30, True, [[]], "x"]
    while isinstance(value, (dict, list)) and value:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[int(rng.integers(len(keys)))]
        inner = value[key]
        if not isinstance(inner, (dict, list)) or not inner or rng.integers(6) == 0:
            value[key] = values[int(rng.integers(len(values)))]
            return
        value = inner


def _write_json(file: Path, document: Any, rng: Rng) -> None:
    if rng.integers(2):
        for _ in range(int(rng.integers(1, 4))):
            mutate(document, rng)
        file.write_text(json.dumps(document), encoding="utf-8")
    else:
        file.write_bytes(damaged_bytes(json.dumps(document).encode(), rng))


def _write_lines(file: Path, lines: list[str], rng: Rng) -> None:
    """Lines with strange ones between them, or with their bytes damaged."""
    for _ in range(int(rng.integers(0, 3))):
        lines.insert(int(rng.integers(len(lines) + 1)), STRANGE[int(rng.integers(len(STRANGE)))])
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    file.write_bytes(damaged_bytes(content, rng) if rng.integers(2) else content)


def board(folder: Path, rng: Rng) -> str:
    """A dump of tensors: an ``npz``, or a folder of ``npy``, ``bin`` or ``txt`` files."""
    values: dict[str, Any] = {
        name: rng.random(shape, np.float32) for name, shape in _SHAPES.items()
    }
    _spoil(values, rng)
    kind = int(rng.integers(4))
    if kind == 0:
        np.savez(folder / "dump.npz", **values)
        if rng.integers(2):
            file = folder / "dump.npz"
            file.write_bytes(damaged_bytes(file.read_bytes(), rng))
        return "dump.npz"
    (folder / "dump").mkdir()
    for name, value in values.items():
        file = folder / "dump" / f"{name}.{('npy', 'bin', 'txt')[kind - 1]}"
        if kind == 1:
            np.save(file, value)
        elif kind == 2:
            file.write_bytes(value.tobytes())
        else:
            file.write_text("\n".join(str(x) for x in value.reshape(-1)), encoding="utf-8")
        if rng.integers(4) == 0:
            file.write_bytes(damaged_bytes(file.read_bytes(), rng))
    return "dump"


def _spoil(values: dict[str, Any], rng: Rng) -> None:
    """Give one of the tensors another shape, type or value, or take it away."""
    name = list(values)[int(rng.integers(len(values)))]
    kinds: list[Any] = [np.float16, np.float64, np.int8, np.complex64, "U4", "M8[s]", bool]
    what = int(rng.integers(5))
    if what == 0:
        values[name] = np.zeros([(), (0,), (7,), (1, 0, 3), (2, 3, 16, 16)][int(rng.integers(5))])
    elif what == 1:
        values[name] = np.zeros(values[name].shape, kinds[int(rng.integers(len(kinds)))])
    elif what == 2:
        values[name].flat[0] = [np.nan, np.inf, 3e38][int(rng.integers(3))]
    elif what == 3:
        del values[name]


def predictions(folder: Path, rng: Rng) -> str:
    """Final answers: a class a file, boxes as CSV, or COCO's results."""
    kind = int(rng.integers(3))
    if kind == 0:
        _write_lines(folder / "said.csv", [f"{name},{n}" for n, name in enumerate(PICTURES)], rng)
        return "said.csv"
    boxes = [(name, n, 0.9, 1.0, 2.0, 5.0, 6.0) for n, name in enumerate(PICTURES)]
    if kind == 1:
        head = "file,class,score,x1,y1,x2,y2"
        lines = [head, *(",".join(map(str, row)) for row in boxes)]
        _write_lines(folder / "boxes.csv", lines, rng)
        return "boxes.csv"
    found = [
        {"image_id": name, "category_id": n, "score": score, "bbox": box}
        for name, n, score, *box in boxes
    ]
    _write_json(folder / "said.json", found, rng)
    return "said.json"


def labelled(folder: Path, rng: Rng) -> str:
    """Labelled pictures: a table of classes, COCO's JSON, or YOLO's ``data.yaml``."""
    kind = int(rng.integers(3))
    if kind == 0:
        _write_lines(folder / "labels.csv", [f"{x},{n}" for n, x in enumerate(PICTURES)], rng)
        return "labels.csv"
    if kind == 1:
        images = [
            {"id": n, "file_name": x, "width": 40, "height": 30} for n, x in enumerate(PICTURES)
        ]
        boxes = [
            {
                "id": n,
                "image_id": n,
                "category_id": n,
                "bbox": [1, 2, 9, 8],
                "area": 72,
                "iscrowd": 0,
            }
            for n in range(len(images))
        ]
        names = [{"id": n, "name": f"thing {n}"} for n in range(4)]
        whole = {"images": images, "annotations": boxes, "categories": names}
        _write_json(folder / "truth.json", whole, rng)
        return "truth.json"
    for name in ("images", "labels"):
        (folder / name / "val").mkdir(parents=True)
    (folder / "photo.png").rename(folder / "images/val/photo.png")
    _write_lines(folder / "labels/val/photo.txt", ["0 0.5 0.5 0.2 0.2", "3 .1 .1 .1 .1"], rng)
    lines = ["path: .", "val: images/val", "names: [a, b, c, d]", "nc: 4"]
    _write_lines(folder / "data.yaml", lines, rng)
    return "data.yaml"


def quantization(folder: Path, rng: Rng) -> str:
    """How a toolchain quantizes: AIMET's encodings, or the tables of TPU-MLIR and ncnn."""
    kind = int(rng.integers(3))
    if kind == 0:
        one: dict[str, Any] = {
            "bitwidth": 8,
            "dtype": "int",
            "is_symmetric": "False",
            "offset": -128,
        }
        one |= {"min": -1.0, "max": 1.0, "scale": 2 / 255}
        document = {
            "version": "0.6.1",
            "activation_encodings": {name: [dict(one)] for name in _ACTIVATIONS},
            "param_encodings": {name: [dict(one)] for name in _WEIGHTS},
        }
        _write_json(folder / "model.encodings", document, rng)
        return "model.encodings"
    if kind == 1:
        lines = [f"{name} 1.5 -1.5 1.5" for name in _ACTIVATIONS]
        _write_lines(folder / "cali_table", ["# op_name    threshold    min    max", *lines], rng)
        return "cali_table"
    lines = [f"{name}_param_0 {' '.join(['60.5'] * 8)}" for name in ("conv1", "conv2")]
    _write_lines(folder / "int8.table", [*lines, "conv1 127.0", "conv2 63.5"], rng)
    return "int8.table"
