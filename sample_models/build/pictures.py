"""Renders the test pictures beside the models, and the truth about them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sample_models.build.scenes import DETECTED, OBJECTS, Scene, object_picture, render_scene
from sample_models.build.textures import TEXTURES, Picture, finish, render_texture, texture_picture

SCENE_SIZES = ((480, 360), (360, 480), (512, 288), (426, 320), (300, 400), (448, 336))
SMALL_SIZES = ((224, 160), (168, 224), (240, 150), (180, 210))


def _save(picture: Picture, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=88)


def _described(scene: Scene) -> list[dict[str, object]]:
    """Class name and box x1 y1 x2 y2, in pixels of the picture, of every object."""
    return [
        {"class": DETECTED[label], "box": [round(float(side)) for side in box]}
        for label, box in zip(scene.classes, scene.boxes, strict=True)
    ]


def _scenes(folder: Path) -> dict[str, list[dict[str, object]]]:
    rng = np.random.default_rng(71)
    truth: dict[str, list[dict[str, object]]] = {}
    for number, (width, height) in enumerate(SCENE_SIZES, 1):
        scene = render_scene(width, height, 7, rng)
        _save(scene.picture, folder / f"scene_{number}.jpg")
        truth[f"scene_{number}.jpg"] = _described(scene)
    nothing = render_texture("bricks", 480, 320, rng, 70.0, 0.5)
    _save(finish(nothing, rng), folder / "empty.jpg")
    truth["empty.jpg"] = []
    colourful = render_scene(400, 300, 6, rng)
    gray = np.asarray(Image.fromarray(colourful.picture).convert("L").convert("RGB"))
    _save(gray, folder / "gray.jpg")
    truth["gray.jpg"] = _described(colourful)
    return truth


def render_pictures(folder: Path) -> None:
    """Writes ``scenes/``, ``objects/``, ``textures/`` and ``truth.json`` under ``folder``."""
    rng = np.random.default_rng(72)
    for number, name in enumerate(OBJECTS):
        width, height = SMALL_SIZES[number % len(SMALL_SIZES)]
        _save(object_picture(name, width, height, rng), folder / "objects" / f"{name}.jpg")
    for number, name in enumerate(TEXTURES):
        width, height = SMALL_SIZES[number % len(SMALL_SIZES)]
        _save(texture_picture(name, width, height, rng), folder / "textures" / f"{name}.jpg")
    truth = {
        "scenes": _scenes(folder / "scenes"),
        "objects": {f"{name}.jpg": name for name in OBJECTS},
        "textures": {f"{name}.jpg": name for name in TEXTURES},
        "classes": {"detector": DETECTED, "classifier": OBJECTS, "transformer": TEXTURES},
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    write_coco(folder)


def write_coco(folder: Path) -> None:
    """Writes ``scenes.json``: the scenes of ``truth.json`` in COCO's form, for ``evaluate``."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    images, annotations = [], []
    for number, (name, objects) in enumerate(truth["scenes"].items(), 1):
        with Image.open(folder / "scenes" / name) as picture:
            width, height = picture.size
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for thing in objects:
            left, top, right, bottom = thing["box"]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": DETECTED.index(thing["class"]),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": at, "name": name} for at, name in enumerate(DETECTED)]
    value = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "scenes.json").write_text(json.dumps(value) + "\n", encoding="utf-8")
