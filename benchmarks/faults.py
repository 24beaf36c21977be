"""Plants every fault into real and sample pairs, and holds the findings to what was planted.

``python -m benchmarks.faults [MODEL...] [--only FAULT]`` prints a table: the fault, what was found
at ``fail``, whether at the right layer, the predicted gain, and the actual one: what curing the
fault really gives, which is the sound model's result. ``FAULT`` is the beginning of a name.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx

import qdebug
from benchmarks import outputs
from qdebug.run.model import Finding, Run
from tests.support.checked import EFFECTS
from tests.support.planting import PLANTS, Planted
from tests.support.planting.pairs import Pair, plant, sample_pairs

ROOT = Path(__file__).resolve().parents[1]
ZOO = ROOT.parent / "shared" / "zoo"
REMARKS = ("dead-channel",)
"""Faults that are no more than a remark."""
SHOWN = ("fail", "warn", "info")
HARMLESS_DB = 3.0
"""A fault whose cure wins less need not be more than a remark."""
NONE, EMPTY = "none", "15 empty picture"
"""No plants: the sound pair, as it is and on a picture with nothing on it."""
EVERY = (NONE, *PLANTS, EMPTY)


@dataclass(frozen=True)
class Result:
    """What became of one planted fault.

    Attributes:
        model: name of the pair.
        fault: name of the plant.
        expected: slug.
        failed: slugs at ``fail`` that name a cause.
        found: the expected finding, if there.
        at_layer: whether it names a planted layer.
        predicted: gain it promises, dB.
        actual: gain of curing the fault, dB.
    """

    model: str
    fault: str
    expected: str
    failed: tuple[str, ...]
    found: Finding | None
    at_layer: bool
    predicted: float | None
    actual: float | None

    @property
    def is_named(self) -> bool:
        """Right slug, right layer, nothing else at ``fail``; of a control, nothing at all."""
        if self.found is None:
            return not self.expected and not self.failed
        others = set(self.failed) - {self.expected}
        return self.at_layer and not others and (self.is_remark or self.found.status != "info")

    @property
    def is_remark(self) -> bool:
        """Whether the fault does no harm: its cure wins nothing to speak of, as predicted."""
        known = [gain for gain in (self.predicted, self.actual) if gain is not None]
        harmless = min(known, default=HARMLESS_DB) < HARMLESS_DB and self.is_predicted
        return self.expected in REMARKS or harmless

    @property
    def is_predicted(self) -> bool:
        """Whether the gain is right within 3 dB or a quarter."""
        if self.predicted is None or self.actual is None:
            return False
        return outputs.is_close(self.predicted, self.actual)


def zoo_pairs(count: int = 4) -> list[Pair]:
    """Sound int8 pairs among the real models, with so many pictures each."""
    photos = ZOO / "photos"
    mean = "mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
    given = [
        (
            "mobilenetv2",
            "quant_qdq_minmax_pc",
            f"resize 256 | center-crop 224 | rgb | {mean} | nchw",
            "objects/*.jpg",
        ),
        (
            "yolov5n",
            "quant_qdq_minmax_pc_headfloat",
            "letterbox 640 pad 114 | rgb | /255 | nchw",
            "street/0*.jpg",
        ),
        (
            "ultraface_rfb320",
            "quant_qdq_minmax_pc",
            "resize 320x240 | rgb | mean 127 std 128 | nchw",
            "street/0*.jpg",
        ),
    ]
    return [
        Pair(
            name,
            ZOO / name / "float.onnx",
            ZOO / name / f"{quant}.onnx",
            spec,
            tuple(sorted(photos.glob(pattern))[:count]),
        )
        for name, quant, spec, pattern in given
    ]


def run_bench(pairs: Iterable[Pair], faults: Sequence[str] = EVERY) -> Iterator[Result]:
    """Plant every fault into every pair; a pair that lacks what a fault needs is left out."""
    for pair in pairs:
        for fault in faults:
            if fault not in PLANTS:
                yield _sound_result(pair, _unplanted_run(pair, fault), f"{fault}: control")
                continue
            try:
                planted = plant(pair, fault)
            except (ValueError, IndexError):
                continue
            yield _result(pair, fault, planted)
            if planted.slug and planted.sound_model is not None:
                yield _control(pair, fault, planted)


def _unplanted_run(pair: Pair, name: str) -> Run:
    return empty_run(pair) if name == EMPTY else _compare(pair, pair.float_model, pair.quant_model)


def empty_run(pair: Pair) -> Run:
    """The comparison of a sound pair on one gray picture."""
    with tempfile.TemporaryDirectory() as name:
        picture = Path(name, "empty.png")
        cv2.imwrite(str(picture), np.full((480, 640, 3), 114, np.uint8))
        blank = replace(pair, pictures=(picture,))
        return _compare(blank, pair.float_model, pair.quant_model)


def _compare(pair: Pair, float_model: Path, quant_model: Path) -> Run:
    return qdebug.compare(float_model, quant_model, pair.pictures, preprocess=pair.spec)


def _control(pair: Pair, fault: str, planted: Planted) -> Result:
    """The same change to the float model without the fault."""
    assert planted.sound_model is not None
    run = _compare_models(pair, planted.float_model, planted.sound_model)
    return _sound_result(pair, run, f"{fault}: control")


def _sound_result(pair: Pair, run: Run, name: str) -> Result:
    return Result(pair.name, name, "", _failed(run), None, True, None, None)


def _failed(run: Run) -> tuple[str, ...]:
    slugs = (f.slug for f in run.findings if f.status == "fail" and f.slug not in EFFECTS)
    return tuple(dict.fromkeys(slugs))


def _compare_models(pair: Pair, float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Run:
    with tempfile.TemporaryDirectory() as name:
        files = Path(name, "float.onnx"), Path(name, "quant.onnx")
        onnx.save(float_model, files[0])
        onnx.save(quant, files[1])
        return _compare(pair, *files)


def _result(pair: Pair, fault: str, planted: Planted) -> Result:
    run = _compare_models(pair, planted.float_model, planted.quant_model)
    if not planted.slug:
        return _sound_result(pair, run, f"{fault}: control")
    found = next((f for f in run.findings if f.slug == planted.slug and f.status in SHOWN), None)
    layers = {run.layers[at].float_tensor for at in (found.layers if found else ())}
    at_layer = found is not None and (not planted.tensors or bool(layers & set(planted.tensors)))
    gain = found.gain_db if found is not None else None
    actual = _actual_gain(found, pair, planted) if found is not None and gain is not None else None
    return Result(pair.name, fault, planted.slug, _failed(run), found, at_layer, gain, actual)


def _actual_gain(found: Finding, pair: Pair, planted: Planted) -> float | None:
    """What the cured model has more where the finding promises it, by direct runs of all three."""
    part = outputs.part_of(found)
    if part is None:
        return None
    sound = planted.sound_model or onnx.load(pair.quant_model)
    models = planted.float_model, planted.quant_model, sound
    reference, faulty, cured = (outputs.run(m, pair.pictures, pair.spec) for m in models)
    before, after = (outputs.sqnr(reference, given, part) for given in (faulty, cured))
    return after - before


def table(results: Iterable[Result]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| model | fault | expected | at fail | named | predicted dB | actual dB |"
    yield "|---|---|---|---|---|---|---|"
    for r in results:
        named = "yes" if r.is_named else "NO"
        status = f" ({r.found.status})" if r.found is not None else ""
        gains = " | ".join("" if g is None else f"{g:.1f}" for g in (r.predicted, r.actual))
        failed = ", ".join(r.failed) or "-"
        yield f"| {r.model} | {r.fault} | {r.expected}{status} | {failed} | {named} | {gains} |"


def main() -> None:
    """Print the table for the pairs whose name contains one of the words given, or for all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--only", action="append", metavar="FAULT", default=[])
    given = parser.parse_args()
    pairs = [*sample_pairs(), *(zoo_pairs() if ZOO.is_dir() else [])]
    chosen = [p for p in pairs if not given.models or any(word in p.name for word in given.models)]
    wanted = tuple(given.only) or ("",)
    faults = [name for name in EVERY if name.startswith(wanted)]
    for line in table(run_bench(chosen, faults)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
