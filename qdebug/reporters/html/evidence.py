"""Evidence of findings as HTML: one small renderer for each kind.

Evidence comes from checks and plug-ins; what does not have the promised form is shown as text
rather than lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from qdebug.reporters.html import figures, svg
from qdebug.reporters.html.pictures import Pictures
from qdebug.run.model import Evidence
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import number, plural

_MAX_ROWS = 60
_NARROW = 5
"""A table with more columns than this takes the whole width."""
_Renderer = Callable[[Evidence, Pictures], Markup]


def evidence_html(evidence: Evidence, pictures: Pictures) -> Markup:
    """One piece of evidence with its title."""
    try:
        body = _RENDERERS[evidence.kind](evidence, pictures)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        body = _preformatted(str(dict(evidence.data)))
    title = visible(evidence.title)
    columns = evidence.data.get("columns") if evidence.kind == "table" else ()
    wide = " wide" if isinstance(columns, (list, tuple)) and len(columns) > _NARROW else ""
    caption = svg.tag("figcaption", title)
    return svg.tag("figure", body, caption, class_=f"evidence {evidence.kind}{wide}")


def table(columns: Sequence[object], rows: Sequence[Sequence[object]]) -> Markup:
    """A plain table; numbers stand to the right."""
    head = Markup("").join(map(_heading, columns))
    body = Markup("").join(_row(row) for row in rows[:_MAX_ROWS])
    left_out = len(rows) - _MAX_ROWS
    note = svg.tag("p", f"and {left_out} more rows", class_="note") if left_out > 0 else Markup("")
    whole = svg.tag("table", svg.tag("thead", svg.tag("tr", head)), svg.tag("tbody", body))
    return svg.tag("div", whole, class_="scroll", tabindex=0) + note


def _heading(name: object) -> Markup:
    """A heading; over the names of the rows there may be none, and an empty one says nothing."""
    return svg.tag("th", visible(name), scope="col") if name else svg.tag("td", "")


def _row(row: Sequence[object]) -> Markup:
    return svg.tag("tr", *(_cell(value) for value in row)) if row else Markup("")


def _cell(value: object) -> Markup:
    shown = number(value if isinstance(value, (int, float, str)) else None)
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return svg.tag("td", shown, class_="number" if numeric else None)


def _text(evidence: Evidence, _: Pictures) -> Markup:
    return svg.tag("p", visible(evidence.data["text"], lines=True), class_="lines")


def _table(evidence: Evidence, _: Pictures) -> Markup:
    return table(evidence.data["columns"], evidence.data["rows"])


def _key_values(evidence: Evidence, _: Pictures) -> Markup:
    rows = (
        svg.tag("tr", svg.tag("th", visible(key), scope="row"), _cell(value))
        for key, value in evidence.data["items"]
    )
    return svg.tag("table", svg.tag("tbody", *rows), class_="pairs")


def _histogram(evidence: Evidence, _: Pictures) -> Markup:
    data = evidence.data
    edges = data["edges"]
    if any(len(counts) != len(edges) - 1 for counts in data["series"].values()):
        raise ValueError("a series does not fit its edges")
    return figures.histogram(evidence.title, edges, data["series"], data.get("marks", {}))


def _bars(evidence: Evidence, _: Pictures) -> Markup:
    values = [svg.as_float(value) for value in evidence.data["values"]]
    largest = max((abs(v) for v in values if abs(v) < float("inf")), default=0.0)
    unit = visible(evidence.data.get("unit", ""))
    rows = (
        svg.tag(
            "tr",
            svg.tag("th", visible(label), scope="row"),
            svg.tag("td", figures.bar(value, largest)),
            svg.tag("td", f"{number(value)} {unit}".strip(), class_="number"),
        )
        for label, value in list(zip(evidence.data["labels"], values, strict=True))[:_MAX_ROWS]
    )
    return svg.tag("table", svg.tag("tbody", *rows), class_="pairs")


def _images(evidence: Evidence, pictures: Pictures) -> Markup:
    shown = [
        picture_html(visible(item["label"]), item["path"], pictures)
        for item in evidence.data["items"]
    ]
    return svg.tag("div", *shown, class_="pictures")


def picture_html(label: str, path: str | None, pictures: Pictures) -> Markup:
    """A picture of the run under its label, or a sentence where it is not in the run."""
    picture = pictures.get(path)
    body = picture.show(label) if picture else svg.tag("p", "not in this run", class_="note")
    return svg.tag("div", body, svg.tag("span", label))


def _boxes(evidence: Evidence, pictures: Pictures) -> Markup:
    data = evidence.data
    picture = pictures.get(data["image"])
    drawn: list[Mapping[str, Any]] = [*data["float"], *data["quant"]]
    if picture is None:
        return _box_table(data)
    sides = (("float model", data["float"]), ("quant model", data["quant"]))
    shown = [
        svg.tag(
            "div",
            figures.boxes(
                picture.use,
                picture.width,
                picture.height,
                boxes,
                f"{side}, {plural(len(boxes), 'box', 'boxes')}",
            ),
            svg.tag("span", f"{side}: {_counted(boxes)}"),
        )
        for side, boxes in sides
    ]
    inside = svg.tag("div", *shown, class_="pictures")
    if not drawn:
        return inside
    summary = svg.tag(
        "summary", f"{visible(data['sample'])}: {plural(len(drawn), 'box', 'boxes')} as a table"
    )
    return inside + svg.tag("details", summary, _box_table(data))


def _counted(boxes: Sequence[Mapping[str, Any]]) -> str:
    kinds = [str(box.get("match", "kept")) for box in boxes]
    parts = [f"{kinds.count(kind)} {kind}" for kind in ("kept", "lost", "new") if kind in kinds]
    return ", ".join(parts) or "no boxes"


def _box_table(data: Mapping[str, Any]) -> Markup:
    rows = [
        [side, box.get("label"), box.get("score"), box.get("match"),
         " ".join(f"{svg.as_float(v):.3f}" for v in box["xyxy"])]
        for side in ("float", "quant")
        for box in data[side]
    ]  # fmt: skip
    return table(["side", "class", "score", "match", "x1 y1 x2 y2 (share of the picture)"], rows)


def _code(evidence: Evidence, _: Pictures) -> Markup:
    return _preformatted(evidence.data["text"])


def _preformatted(content: object) -> Markup:
    return Markup('<pre tabindex="0"><code>{}</code></pre>').format(
        escape(visible(content, lines=True))
    )


_RENDERERS: Mapping[str, _Renderer] = {
    "text": _text,
    "table": _table,
    "key_values": _key_values,
    "histogram": _histogram,
    "bars": _bars,
    "images": _images,
    "boxes": _boxes,
    "code": _code,
}
