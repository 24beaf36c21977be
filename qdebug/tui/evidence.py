"""Evidence of a finding, drawn by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.text import Text

from qdebug.errors import QdebugError
from qdebug.run.files import RunFiles
from qdebug.run.model import Evidence
from qdebug.tui import charts, pictures
from qdebug.tui.context import Look
from qdebug.tui.lines import blank, cell_text, grid, line, title
from qdebug.tui.text import fit, visible, wrap

Drawer = Callable[[Mapping[str, Any], int, Look, RunFiles], list[Text]]


def evidence_lines(item: Evidence, width: int, look: Look, files: RunFiles) -> list[Text]:
    """One piece of evidence under its title; what cannot be drawn says why."""
    lines = [blank(), title(item.title, width, look)]
    drawer = _DRAWERS.get(item.kind)
    if drawer is None:
        return [*lines, line((f"evidence of the unknown kind {item.kind}", look.palette.dim))]
    try:
        return lines + drawer(item.data, width, look, files)
    except QdebugError as error:
        return lines + wrap(error.message, width, look.glyphs, look.palette.warn)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        note = f"this {item.kind} cannot be drawn: its data is damaged ({error!r})"
        return lines + wrap(note, width, look.glyphs, look.palette.warn)


def _text(data: Mapping[str, Any], width: int, look: Look, _: RunFiles) -> list[Text]:
    return wrap(str(data["text"]), width, look.glyphs)


def _table(data: Mapping[str, Any], width: int, look: Look, _: RunFiles) -> list[Text]:
    return grid([str(c) for c in data["columns"]], data["rows"], width, look)


def _key_values(data: Mapping[str, Any], width: int, look: Look, _: RunFiles) -> list[Text]:
    items = [(str(key), cell_text(value)) for key, value in data["items"]]
    room = min(max((len(key) for key, _ in items), default=0), width // 2) + 2
    lines = []
    for key, value in items:
        for row_number, part in enumerate(wrap(value, width - room, look.glyphs)):
            head = key if row_number == 0 else ""
            row = line((fit(head, room - 2, look.glyphs) + "  ", look.palette.dim))
            lines.append(row.append_text(part))
    return lines


def _histogram(data: Mapping[str, Any], width: int, look: Look, _: RunFiles) -> list[Text]:
    return charts.two_sided_histogram(
        data["edges"], data["series"], data.get("marks", {}), min(width, 80), 4, look, log=True
    )


def _bars(data: Mapping[str, Any], width: int, look: Look, _: RunFiles) -> list[Text]:
    labels = [str(label) for label in data["labels"]]
    return charts.bars(labels, data["values"], str(data.get("unit", "")), min(width, 80), look)


def _images(data: Mapping[str, Any], width: int, look: Look, files: RunFiles) -> list[Text]:
    items = data["items"]
    across = max(min(len(items), width // 26), 1)
    room = min((width - 2 * across) // across, 48)
    lines: list[Text] = []
    for start in range(0, len(items), across):
        parts = []
        for item in items[start : start + across]:
            picture = pictures.read_picture(files, str(item["path"]))
            drawn = pictures.picture_lines(picture, room, room // 2, look)
            parts.append((str(item["label"]), drawn))
        lines += pictures.side_by_side(parts, room, look)
    return lines


def _boxes(data: Mapping[str, Any], width: int, look: Look, files: RunFiles) -> list[Text]:
    room = min(width, 72)
    picture = pictures.read_picture(files, str(data["image"]))
    lines = [line((visible(str(data["sample"])), look.palette.dim))]
    lines += pictures.boxed_lines(picture, data, room, room // 3, look)
    return lines + box_list(data, width, look)


def box_list(data: Mapping[str, Any], width: int, look: Look) -> list[Text]:
    """Boxes in words: lost first, then new, then kept with both scores."""
    rows: list[list[Any]] = []
    quant = [box for box in data["quant"] if box.get("match") == "kept"]
    for box in data["float"]:
        twin = _take_twin(box, quant) if box.get("match") == "kept" else None
        score = twin["score"] if twin else None
        rows.append([box.get("match", ""), box["label"], box["score"], score])
    rows += [
        [b["match"], b["label"], None, b["score"]] for b in data["quant"] if b["match"] == "new"
    ]
    order = {"lost": 0, "new": 1, "kept": 2}
    rows.sort(key=lambda row: order.get(str(row[0]), 3))
    return grid(["boxes", "label", "float", "quant"], rows, width, look)


def _take_twin(box: Mapping[str, Any], candidates: list[Any]) -> Any:
    """The quant model's box for a box that both found, by label and nearest corners."""
    alike = [other for other in candidates if other["label"] == box["label"]]
    if not alike:
        return None

    def gap(other: Mapping[str, Any]) -> float:
        corners = zip(box["xyxy"], other["xyxy"], strict=True)
        return float(sum(abs(a - b) for a, b in corners))

    twin = min(alike, key=gap)
    candidates.remove(twin)
    return twin


def _code(data: Mapping[str, Any], width: int, look: Look, _: RunFiles) -> list[Text]:
    return wrap(str(data["text"]), width, look.glyphs, look.palette.accent)


_DRAWERS: Mapping[str, Drawer] = {
    "text": _text,
    "table": _table,
    "key_values": _key_values,
    "histogram": _histogram,
    "bars": _bars,
    "images": _images,
    "boxes": _boxes,
    "code": _code,
}
