"""The TOML form of a preprocessing spec: one ``[[step]]`` table a step.

The keys are the fields of the step's dataclass; a field at its default is left out. A resampler
is its text (``"cv2 linear"``), a size taken from the model is ``"model"``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from qdebug.errors import InputError
from qdebug.preprocess.grammar import unknown
from qdebug.preprocess.numbers import format_number
from qdebug.preprocess.steps import (
    FILTERS,
    Align,
    Cast,
    CenterCrop,
    Color,
    Crop,
    Decode,
    Flip,
    Layout,
    Letterbox,
    Normalize,
    Offset,
    Pad,
    Reinterpret,
    Resampler,
    Resize,
    ResizeShort,
    Rotate,
    Scale,
    Step,
    Yuv,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

_OPERATIONS: dict[str, type[Step]] = {
    "decode": Decode,
    "color": Color,
    "resize": Resize,
    "resize-short": ResizeShort,
    "letterbox": Letterbox,
    "pad": Pad,
    "center-crop": CenterCrop,
    "crop": Crop,
    "flip": Flip,
    "rotate": Rotate,
    "yuv": Yuv,
    "scale": Scale,
    "normalize": Normalize,
    "offset": Offset,
    "cast": Cast,
    "reinterpret": Reinterpret,
    "layout": Layout,
    "align": Align,
}
_NAMES = {kind: name for name, kind in _OPERATIONS.items()}


def to_toml(steps: Sequence[Step]) -> str:
    """Write a chain as TOML."""
    return "\n".join(map(_table, steps))


def _table(step: Step) -> str:
    lines = ["[[step]]", f'op = "{_NAMES[type(step)]}"']
    for item in fields(step):
        value = getattr(step, item.name)
        if value != item.default:
            lines.append(f"{item.name} = {_value(item.name, value)}")
    return "\n".join(lines) + "\n"


def _value(name: str, value: Any) -> str:
    if value is None:
        return '"model"' if name == "size" else '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Resampler):
        return f'"{value.library} {value.filter}"'
    if isinstance(value, tuple):
        return f"[{', '.join(_value(name, item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else format_number(value)


def parsed_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        InputError: the text is no TOML.
    """
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the preprocessing TOML cannot be read: {error}") from error
    return document


def content_of(document: Mapping[str, Any]) -> str | tuple[Step, ...]:
    """What parsed TOML holds: the steps of its ``step`` tables, or the text under ``spec``.

    Either may stand at the top level or in a table named ``preprocess``.

    Raises:
        InputError: it holds neither, or a key or value is not understood.
    """
    content = document.get("preprocess", document)
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping) and isinstance(content.get("spec"), str):
        return str(content["spec"])
    steps = content.get("step") if isinstance(content, Mapping) else None
    if not isinstance(steps, list):
        raise InputError(
            "the TOML has neither a 'spec' text nor [[step]] tables",
            'write spec = "letterbox 640 pad 114 | rgb | /255 | nchw"',
        )
    return tuple(_step(table) for table in steps)


def _step(table: Mapping[str, Any]) -> Step:
    values = dict(table)
    operation = str(values.pop("op", ""))
    if operation not in _OPERATIONS:
        raise unknown(operation, "op", tuple(_OPERATIONS))
    kind = _OPERATIONS[operation]
    known = {item.name: item for item in fields(kind)}
    for key in values:
        if key not in known:
            raise unknown(key, f"the step {operation}", tuple(known))
    for name, item in known.items():
        if name not in values and item.default is MISSING:
            raise InputError(f"the step {operation!r} lacks {name!r}")
    try:
        return kind(**{key: _field(known[key], value) for key, value in values.items()})
    except (TypeError, ValueError) as error:
        raise InputError(f"the step {operation!r} is not understood: {error}") from error


def _field(item: Field[Any], value: Any) -> Any:
    """Turn a TOML value into the value of a dataclass field."""
    if item.name == "resampler":
        return _resampler(str(value))
    if item.name == "size" and value == "model":
        return None
    if item.name == "pad" and value == "none":
        return None
    numeric = item.name in ("mean", "std", "pad", "value") and "float" in str(item.type)
    if numeric and isinstance(value, int | float) and "tuple" in str(item.type):
        value = [value]
    if isinstance(value, list):
        return tuple(float(v) if numeric else v for v in value)
    return float(value) if numeric else value


def _resampler(text: str) -> Resampler:
    library, _, name = text.partition(" ")
    for known in FILTERS:
        if known == library:
            return Resampler.named(known, name or "linear")
    raise unknown(library, text, tuple(FILTERS))
