"""Labelled data sets in every form, from what is drawn on the sample pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

CLASSES = ("ball", "crate", "cone", "star", "ring", "cross", "leaf", "moon")
DETECTED = CLASSES[:6]
PICTURES = Path(__file__).resolve().parents[2] / "sample_models" / "pictures"


def truth(kind: str) -> dict[str, Any]:
    """What is on each picture of ``scenes`` or ``objects``."""
    found: dict[str, Any] = json.loads((PICTURES / "truth.json").read_text(encoding="utf-8"))[kind]
    return found


def scenes() -> dict[str, list[dict[str, Any]]]:
    """Objects by picture: class names and corners in pixels."""
    return truth("scenes")


def copy_pictures(kind: str, folder: Path, names: Iterable[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in truth(kind) if names is None else names:
        shutil.copy(PICTURES / kind / name, folder)


def coco(folder: Path, ids: tuple[int, ...] = (1, 2, 4, 7, 8, 11), most: int | None = None) -> Path:
    """COCO JSON with category ids that have gaps, and pictures in ``images``: so many of them."""
    drawn = dict(list(scenes().items())[:most])
    copy_pictures("scenes", folder / "images", drawn)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, objects) in enumerate(drawn.items(), 100):
        width, height = _size(folder / "images" / name)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        annotations += [
            {
                "id": len(annotations) + at + 1,
                "image_id": number,
                "category_id": ids[DETECTED.index(item["class"])],
                "bbox": _xywh(item["box"]),
                "area": _xywh(item["box"])[2] * _xywh(item["box"])[3],
                "iscrowd": 0,
            }
            for at, item in enumerate(objects)
        ]
    categories = [{"id": i, "name": n} for i, n in zip(ids, DETECTED, strict=True)]
    file = folder / "instances.json"
    value = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def yolo(folder: Path) -> Path:
    """YOLO text with a yaml."""
    copy_pictures("scenes", folder / "images")
    (folder / "labels").mkdir()
    for name, objects in scenes().items():
        width, height = _size(folder / "images" / name)
        lines = []
        for item in objects:
            x, y, w, h = _xywh(item["box"])
            box = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            lines.append(" ".join(map(str, (DETECTED.index(item["class"]), *box))))
        text = "\n".join(lines)
        (folder / "labels" / f"{Path(name).stem}.txt").write_text(text, encoding="utf-8")
    names = "\n".join(f"  {at}: {name}" for at, name in enumerate(DETECTED))
    text = f"path: .\nval: images\nnames:\n{names}\n"
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return folder


def labels_csv(folder: Path) -> Path:
    """``labels.csv`` beside ``images``."""
    copy_pictures("objects", folder / "images")
    rows = [f"{name},{CLASSES.index(word)}" for name, word in truth("objects").items()]
    (folder / "labels.csv").write_text("file,label\n" + "\n".join(rows), encoding="utf-8")
    return folder


def class_folders(folder: Path) -> Path:
    """A folder a class, named by its number."""
    for name, word in truth("objects").items():
        place = folder / str(CLASSES.index(word))
        place.mkdir(parents=True)
        shutil.copy(PICTURES / "objects" / name, place)
    return folder


def _xywh(box: list[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _size(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as image:
        width, height = image.size
        return width, height
