"""The input screen: what reached both models, the named mistake and its cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from qdebug.errors import QdebugError
from qdebug.reporters.input_words import COLUMNS, input_rows, unchecked
from qdebug.run.model import Finding, SampleInfo
from qdebug.tui import pictures
from qdebug.tui.context import Look, Session
from qdebug.tui.evidence import evidence_lines
from qdebug.tui.keys import bindings
from qdebug.tui.lines import blank, finding_lines, grid, labelled, line, status_glyph, title
from qdebug.tui.markdown import finding_markdown
from qdebug.tui.pages.page import Copy, RunPage
from qdebug.tui.text import cut_middle, visible, wrap
from qdebug.tui.textview import ReadingView
from qdebug.vocabulary.states import STATUS_WORDS


class InputPage(RunPage):
    """Mistakes first, then the pictures, the two pipelines, the values, what was ruled out."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("input")]
    scopes: Sequence[str] = ("input", "app")

    def __init__(self, look: Look, session: Session) -> None:
        super().__init__(look, session, "input")
        self.sample = 0

    def compose(self) -> ComposeResult:
        """One text."""
        yield ReadingView()

    def entered(self) -> None:
        """The mismatch has been seen from now on."""
        self.session.input_seen = True
        self.query_one(ReadingView).focus()
        self.post_message(self.Changed())

    def on_mount(self) -> None:
        """Show the text."""
        self.redraw()

    def redraw(self) -> None:
        """Draw the text again."""
        self.query_one(ReadingView).show(self._lines, keep_place=True)

    def status(self) -> str:
        """Which sample is shown."""
        samples = self.session.run.samples
        if not samples:
            return "no samples"
        name = cut_middle(samples[self.sample].name, 24, self.look.glyphs)
        return f"sample {self.sample + 1} of {len(samples)} {self.look.glyphs.dot} {name}"

    def _lines(self, width: int) -> list[Text]:
        findings = self.session.input_findings
        open_ones = [f for f in findings if f.status in ("fail", "warn", "error", "info")]
        lines: list[Text] = []
        if not self.session.input_alarms:
            lines += self._no_alarm(width)
        for finding in open_ones[:1]:
            lines += finding_lines(finding, width, self.look)
        lines += [blank(), *self._pictures(width)]
        for number, finding in enumerate(open_ones):
            lines += finding_lines(finding, width, self.look) if number else []
            lines += [*self._evidence(finding, width), blank()]
        lines += self._pipelines(width)
        lines += self._values(width)
        return lines + self._checked(width)

    def _no_alarm(self, width: int) -> list[Text]:
        """That no mistake was found, or that nobody looked and how to."""
        told = unchecked(self.session.run)
        if told:
            return wrap(f"? {told}", width, self.look.glyphs, self.look.palette.warn)
        glyph, style = status_glyph("pass", self.look)
        return [line((f"{glyph} No preprocessing mistake was found", style))]

    def _evidence(self, finding: Finding, width: int) -> list[Text]:
        lines: list[Text] = []
        for item in finding.evidence:
            if item.kind != "images":  # the pictures above show every sample
                lines += evidence_lines(item, width, self.look, self.session.run.files)
        return lines

    def _pictures(self, width: int) -> list[Text]:
        samples = self.session.run.samples
        if not samples:
            return []
        sample = samples[self.sample]
        heading = f"What reached the models: {visible(sample.name)}"
        lines = [title(heading, width, self.look)]
        try:
            return lines + self._sample_pictures(sample, width)
        except QdebugError as error:
            return lines + wrap(error.message, width, self.look.glyphs, self.look.palette.warn)

    def _sample_pictures(self, sample: SampleInfo, width: int) -> list[Text]:
        files = self.session.run.files
        if sample.thumb is None:
            return [line(("the run holds no picture of it", self.look.palette.dim)), blank()]
        one = pictures.read_picture(files, sample.thumb)
        shown = [("both models", one)]
        fed = sample.thumb_fed or sample.thumb_quant
        if fed:
            other = pictures.read_picture(files, fed)
            gap = pictures.difference(one, other)
            label = "really fed" if sample.thumb_fed else "quant model"
            shown = [("float model", one), (label, other), ("difference, stretched", gap)]
        room = min(max((width - 6) // 3, 12), 44)
        height = max(min(self.size.height - 12, room // 2), 5)
        parts = [
            (label, pictures.picture_lines(picture, room, height, self.look))
            for label, picture in shown
        ]
        return [*pictures.side_by_side(parts, room, self.look), blank()]

    def _pipelines(self, width: int) -> list[Text]:
        lines = [title("Preprocessing", width, self.look)]
        both = self.session.run.preprocess
        for label, side in (("float model", both.float), ("quant model", both.quant)):
            lines += labelled(label, f"{side.spec}   [{side.origin}]", width, self.look)
            for note in side.notes:
                lines += labelled("", note, width, self.look, self.look.palette.dim)
        if both.float.spec == both.quant.spec:
            lines += labelled(
                "", "the same on both sides", width, self.look, self.look.palette.good
            )
        else:
            lines += labelled("differ", self._differing(), width, self.look, self.look.palette.bad)
        return [*lines, blank()]

    def _differing(self) -> str:
        """The steps that only one of the two specs names, in words."""
        both = self.session.run.preprocess
        sides = [[step.strip() for step in s.spec.split("|")] for s in (both.float, both.quant)]
        only = [[s for s in sides[i] if s not in sides[1 - i]] for i in (0, 1)]
        parts = [", ".join(steps) or "nothing" for steps in only]
        return f"only float: {parts[0]}; only quant: {parts[1]}"

    def _values(self, width: int) -> list[Text]:
        if not self.session.run.samples:
            return []
        rows = [
            [s.name, s.dtype, self.look.glyphs.times.join(map(str, s.shape)), s.min, s.max, s.mean]
            for s in self.session.run.samples[self.sample].inputs
        ]
        if not rows:
            return []
        heads = ["input", "type", "shape", "min", "max", "mean"]
        heading = title("Values that reached the float model", width, self.look)
        return [heading, *grid(heads, rows, width, self.look), blank()]

    def _checked(self, width: int) -> list[Text]:
        """Every property that was checked: the verdict, what it should be, what it is."""
        rows = [
            (
                f"{status_glyph(r.status, self.look)[0]} {STATUS_WORDS[r.status]}",
                r.parameter,
                r.right,
                r.found,
            )
            for r in input_rows(self.session.run)
        ]
        if not rows:
            return []
        heading = title("What was checked", width, self.look)
        return [heading, *grid(COLUMNS, rows, width, self.look), blank()]

    def action_sample(self, step: int) -> None:
        """Another sample."""
        count = len(self.session.run.samples)
        if count:
            self.sample = (self.sample + step) % count
            self.redraw()
            self.post_message(self.Changed())

    def action_copy(self) -> None:
        """The open input findings as Markdown."""
        texts = [finding_markdown(f, {}) for f in self.session.input_alarms]
        if texts:
            self.post_message(Copy("\n".join(texts), "the input findings"))
        else:
            self.notify("There is no input finding to copy.", markup=False)
