"""Ultralytics: ``metadata.yaml`` of an export."""

from __future__ import annotations

from qdebug.errors import InputError
from qdebug.preprocess.implied import implied_spec
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.vendors.dialect import (
    Dialect,
    Reading,
    flat_yaml,
    require,
    simplified,
)


def read(text: str) -> Reading:
    """Read ``imgsz``, ``task`` and ``channels``."""
    settings = flat_yaml(text)
    if "imgsz" not in settings:
        sides = [line.strip(" -") for line in text.partition("imgsz:")[2].splitlines()[1:3]]
        if len(sides) == 2 and all(side.isdigit() for side in sides):
            settings["imgsz"] = f"[{sides[0]}, {sides[1]}]"
    require(settings, ("imgsz",), "Ultralytics")
    metadata = {"stride": "32", "names": "", **settings}
    implied = implied_spec(ModelInput("images", "float32", (1, 3, None, None)), metadata)
    if implied.spec is None:
        raise InputError("imgsz holds no size")
    return Reading(implied.spec, implied.notes)


def write(spec: PreprocessSpec) -> str | None:
    """Write the size; the rest of the pipeline is fixed."""
    simple = simplified(spec)
    box = simple.letterbox if simple else None
    if simple is None or box is None or box.size is None or simple.order != "rgb":
        return None
    plain = box.pad == (114.0,) and box.anchor == "center" and box.rounding == "round"
    if not plain or any(simple.mean) or set(simple.std) != {255.0}:
        return None
    return f"imgsz: [{box.size[1]}, {box.size[0]}]"


DIALECT = Dialect("Ultralytics export metadata", read, write)
