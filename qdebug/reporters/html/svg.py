"""Inline SVG as escaped markup.

Every shape carries presentation attributes, never ``style``: a page whose style sheet is blocked
still shows its figures. The style sheet overrides them by class for dark mode and print.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from qdebug.vocabulary.names import visible

BLUE, ORANGE, TEAL, RED, GRAY = "#0b5cad", "#b45309", "#0f766e", "#b42318", "#59636e"
BLACK = "#1a1f26"
SERIES = (
    {"class": "s0", "stroke": BLUE},
    {"class": "s1", "stroke": ORANGE, "stroke_dasharray": "6 3"},
    {"class": "s2", "stroke": TEAL, "stroke_dasharray": "2 3"},
    {"class": "s3", "stroke": GRAY, "stroke_dasharray": "1 2"},
    {"class": "s4", "stroke": BLACK, "stroke_dasharray": "8 2 2 2"},
)
"""Line styles that differ in dash as well as in colour."""

Point = tuple[float, float]


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """One element; ``_`` in attribute names stands for ``-``, a trailing one is dropped."""
    # Each value is escaped as it is put in: Markup.format does the same and takes far longer.
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not children:
        return Markup(f"<{name}{written}/>")
    inner = "".join(map(escape, children))
    return Markup(f"<{name}{written}>{inner}</{name}>")


def figure(title: str, width: float, height: float, *children: object, class_: str = "") -> Markup:
    """A whole picture with its accessible name."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        class_=f"figure {class_}".strip(),
        role="img",
        aria_label=visible(title),
    )


def text(x: float, y: float, content: object, *, anchor: str = "start", class_: str = "") -> Markup:
    """A label."""
    return tag(
        "text",
        visible(content),
        x=x,
        y=y,
        text_anchor=None if anchor == "start" else anchor,
        font_size=12,
        font_family="system-ui, sans-serif",
        fill=GRAY,
        class_=f"label {class_}".strip(),
    )


def rule(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> Markup:
    """A straight line."""
    given = {"stroke": GRAY, "class_": "rule", **attributes}
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **given)


def polyline(points: Iterable[Point | None], **attributes: object) -> Markup:
    """A line through points; None interrupts it."""
    return tag("path", d=_path(points), fill="none", **attributes)


def _path(points: Iterable[Point | None]) -> str:
    parts, pen_down = [], False
    for point in points:
        if point is None:
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{_decimal(point[0], 1)} {_decimal(point[1], 1)}")
        pen_down = True
    return "".join(parts)


def columns(heights: Sequence[float], box: Box, **attributes: object) -> Markup:
    """Adjoining columns, heights in 0..1, as one path."""
    width = box.width / max(1, len(heights))
    parts = []
    for i, height in enumerate(heights):
        if height > 0:
            left, top = box.left + i * width, box.top + (1 - height) * box.height
            parts.append(
                f"M{_decimal(left, 1)} {_decimal(box.bottom, 1)}V{_decimal(top, 1)}"
                f"h{_decimal(width, 2)}V{_decimal(box.bottom, 1)}z"
            )
    return tag("path", d="".join(parts), stroke="none", **attributes)


@dataclass(frozen=True)
class Box:
    """Drawing area in picture units."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Bottom edge."""
        return self.top + self.height


@dataclass(frozen=True)
class Scale:
    """A linear map from data to picture units; values outside stick to the edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Picture coordinate of a value; infinities lie at the edges."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)


def as_float(value: object) -> float:
    """A number of evidence, which may be written ``"inf"`` or missing; NaN where it is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _value(value: object) -> object:
    return _decimal(value, 2) if isinstance(value, float) else value


def _decimal(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
