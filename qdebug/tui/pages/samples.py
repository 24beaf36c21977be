"""The samples screen: one bad picture, or always; and what it means for the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from qdebug.errors import QdebugError
from qdebug.run.model import SampleInfo
from qdebug.tui import pictures
from qdebug.tui.context import Look, Session
from qdebug.tui.evidence import box_list
from qdebug.tui.keys import bindings
from qdebug.tui.lines import blank, grid, labelled, line, title
from qdebug.tui.pages.page import RunPage
from qdebug.tui.sample_table import SampleTable
from qdebug.tui.table import LineTable
from qdebug.tui.text import visible, wrap
from qdebug.tui.textview import TextView
from qdebug.vocabulary.numbers import decibel


class SamplesPage(RunPage):
    """Heat strips above, the sample with its boxes below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("samples")]
    scopes: Sequence[str] = ("samples", "app")

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__(look, session, "samples")

    def compose(self) -> ComposeResult:
        """List and text."""
        with Container(id="body"):
            yield SampleTable(self.look, self.session)
            yield TextView()

    @property
    def table(self) -> SampleTable:
        """The heat strips."""
        return self.query_one(SampleTable)

    def entered(self) -> None:
        """Focus the strips."""
        self.table.focus()
        if self.table.column is None:
            self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Start where the worst sample is worst."""
        self.table.go_to_worst()
        self._draw()

    def redraw(self) -> None:
        """Theme or size changed."""
        self.table.refresh()
        self._draw()

    def on_resize(self) -> None:
        """No more strips than samples, so that the picture gets the room."""
        samples = len(self.session.run.samples)
        self.table.styles.height = min(samples + 1, max(self.size.height * 2 // 5, 4))

    def on_line_table_moved(self, event: LineTable.Moved) -> None:
        """Another sample or place."""
        event.stop()
        self._draw()
        self.post_message(self.Changed())

    def on_line_table_opened(self, event: LineTable.Opened) -> None:
        """A double click goes to the layer."""
        event.stop()
        self.action_jump()

    def status(self) -> str:
        """Layer under the cursor, and the order."""
        order = "worst first" if self.table.by_error else "as given"
        count = len(self.session.run.samples)
        return f"{count} samples, {order}"

    def _draw(self) -> None:
        view = self.query_one(TextView)
        sample = self.table.current
        if sample is None:
            view.show(lambda _: [line(("this run holds no samples", self.look.palette.dim))])
        else:
            view.show(partial(self._sample, sample), keep_place=True)

    def _sample(self, number: int, width: int) -> list[Text]:
        sample = self.session.run.samples[number]
        lines = [self._under_cursor(number), *self._task_lines(number, width)]
        for item in self._boxes(sample):
            lines += self._boxed(item, width)
        if not self._boxes(sample):
            lines += self._picture(sample, width)
        return lines

    def _under_cursor(self, number: int) -> Text:
        place = self.table.place()
        if place is None:
            return blank()
        layer = self.session.run.layers[place]
        value = float(self.table.matrix[number, place])
        row = line(("under the cursor: ", self.look.palette.dim))
        row.append(f"#{layer.index} {visible(layer.name)} ", self.look.palette.bold)
        return row.append(
            f"{self.look.glyphs.text(decibel(value))} dB", self.look.palette.grade(value)
        )

    def _task_lines(self, number: int, width: int) -> list[Text]:
        """The sample's effect on the task, as far as the run knows it."""
        task = self.session.run.task
        if task is None:
            return []
        lines = labelled("task", f"{task.kind}: {task.summary}", width, self.look)
        if number < len(task.per_sample):
            facts = task.per_sample[number]
            if all(isinstance(value, (int, float, str)) for value in facts.values()):
                keys = [str(key) for key in facts]
                lines += grid(keys, [list(facts.values())], width, self.look)
            else:
                text = ", ".join(f"{key} {_brief(value)}" for key, value in facts.items())
                lines += labelled("here", text, width, self.look)
        return lines

    def _boxes(self, sample: SampleInfo) -> list[Mapping[str, Any]]:
        return [
            item.data
            for finding in self.session.run.findings
            for item in finding.evidence
            if item.kind == "boxes" and item.data.get("sample") == sample.name
        ]

    def _boxed(self, data: Mapping[str, Any], width: int) -> list[Text]:
        palette = self.look.palette
        legend = line(
            ("both found: float ", palette.dim),
            ("blue", palette.float_side),
            (", quant ", palette.dim),
            ("orange", palette.quant_side),
            ("; dashed: lost ", palette.dim),
            ("red", palette.bad),
            (", new orange", palette.dim),
        )
        try:
            picture = pictures.read_picture(self.session.run.files, str(data["image"]))
            drawn = pictures.boxed_lines(picture, data, *self._picture_room(width), self.look)
            boxes = box_list(data, width, self.look)
        except QdebugError as error:
            return wrap(error.message, width, self.look.glyphs, palette.warn)
        except (KeyError, TypeError, ValueError) as error:
            return wrap(f"the boxes are damaged: {error!r}", width, self.look.glyphs, palette.warn)
        return [blank(), legend, *drawn, *boxes]

    def _picture(self, sample: SampleInfo, width: int) -> list[Text]:
        name = sample.source or sample.thumb
        if name is None:
            return [line(("the run holds no picture of it", self.look.palette.dim))]
        try:
            picture = pictures.read_picture(self.session.run.files, name)
        except QdebugError as error:
            return wrap(error.message, width, self.look.glyphs, self.look.palette.warn)
        drawn = pictures.picture_lines(picture, *self._picture_room(width), self.look)
        return [blank(), title(sample.name, width, self.look), *drawn]

    def _picture_room(self, width: int) -> tuple[int, int]:
        """Cells across and down for a picture: what the strips leave."""
        return min(width, 100), max(self.size.height - self.table.size.height - 6, 8)

    def action_along(self, step: int) -> None:
        """Along the network."""
        self.table.along(step)

    def action_sort_next(self) -> None:
        """Worst first, or as given."""
        self.table.sort_next()
        self._draw()
        self.post_message(self.Changed())

    def action_jump(self) -> None:
        """To the worst layer under the cursor."""
        place = self.table.place()
        if place is not None:
            self.post_message(self.Jump(self.session.run.layers[place].index))


def _brief(value: Any) -> str:
    if isinstance(value, (int, float, str)):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"({len(value)})" if hasattr(value, "__len__") else str(value)
