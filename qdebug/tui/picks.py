"""The keep list: layers to leave in float or give 16 bits, its known effect, its export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from qdebug.run.model import Layer
from qdebug.tui.context import Look, Session
from qdebug.tui.keys import bindings
from qdebug.tui.lines import line
from qdebug.tui.numbers import decibels, plain
from qdebug.tui.table import Cell, Column, LineTable


def picked(session: Session) -> list[Layer]:
    """The layers on the list, in execution order."""
    return [x for x in map(session.layer, sorted(session.picks)) if x is not None]


def nodes_to_exclude(session: Session) -> str:
    """JSON for ONNX Runtime's ``quantize_static``.

    ``nodes_to_exclude`` holds the nodes to leave in float, ``TensorQuantOverrides`` (an extra
    option) the tensors to give 16 bits. ``layers`` says what is known about each.
    """
    layers = picked(session)
    floats = [x for x in layers if session.picks[x.index] == "float"]
    wide = [x for x in layers if session.picks[x.index] == "int16"]
    document = {
        "nodes_to_exclude": [layer.name for layer in floats],
        "TensorQuantOverrides": {x.float_tensor: [{"quant_type": "QUInt16"}] for x in wide},
        "layers": [_facts(layer, session) for layer in layers],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


EXPORTS: Mapping[str, Callable[[Session], str]] = {"keep.json": nodes_to_exclude}
"""Forms of the list by the file name they suggest; a toolchain adds its own here."""


def _facts(layer: Layer, session: Session) -> dict[str, Any]:
    return {
        "index": layer.index,
        "node": layer.name,
        "tensor": layer.float_tensor,
        "precision": session.picks[layer.index],
        "sensitivity_sqnr_db": _json_number(
            layer.sensitivity.sqnr_db if layer.sensitivity else None
        ),
        "findings": [f.id for f in session.findings_of.get(layer.index, [])],
    }


def _json_number(value: float | None) -> float | str | None:
    return value if value is None or abs(value) < float("inf") else str(value)


class PickTable(LineTable):
    """The layers on the list with what is known about each alone."""

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__(look)
        self.session = session
        self.picked = picked(session)

    @property
    def row_count(self) -> int:
        """Number of layers on the list."""
        return len(self.picked)

    def empty_text(self) -> str:
        """How to fill it."""
        return "the list is empty; x on a layer puts it here"

    def columns(self) -> tuple[Column, ...]:
        """Precision, layer, sensitivity, expected gain."""
        return (
            Column("as", "as", 7),
            Column("#", "#", 6, 3, right=True),
            Column("name", "layer", 16, flexible=True),
            Column("sens", "sens dB", 8, 1, right=True),
            Column("gain", "gain dB", 8, 2, right=True),
        )

    def cell(self, row: int, column: Column) -> Cell:
        """A cell of a layer."""
        layer = self.picked[row]
        palette, glyphs = self.look.palette, self.look.glyphs
        if column.key == "sens":
            value = layer.sensitivity.sqnr_db if layer.sensitivity else None
            return decibels(value, glyphs), palette.grade(value)
        if column.key == "gain":
            gains = [f.gain_db for f in self.session.findings_of.get(layer.index, []) if f.gain_db]
            return plain(round(max(gains), 1) if gains else None, glyphs), palette.text
        precision = "float" if self.session.picks[layer.index] == "float" else "16 bits"
        texts = {"as": precision, "#": str(layer.index), "name": layer.name}
        return texts[column.key], palette.bold if column.key == "as" else palette.text


class PicksScreen(ModalScreen[str | None]):
    """Shows the list; gives back ``export`` or ``copy`` where one of them was asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("picks")]
    DEFAULT_CSS = """
    PicksScreen { align: center middle; }
    PicksScreen > Vertical {
        width: 90%; max-width: 110; height: 70%; background: $surface; padding: 1 2;
    }
    """

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__()
        self.look = look
        self.session = session

    def compose(self) -> ComposeResult:
        """Heading, list, what the numbers mean."""
        palette = self.look.palette
        with Vertical():
            yield Static(line(("To keep in float, or give 16 bits", palette.bold)))
            yield PickTable(self.look, self.session)
            about = (
                "sens: SQNR at the outputs with only this layer quantized. gain: what a finding"
                " expects from its cure. The effect of all together is not known from this run."
            )
            yield Static(line((about, palette.dim)), markup=False)
            keys = "x float or 16 bits   d take off   e export JSON   y copy   Esc close"
            yield Static(line((keys, palette.accent)), markup=False)

    @property
    def _table(self) -> PickTable:
        return self.query_one(PickTable)

    def action_kind(self) -> None:
        """Float or 16 bits."""
        if self._table.picked:
            index = self._table.picked[self._table.cursor].index
            now = self.session.picks[index]
            self.session.picks[index] = "int16" if now == "float" else "float"
            self._table.refresh()

    def action_remove(self) -> None:
        """Take the layer off the list."""
        if self._table.picked:
            del self.session.picks[self._table.picked[self._table.cursor].index]
            self._table.picked = picked(self.session)
            self._table.rows_changed()

    def action_export(self) -> None:
        """Ask where to write the list."""
        self.dismiss("export")

    def action_copy(self) -> None:
        """Copy the list."""
        self.dismiss("copy")
