"""Which layers the list shows, in which order; the cursor stays with its layer throughout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdebug.metrics.metric import LEAD
from qdebug.reporters.ranking import convicting_layer
from qdebug.run import modules
from qdebug.run.filter import Filter, parse_filter
from qdebug.run.model import Layer
from qdebug.run.modules import Module
from qdebug.tui import outline
from qdebug.tui.context import Session
from qdebug.tui.outline import OutlineRow
from qdebug.vocabulary.states import BROKEN

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

SORTS: tuple[tuple[str, str, bool], ...] = (
    ("index", "execution order", False),
    ("sqnr", "accumulated", False),
    ("channel", "worst channel", False),
    ("local", "local", False),
    ("board", "board", False),
    ("sens", "sensitivity", False),
    *((metric.word, metric.title, metric.better == "lower") for metric in LEAD[1:]),
    ("clipped", "clipped", True),
    ("name", "name", False),
    ("op", "op", False),
)
"""Field, what the status line calls it, and whether the largest value is the worst."""


class LayerList:
    """The rows of the layer list.

    Attributes:
        filter: the filter in force.
        sort: the field sorted by.
        reversed: whether that order is turned round.
        only_marked: whether only marked layers are shown.
        tree: whether the layers are shown by module.
        sample: the sample whose accumulated error is shown, or None for all together.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.filter: Filter = parse_filter("")
        self.sort = "index"
        self.reversed = False
        self.only_marked = False
        self.tree = False
        self.sample: int | None = None
        self.folded: set[str] = set()
        self._current = 0
        self._root: Module | None = None
        self.outline: list[OutlineRow] = []
        self.rows: IntArray = np.zeros(0, np.int64)
        self.update()

    @property
    def total(self) -> int:
        """Number of layers of the run."""
        return len(self.session.run.layers)

    @property
    def shown(self) -> int:
        """Number of layers that pass filter and marks, folded or not."""
        return len(self.rows)

    @property
    def row_count(self) -> int:
        """Number of lines."""
        return len(self.outline) if self.tree else len(self.rows)

    @property
    def current(self) -> Layer | None:
        """The layer the user is at, even while a filter hides it."""
        layers = self.session.run.layers
        return layers[self._current] if layers else None

    def layer_at(self, row: int) -> Layer:
        """Layer of a line; of a module, its first."""
        position = self.outline[row].layer if self.tree else int(self.rows[row])
        return self.session.run.layers[position]

    def module_at(self, row: int) -> Module | None:
        """Module of a line of the outline."""
        return self.outline[row].module if self.tree and row < len(self.outline) else None

    def go(self, row: int) -> None:
        """Remember the layer of a line as the place."""
        if 0 <= row < self.row_count:
            self._current = self.session.position[self.layer_at(row).index]

    def go_to(self, index: int) -> int | None:
        """Make a layer the place; its line, unfolding what hides it, or None if filtered out."""
        place = self.session.position.get(index)
        if place is None or not (self.rows == place).any():
            return None
        self._current = place
        if self.tree:
            self._unfold(place)
        return self.row_of_current()

    def row_of_current(self) -> int:
        """The line of the place, or the next one after it that is shown."""
        if self.tree:
            return self._outline_row()
        if not len(self.rows):
            return 0
        exact = np.flatnonzero(self.rows == self._current)
        if len(exact):
            return int(exact[0])
        later = np.flatnonzero(self.rows > self._current)
        return int(later[np.argmin(self.rows[later])]) if len(later) else len(self.rows) - 1

    def update(self) -> None:
        """Work out the rows again."""
        index = self.session.index
        if self.session.marks or self.only_marked:
            places = self.session.position
            index.flag("marked", {places[i] for i in self.session.marks})
        mask = self.filter.mask(index)
        if self.only_marked:
            marked = np.zeros(self.total, np.bool_)
            marked[[self.session.position[i] for i in self.session.marks]] = True
            mask &= marked
        self.rows = self._ordered(np.flatnonzero(mask))
        if self.tree:
            self._root = modules.build(self.session.run.layers, sorted(self.rows.tolist()))
            self.outline = outline.rows(self._root, self.folded)

    def set_filter(self, text: str) -> None:
        """Filter by a text.

        Raises:
            FilterError: it cannot be understood; the old filter stays.
        """
        self.filter = parse_filter(text)
        self.update()

    def sort_by(self, field: str) -> None:
        """Sort by a field; by the field already sorted by, turn the order round."""
        self.reversed = not self.reversed if field == self.sort else False
        self.sort = field
        self.update()

    def sort_next(self, available: set[str]) -> None:
        """Sort by the next field that the list shows."""
        fields = [field for field, _, _ in SORTS if field in available or field == "index"]
        at = fields.index(self.sort) if self.sort in fields else 0
        self.sort, self.reversed = fields[(at + 1) % len(fields)], False
        self.update()

    def order_text(self) -> str:
        """The order in words."""
        text = next(name for field, name, _ in SORTS if field == self.sort)
        if self.sort == "index":
            return f"{text}, reversed" if self.reversed else text
        return f"{text}, best first" if self.reversed else f"{text}, worst first"

    def next_source(self, direction: int) -> int | None:
        """Row of the next source in the order shown, going round at the end.

        Where no roles are known (no local error in the run), layers whose pair is broken.
        """
        sources = self._source_rows()
        if not sources:
            return None
        here = self.row_of_current()
        beyond = [row for row in sources if (row - here) * direction > 0]
        if beyond:
            return min(beyond) if direction > 0 else max(beyond)
        return sources[0] if direction > 0 else sources[-1]

    def opening(self) -> int | None:
        """Where to begin: the layer that convicts; else one that a failed finding names."""
        culprit = convicting_layer(self.session.run)
        if culprit is not None:
            return culprit.index
        for finding in self.session.run.findings:
            known = [i for i in finding.layers if self.session.layer(i) is not None]
            if finding.status == "fail" and known:
                return known[0]
        return self.first_source()

    def first_source(self) -> int | None:
        """Index of the first source in execution order among the layers shown."""
        places = sorted(int(place) for place in self.rows if self._is_source(int(place)))
        return self.session.run.layers[places[0]].index if places else None

    def toggle_fold(self, row: int) -> None:
        """Fold or unfold the module at a line, or the one around the layer there."""
        module = self.module_at(row) or self._module_around(row)
        if module is None:
            return
        self.folded ^= {module.path}
        self._current = module.first
        self._refresh_outline()

    def toggle_all(self) -> None:
        """Fold every module, or unfold every one if some are folded."""
        if self._root is not None:
            self.folded = set() if self.folded else outline.all_paths(self._root)
            self._refresh_outline()

    def value(self, layer: Layer) -> float | None:
        """The accumulated SQNR that the list shows for a layer, dB."""
        if self.sample is not None:
            values = layer.sample_sqnr_db
            return values[self.sample] if self.sample < len(values) else None
        return layer.accumulated.sqnr_db if layer.accumulated else None

    def _ordered(self, places: IntArray) -> IntArray:
        if self.sort == "index":
            return places[::-1] if self.reversed else places
        if self.sort in ("name", "op"):
            texts = self.session.index.texts(self.sort)
            order = sorted(places.tolist(), key=lambda place: texts[place])
            return np.array(order[::-1] if self.reversed else order, np.int64)
        return places[np.lexsort(self._sort_keys(places))]

    def _sort_keys(self, places: IntArray) -> tuple[FloatArray, FloatArray]:
        """Keys that put the worst first; NaN is worse than any number, a missing value last.

        The last key counts first, as ``numpy.lexsort`` has it.
        """
        index = self.session.index
        if self.sort == "sqnr" and self.sample is not None:
            layers = self.session.run.layers
            shown = [self.value(layers[place]) for place in places]
            values = np.array([np.nan if v is None else v for v in shown], np.float64)
            missing = np.array([v is None for v in shown], np.bool_)
        else:
            values = index.numbers(self.sort)[places]
            missing = index.missing(self.sort)[places]
        largest_first = next(large for field, _, large in SORTS if field == self.sort)
        keys = -values if largest_first != self.reversed else values
        undefined = np.isnan(values)
        groups = np.where(undefined, 1.0 if self.reversed else -1.0, 0.0)
        groups[missing] = 2.0
        return np.where(undefined, 0.0, keys), groups

    def _source_rows(self) -> list[int]:
        if not self.tree:
            return [row for row, place in enumerate(self.rows) if self._is_source(int(place))]
        return [
            row
            for row, line in enumerate(self.outline)
            if line.module is None and self._is_source(line.layer)
        ]

    def _is_source(self, place: int) -> bool:
        layer = self.session.run.layers[place]
        return layer.role == "source" or layer.state in BROKEN

    def _refresh_outline(self) -> None:
        if self._root is not None:
            self.outline = outline.rows(self._root, self.folded)

    def _outline_row(self) -> int:
        best = 0
        for row, line in enumerate(self.outline):
            if line.module is None and line.layer == self._current:
                return row
            inside = line.module is not None and line.module.path in self.folded
            if inside and line.module and self._current in line.module.all_layers():
                return row
            if line.layer <= self._current:
                best = row
        return best

    def _module_around(self, row: int) -> Module | None:
        if not self.tree or row >= len(self.outline):
            return None
        depth = self.outline[row].depth
        for above in range(row, -1, -1):
            line = self.outline[above]
            if line.module is not None and line.depth < depth:
                return line.module
        return None

    def _unfold(self, place: int) -> None:
        module = self._root
        while module is not None:
            inside = [m for m in module.modules.values() if place in m.all_layers()]
            module = inside[0] if inside else None
            if module is not None:
                self.folded.discard(module.path)
        self._refresh_outline()
