"""The input check: what each model was fed, side by side, and how the two pipelines differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from markupsafe import Markup

from qdebug.reporters.html.evidence import picture_html, table
from qdebug.reporters.html.pictures import Pictures
from qdebug.reporters.html.svg import tag
from qdebug.reporters.input_words import COLUMNS, input_findings, input_rows, unchecked
from qdebug.run.model import Finding, Run, SampleInfo
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.states import STATUS_GLYPHS, STATUS_WORDS

_MAX_SAMPLES = 3


@dataclass(frozen=True)
class Step:
    """One step of the two pipelines."""

    float: str
    quant: str

    @property
    def equal(self) -> bool:
        """Whether both sides do the same."""
        return self.float == self.quant


@dataclass(frozen=True)
class InputCheck:
    """What the input section shows.

    Attributes:
        steps: the two pipelines, step by step.
        findings: findings on the input that say something was seen.
        unchecked: what was not proven and how to; empty where the input was checked.
        table: every property that was checked; None where none was.
        pictures: rows of pictures.
    """

    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    unchecked: str
    table: Markup | None
    pictures: tuple[Markup, ...]

    @property
    def equal(self) -> bool:
        """Whether the two pipelines are spelled alike."""
        return all(step.equal for step in self.steps)


def input_check(run: Run, pictures: Pictures) -> InputCheck:
    """Collect the section."""
    return InputCheck(
        steps=_steps(run),
        findings=tuple(f for f in input_findings(run) if f.status != "pass"),
        unchecked=unchecked(run),
        table=_table(run),
        pictures=tuple(_shown(_samples(run), pictures)),
    )


def _table(run: Run) -> Markup | None:
    rows: list[list[object]] = [
        [
            f"{STATUS_GLYPHS[r.status]}\N{NO-BREAK SPACE}{STATUS_WORDS[r.status]}",
            r.parameter,
            r.right,
            r.found,
        ]
        for r in input_rows(run)
    ]
    return table(COLUMNS, rows) if rows else None


def _steps(run: Run) -> tuple[Step, ...]:
    sides = (run.preprocess.float.spec, run.preprocess.quant.spec)
    left, right = ([part.strip() for part in spec.split("|")] for spec in sides)
    return tuple(Step(a, b) for a, b in zip_longest(left, right, fillvalue=""))


def _samples(run: Run) -> tuple[SampleInfo, ...]:
    """Samples that differ first, then the worst of the worst output, then the first ones."""
    worst = {output.worst_sample for output in run.outputs}
    ranked = sorted(
        run.samples, key=lambda sample: (not _differs(sample), sample.name not in worst)
    )
    return tuple(ranked[:_MAX_SAMPLES])


def _shown(samples: tuple[SampleInfo, ...], pictures: Pictures) -> list[Markup]:
    """A row of pictures for each sample that differs, one row for all that do not."""
    rows = [_side_by_side(sample, pictures) for sample in samples if _differs(sample)]
    equal = [
        picture_html(f"both models: {visible(sample.name)}", sample.thumb, pictures)
        for sample in samples
        if sample.thumb and not _differs(sample)
    ]
    return [*rows, *([tag("div", *equal, class_="pictures")] if equal else [])]


def _differs(sample: SampleInfo) -> bool:
    return sample.thumb is not None and (sample.thumb_fed or sample.thumb_quant) is not None


def _side_by_side(sample: SampleInfo, pictures: Pictures) -> Markup:
    left, right = sample.thumb or "", sample.thumb_fed or sample.thumb_quant or ""
    label = "really fed" if sample.thumb_fed else "quant model"
    shown = [
        picture_html("float model", left, pictures),
        picture_html(label, right, pictures),
        _difference(left, right, pictures),
    ]
    row = tag("div", *shown, class_="pictures")
    return tag("figure", tag("figcaption", tag("bdi", visible(sample.name))), row)


def _difference(left: str, right: str, pictures: Pictures) -> Markup:
    made = pictures.difference(left, right)
    if made is None:
        note = "the pictures have different sizes: no difference can be drawn"
        return tag("div", tag("p", note, class_="note"))
    if made == "equal":
        return tag("div", tag("p", "the two pictures are equal", class_="note"))
    picture, factor = made
    label = "absolute difference" if factor == 1 else f"absolute difference, {factor} times"
    return tag("div", picture.show(label), tag("span", visible(label)))
