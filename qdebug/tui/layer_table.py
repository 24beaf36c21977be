"""The list of layers, flat or as an outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.style import Style

from qdebug.metrics.metric import LEAD
from qdebug.reporters import heights
from qdebug.reporters.board import board_db, has_board
from qdebug.run.model import Layer
from qdebug.run.modules import Module
from qdebug.tui import charts
from qdebug.tui.context import Look
from qdebug.tui.detail.view import layer_glyph
from qdebug.tui.layer_list import LayerList
from qdebug.tui.lines import status_glyph
from qdebug.tui.outline import leaf
from qdebug.tui.table import Cell, Column, LineTable
from qdebug.vocabulary.numbers import decibel, narrow, percent

_METRIC_ROOM, _CLIP_ROOM = 7, 5
_LEAD_BY_WORD = {metric.word: metric for metric in LEAD[1:]}
_PICKED = {"float": "F", "int16": "H"}
_LEVELS = ("accum", "channel", "local", "board", "sens")
SORT_OF = {"#": "index", "bar": "sqnr", "accum": "sqnr", "clip": "clipped"}
"""Sort fields of the columns whose name is not their field."""


class LayerTable(LineTable):
    """Rows of a ``LayerList``."""

    def __init__(self, look: Look, layers: LayerList) -> None:
        super().__init__(look)
        self.rows = layers
        self._worst: dict[tuple[str, str], float] = {}

    @property
    def row_count(self) -> int:
        """Number of lines."""
        return self.rows.row_count

    def columns(self) -> Sequence[Column]:
        """Everything the run knows; what does not fit goes, the least telling first."""
        run = self.rows.session.run
        name_room = 26 if self.room < 90 else 42
        digits = max(len(str(len(run.layers))), 2)
        has_local = any(layer.local for layer in run.layers[:64])
        has_sensitivity = any(layer.sensitivity for layer in run.layers[:64])
        columns = [
            Column("mark", "", 1),
            Column("#", "#", digits, 3, right=True),
            Column("role", "", 1),
            Column("finding", "", 1),
            Column("name", "layer", name_room, flexible=True),
            Column("op", "op", 9, 6),
            Column("bar", "", 8, 8),
            Column("accum", "accum", 6, right=True),
            Column("channel", "worst", 6, 2, right=True),
        ]
        columns += [Column("local", "local", 6, 1, right=True)] if has_local else []
        columns += [Column("board", "board", 6, 1, right=True)] if has_board(run) else []
        columns += [Column("sens", "sens", 6, 5, right=True)] if has_sensitivity else []
        return [
            *columns,
            *(Column(m.word, m.word, _METRIC_ROOM, 4, right=True) for m in LEAD[1:]),
            Column("clip", "clip", _CLIP_ROOM, 7, right=True),
            Column("state", "state", 12, 9),
            Column("shape", "shape", 16, 11),
        ]

    def heading(self, column: Column) -> str:
        """The title, with an arrow where the list is sorted by it."""
        title = column.title
        if column.key == "accum" and self.rows.sample is not None:
            title = "sample"
        field = SORT_OF.get(column.key, column.key)
        if field != self.rows.sort or field == "index" or not title or column.key == "bar":
            return title
        glyphs = self.look.glyphs
        mark = ("^" if self.rows.reversed else "v") if glyphs.ascii_only else (
            "▴" if self.rows.reversed else "▾"
        )  # fmt: skip
        return f"{title[: column.width - 1]}{mark}"

    def empty_text(self) -> str:
        """Why there is nothing."""
        if not self.rows.total:
            return "this run has no layers"
        return f"none of {self.rows.total} layers passes the filter; Esc clears it"

    def rows_changed(self) -> None:
        """Forget what was worked out for modules."""
        self._worst.clear()
        super().rows_changed()

    def cell(self, row: int, column: Column) -> Cell:
        """A cell of a layer or of a module."""
        module = self.rows.module_at(row)
        if module is not None:
            return self._module_cell(module, row, column)
        return self._layer_cell(self.rows.layer_at(row), row, column)

    def _layer_cell(self, layer: Layer, row: int, column: Column) -> Cell:
        palette = self.look.palette
        key = column.key
        if key in ("mark", "role", "finding"):
            return self._sign(layer, key)
        if key == "name":
            return self._label(layer, row), self._label_style(layer)
        if key in ("accum", "bar"):
            value = self.rows.value(layer)
            if key == "accum":
                return decibel(value), palette.grade(value)
            return self._bar(value, column.width)
        return self._plain_cell(layer, key)

    def _sign(self, layer: Layer, key: str) -> Cell:
        """One cell: on the list or marked, source or victim, named by a finding."""
        session = self.rows.session
        if key == "role":
            return layer_glyph(layer, self.look)
        if key == "finding":
            found = session.findings_of.get(layer.index)
            return status_glyph(found[0].status, self.look) if found else ("", Style())
        picked = session.picks.get(layer.index)
        mark = self.look.glyphs.marked if layer.index in session.marks else ""
        return (_PICKED[picked] if picked else mark), self.look.palette.accent

    def _plain_cell(self, layer: Layer, key: str) -> Cell:
        palette, glyphs = self.look.palette, self.look.glyphs
        if key == "board":
            return decibel(board_db(layer)), palette.grade(board_db(layer))
        if key in ("local", "sens"):
            metrics = layer.local if key == "local" else layer.sensitivity
            value = metrics.sqnr_db if metrics else None
            return decibel(value), palette.grade(value)
        if key in _LEAD_BY_WORD:
            metric = _LEAD_BY_WORD[key]
            value = getattr(layer.accumulated, metric.name, None)
            return narrow(metric.write(value), _METRIC_ROOM), Style()
        if key == "clip":
            style = palette.warn if (layer.clipped or 0) > 0.01 else Style()
            return narrow(percent(layer.clipped).removesuffix(" %"), _CLIP_ROOM), style
        if key == "channel":
            value = layer.worst_channel.sqnr_db if layer.worst_channel else None
            return decibel(value), palette.grade(value)
        texts = {
            "#": str(layer.index),
            "op": layer.op,
            "state": "" if layer.state == "ok" else layer.state,
            "shape": glyphs.times.join(map(str, layer.shape)),
        }
        return texts[key], palette.dim

    def _label(self, layer: Layer, row: int) -> str:
        if not self.rows.tree:
            return layer.name or layer.float_tensor
        return "  " * self.rows.outline[row].depth + leaf(layer.name or layer.float_tensor)

    def _label_style(self, layer: Layer) -> Style:
        if layer.state == "not_compared":
            return self.look.palette.dim
        return self.look.palette.bold if layer.role == "source" else self.look.palette.text

    def _bar(self, value: float | None, width: int) -> Cell:
        level = heights.error_level(value)
        filled = 0 if np.isnan(level) else max(round(level * width), int(level > 0))
        return self.look.glyphs.bar * filled, charts.level_style(level, self.look)

    def _module_cell(self, module: Module, row: int, column: Column) -> Cell:
        palette, glyphs = self.look.palette, self.look.glyphs
        if column.key == "name":
            folded = module.path in self.rows.folded
            sign = glyphs.folded if folded else glyphs.unfolded
            indent = "  " * self.rows.outline[row].depth
            count = f"  ({len(module.all_layers())})" if folded else ""
            return f"{indent}{sign} {module.label}{count}", palette.accent
        if column.key in _LEVELS and module.path in self.rows.folded:
            value = self._module_worst(module, SORT_OF.get(column.key, column.key))
            return decibel(value), palette.grade(value)
        return "", Style()

    def _module_worst(self, module: Module, field: str) -> float | None:
        """The lowest number inside a folded module, so that folding hides no alarm."""
        key = (module.path, field)
        if key not in self._worst:
            values = self.rows.session.index.numbers(field)[module.all_layers()]
            known = values[~np.isnan(values)]
            self._worst[key] = float(known.min()) if len(known) else np.nan
        value = self._worst[key]
        return None if np.isnan(value) else value
