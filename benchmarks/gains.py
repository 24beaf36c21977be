"""Real quantized models: verdict, top finding, the gain it predicts, and what truly is won.

``python -m benchmarks.gains [MODEL...]`` compares every variant of the real models with its float
model, applies the advice of the first finding that promises a gain to the quant model itself, runs
it, and prints one line a variant. ``--task`` adds what the task gains: F1, top-1 or the text.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

import qdebug
from benchmarks import outputs
from benchmarks.cure import cured
from benchmarks.faults import ZOO
from qdebug.errors import QdebugError
from qdebug.run.model import Finding, Run

MEAN = "mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
HALF = "mean 127.5,127.5,127.5 std 127.5,127.5,127.5"
MODELS = {
    "yolov5n": ("letterbox 640 pad 114 | rgb | /255 | nchw", "street/[bz]*.jpg"),
    "yolox_nano": ("letterbox 416 top-left pad 114 | bgr | nchw", "street/[bz]*.jpg"),
    "yolov8n_doclaynet": ("letterbox 1024 pad 114 | rgb | /255 | nchw", "docs/*.png"),
    "mobilenetv2": (f"resize 256 | center-crop 224 | rgb | {MEAN} | nchw", "objects/*"),
    "ppocrv4_det": (f"letterbox 640 top-left pad 0 | bgr | {HALF} | nchw", "text/0*.jpg"),
    "ppocrv4_rec": (f"letterbox 320x48 top-left pad 127.5 | bgr | {HALF} | nchw", "text/crop_*"),
    "ultraface_rfb320": ("resize 320x240 | rgb | mean 127 std 128 | nchw", "street/[bz]*.jpg"),
    "winml_tiny_resnet": (f"resize 224x224 | rgb | {MEAN} | nchw", "objects/*"),
}
"""Preprocessing and pictures of each."""
COUNT = 4


@dataclass(frozen=True)
class Variant:
    """A quantized form of a real model.

    Attributes:
        model: folder.
        file: of the quant model.
    """

    model: str
    file: Path

    @property
    def float_file(self) -> Path:
        """The float model."""
        return self.file.with_name("float.onnx")

    @property
    def spec(self) -> str:
        """Preprocessing."""
        return MODELS[self.model][0]

    @property
    def pictures(self) -> list[Path]:
        """What both models run on."""
        return sorted((ZOO / "photos").glob(MODELS[self.model][1]))[:COUNT]

    def compare(self, quant: Path | None = None) -> Run:
        """Compare the float model with this variant, or with another quant model."""
        return qdebug.compare(
            self.float_file, quant or self.file, self.pictures, preprocess=self.spec
        )


@dataclass(frozen=True)
class Row:
    """What is known about a variant.

    Attributes:
        variant: which.
        run: its comparison.
        finding: the first that promises a gain, if any.
        actual: what its advice wins, dB; None where it cannot be applied.
        after: the comparison with the advice applied.
    """

    variant: Variant
    run: Run
    finding: Finding | None
    actual: float | None = None
    after: Run | None = None


def variants(names: Sequence[str]) -> Iterator[Variant]:
    """Those of the models whose name contains one of the words given, or all."""
    for model in MODELS:
        for file in sorted((ZOO / model).glob("*.onnx")):
            title = f"{model} {file.stem}"
            if file.stem != "float" and (not names or any(word in title for word in names)):
                yield Variant(model, file)


def top_finding(run: Run) -> Finding | None:
    """The first finding, as they are ranked, that promises a gain worth the name."""
    promising = (f for f in run.findings if f.gain_db is not None and f.gain_db >= 1.0)
    return next((f for f in promising if f.status in ("fail", "warn", "info")), None)


def measure(variant: Variant) -> Row:
    """Compare, apply the advice of the top finding, and compare again."""
    run = variant.compare()
    finding = top_finding(run)
    part = outputs.part_of(finding) if finding is not None else None
    if finding is None or part is None:
        return Row(variant, run, finding)
    models = onnx.load(variant.float_file), onnx.load(variant.file)
    try:
        better = cured(run, finding, models)
    except ValueError:
        return Row(variant, run, finding)
    reference, before, after = (
        outputs.run(model, variant.pictures, variant.spec) for model in (*models, better)
    )
    actual = outputs.sqnr(reference, after, part) - outputs.sqnr(reference, before, part)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "cured.onnx")
        onnx.save(better, file)
        return Row(variant, run, finding, actual, variant.compare(file))


def line(row: Row) -> str:
    """One line of the table."""
    bad = [f for f in row.run.findings if f.status in ("fail", "warn")]
    named = ", ".join(f"{f.slug} ({f.status})" for f in bad) or "-"
    first = f"{row.finding.slug} ({row.finding.status})" if row.finding is not None else "-"
    predicted = row.finding.gain_db if row.finding is not None else None
    gains = [("" if gain is None else f"{gain:.1f}") for gain in (predicted, row.actual)]
    known = predicted is not None and row.actual is not None
    right = ""
    if known:
        right = "yes" if outputs.is_close(predicted or 0.0, row.actual or 0.0) else "NO"
    cells = [row.variant.model, row.variant.file.stem, row.run.verdict.status, named, first]
    return f"| {' | '.join([*cells, *gains, right, _task(row.run), _task(row.after)])} |"


def _task(run: Run | None) -> str:
    if run is None or run.task is None:
        return ""
    return ", ".join(
        f"{name} {value:.2f}"
        for name, value in run.task.numbers.items()
        if name in ("f1", "top1", "iou", "same_text")
    )


def main(names: Sequence[str]) -> None:
    """Print the table."""
    columns = "model|variant|verdict|findings|top finding|predicted dB|actual dB|right"
    print("|", columns.replace("|", " | "), "| task | task after |")
    print("|---" * 10 + "|")
    for variant in variants(names):
        print(_line_or_error(variant), flush=True)


def _line_or_error(variant: Variant) -> str:
    try:
        return line(measure(variant))
    except QdebugError as error:
        return f"| {variant.model} | {variant.file.stem} | {error.message} |" + " |" * 7


if __name__ == "__main__":
    main(sys.argv[1:])
