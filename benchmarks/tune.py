"""What ``qdebug tune`` wins: ``python -m benchmarks.tune [MODEL ...] [--seed N] [--budget N]``.

Each model of the zoo is tuned on crops of some photos and judged on crops of others, by the float
model's decisions on them. Beside it stand the figures that were to be reached. Costs are in plain
inferences of the float model as deployed, one picture, one thread, of processor time.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.cases import ZOO
from qdebug.analysis.tasks.recognize import choose_task
from qdebug.analysis.tasks.task import OutputFacts
from qdebug.capture.session import Session, SessionSettings
from qdebug.comparison.tune import WRITING, tune
from qdebug.cure.meter import Judge
from qdebug.graph.load import load_graph
from qdebug.progress import Silent
from qdebug.run.model import Run

Array = npt.NDArray[Any]
Picture = npt.NDArray[np.uint8]
SETTINGS = SessionSettings(threads=1)


@dataclass(frozen=True)
class Row:
    """One model of the table.

    Attributes:
        folder: of the zoo.
        quant: file of the quantized twin.
        searched: pictures to tune on.
        judged: other pictures to judge on.
        asked: what was to be reached with no further tensor at more bits.
        cost: the same for the search, in plain inferences.
        photos: where pictures come from.
    """

    folder: str
    quant: str
    searched: int
    judged: int
    asked: str
    cost: int
    photos: str


ROWS = (
    Row("mobilenetv2", "quant_qdq_minmax_pc.onnx", 24, 80, "22 dB, .94", 1000, "mixed"),
    Row("mobilenetv2", "quant_qdq_minmax_pc.onnx", 24, 80, "no worse", 1000, "other kind"),
    Row("yolox_nano", "quant_qdq_minmax_pc.onnx", 13, 12, ".95", 1200, "apart"),
    Row("yolov5n", "quant_qdq_minmax_pc.onnx", 10, 8, ".88", 700, "apart"),
    Row("yolov8n_doclaynet", "quant_qdq_minmax_pc.onnx", 6, 3, ".70 with 1", 700, "docs"),
    Row("ppocrv4_rec", "quant_qdq_minmax_pc.onnx", 24, 36, ".80", 1500, "lines"),
    Row("ppocrv4_det", "quant_qdq_minmax_pt.onnx", 9, 6, ".90", 1500, "pages"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__)
    parser.add_argument("models", nargs="*", help="folders of the zoo; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", help="as for qdebug tune")
    args = parser.parse_args(argv)
    if not ZOO.is_dir():
        parser.error("the zoo of models is not here")
    chosen = [row for row in ROWS if not args.models or row.folder in args.models]
    print("| model | asked | given | tuned | deployed | held out | units, MACs | cures | cost |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for row in chosen:
        print(measured(row, args.seed, args.budget), flush=True)
    return 0


def measured(row: Row, seed: int, budget: str | None) -> str:
    """Tune one model and judge the result, as a line of the table."""
    folder, spec = ZOO / row.folder, json.loads((ZOO / row.folder / "preprocess.json").read_text())
    searched, judged = pictures(row, seed)
    with tempfile.TemporaryDirectory() as temporary:
        inputs = [
            _stored(Path(temporary) / f"{n:03d}.npy", p, spec) for n, p in enumerate(searched)
        ]
        output = Path(temporary) / "tuned.onnx"
        clock = _Clock()
        run = tune(
            folder / "float.onnx",
            inputs,
            output,
            quant_model=folder / row.quant,
            budget=budget,
            threads=1,
            progress=clock,
        )
        return _line(row, run, output, [tensor(p, spec) for p in judged], clock.spent)


class _Clock(Silent):
    """Notes the processor time of the search, without what writes and compares the result."""

    def __init__(self) -> None:
        self.start, self.spent = time.process_time(), 0.0

    def stage(self, title: str, total: int | None = None) -> None:  # noqa: ARG002
        """The search is over when the model is written."""
        if title == WRITING:
            self.spent = time.process_time() - self.start


def _line(row: Row, run: Run, output: Path, tensors: Sequence[Array], spent: float) -> str:
    folder, tuning = ZOO / row.folder, run.tuning
    assert tuning is not None
    reference, plain = outputs(folder / "float.onnx", tensors, SETTINGS.deployed)
    judge = _judge(folder / "float.onnx", reference, tensors[0])
    given = _told(judge, reference, outputs(folder / row.quant, tensors, SETTINGS)[0])
    tuned = _told(judge, reference, outputs(output, tensors, SETTINGS)[0])
    deployed = _told(judge, reference, outputs(output, tensors, SETTINGS.deployed)[0])
    names = dict.fromkeys(u for c in tuning.cures if c.accepted for u in c.units)
    macs = sum(c.macs for c in tuning.cures if c.accepted)
    cures = "; ".join(c.title for c in tuning.cures if c.accepted)
    held = f"{_short(tuning.given.task)} -> {_short(tuning.tuned.task)}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost = f"{spent:.1f} s = {spent / plain:.0f} of {row.cost} inferences, {peak:.0f} MiB"
    units = f"{len(names)}: {', '.join(names)} ({macs:.1%})" if names else "0"
    name = f"{row.folder}, {row.photos}"
    cells = (name, row.asked, given, tuned, deployed, held, units, cures, cost)
    return f"| {' | '.join(cells)} |"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _told(judge: Judge, reference: Sequence[Mapping[str, Array]], test: Sequence[Any]) -> str:
    named = [dict(zip(r, t.values(), strict=True)) for r, t in zip(reference, test, strict=True)]
    signal = noise = 0.0
    for wanted, found in zip(reference, named, strict=True):
        for name, value in wanted.items():
            apart = value.astype(np.float64) - found[name].reshape(value.shape)
            signal += float((value.astype(np.float64) ** 2).sum())
            noise += float((apart**2).sum())
    db = 10 * np.log10(signal / max(noise, 1e-30))
    return f"{_short(judge.number(list(map(judge.effect, reference, named))))}, {db:.1f} dB"


def outputs(
    model: Path, tensors: Sequence[Array], settings: SessionSettings
) -> tuple[list[dict[str, Array]], float]:
    """A model's outputs on each picture, and the processor seconds of the fastest run."""
    graph = load_graph(model)
    session = Session(graph.path, graph, settings)
    found, seconds = [], []
    for value in tensors:
        before = time.process_time()
        values = session.run({graph.inputs[0]: value})
        seconds.append(time.process_time() - before)
        found.append({n: np.array(v, np.float32) for n, v in values.items()})
    return found, min(seconds)


def _judge(model: Path, reference: Sequence[Mapping[str, Array]], value: Array) -> Judge:
    graph = load_graph(model)
    size = (value.shape[3], value.shape[2])
    return Judge(choose_task(None, OutputFacts(reference[0], size, graph.metadata)))


def pictures(row: Row, seed: int) -> tuple[list[Picture], list[Picture]]:
    """Pictures to tune on and pictures to judge on, of different photos."""
    photos = ZOO / "photos"
    street, objects = _read(photos / "street"), _read(photos / "objects")
    if row.photos == "mixed":
        parts, least = (street[::2] + objects[::2], street[1::2] + objects[1::2]), 0.55
    elif row.photos == "other kind":
        parts, least = (street[::2], objects + street[1::2]), 0.55
    elif row.photos == "apart":
        parts, least = (objects, street), 0.55
    elif row.photos == "docs":
        docs = _read(photos / "docs")
        parts, least = (docs[:2], docs[2:]), 0.6
    else:
        pages = [*_read(photos / "text", "0"), *_read(photos / "docs")]
        parts, least = (pages[::2], pages[1::2]), 0.35
    if row.photos == "lines":
        found = [lines(part) for part in parts]
        for part in found:
            np.random.default_rng(seed).shuffle(part)
        return found[0][: row.searched], found[1][: row.judged]
    flip = row.photos in ("mixed", "other kind", "apart")
    return (
        crops(parts[0], row.searched, 2 * seed, least, flip),
        crops(parts[1], row.judged, 2 * seed + 1, least, flip),
    )


def _read(folder: Path, prefix: str = "") -> list[Picture]:
    files = sorted(p for p in folder.iterdir() if p.name.startswith(prefix))
    return [np.asarray(cv2.imread(str(file)), np.uint8) for file in files]


def crops(
    photos: Sequence[Picture], count: int, seed: int, least: float, flip: bool
) -> list[Picture]:
    """So many pictures: the photos first, then crops of them, some mirrored."""
    rng = np.random.default_rng(seed)
    found = list(photos)[:count]
    while len(found) < count:
        photo = photos[len(found) % len(photos)]
        height, width = (int(side * rng.uniform(least, 1)) for side in photo.shape[:2])
        top = int(rng.integers(0, photo.shape[0] - height + 1))
        left = int(rng.integers(0, photo.shape[1] - width + 1))
        part = photo[top : top + height, left : left + width]
        mirrored = flip and rng.random() < 0.5
        found.append(np.ascontiguousarray(part[:, ::-1] if mirrored else part))
    return found


_FIRST_ROWS, _LARGEST = 1200, 1400


def lines(pages: Sequence[Picture]) -> list[Picture]:
    """Lines of text, cut out where the float detector finds them."""
    folder = ZOO / "ppocrv4_det"
    spec = json.loads((folder / "preprocess.json").read_text())
    graph = load_graph(folder / "float.onnx")
    session = Session(graph.path, graph, SETTINGS.deployed)
    found: list[Picture] = []
    for page in pages:
        whole = page if max(page.shape[:2]) <= _LARGEST else page[:_FIRST_ROWS, :_FIRST_ROWS]
        values = session.run({graph.inputs[0]: tensor(whole, spec)})
        mask = np.asarray(next(iter(values.values())))[0, 0] > 0.3
        scale = min(side / of for side, of in zip(spec["size"], whole.shape[:2], strict=True))
        stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2][1:]
        for left, top, width, height, area in stats:
            grown = int(0.35 * height) + 2
            part = whole[
                max(int((top - grown) / scale), 0) : int((top + height + grown) / scale),
                max(int((left - grown) / scale), 0) : int((left + width + grown) / scale),
            ]
            wide = part.shape[0] > 8 and 1.2 < part.shape[1] / part.shape[0] < 14
            if area >= 60 and height >= 4 and wide:
                found.append(part)
    return found


def tensor(picture: Picture, spec: Mapping[str, Any]) -> Array:
    """A picture as the model takes it, by code of its own, not qdebug's."""
    placed = _placed(picture, spec)
    if spec["color"] == "RGB":
        placed = placed[:, :, ::-1]
    mean, std = np.array(spec["mean"], np.float32), np.array(spec["std"], np.float32)
    return np.ascontiguousarray(((placed - mean) / std).transpose(2, 0, 1)[None], np.float32)


def _placed(picture: Picture, spec: Mapping[str, Any]) -> Array:
    height, width = spec["size"]
    how = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[spec["interp"]]
    rows, columns = picture.shape[:2]
    if spec["resize"] == "stretch":
        return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.float32)
    if spec["resize"].startswith("letterbox"):
        scale = min(height / rows, width / columns)
        size = round(columns * scale), round(rows * scale)
        canvas = np.full((height, width, 3), spec.get("pad_value", 0), np.float32)
        corner = "topleft" in spec["resize"]
        top, left = (0, 0) if corner else ((height - size[1]) // 2, (width - size[0]) // 2)
        small = cv2.resize(picture, size, interpolation=how)
        canvas[top : top + size[1], left : left + size[0]] = small
        return canvas
    scale = spec["short_side"] / min(rows, columns)
    size = round(columns * scale), round(rows * scale)
    small = cv2.resize(picture, size, interpolation=how)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.asarray(small[top : top + height, left : left + width], np.float32)


def _stored(file: Path, picture: Picture, spec: Mapping[str, Any]) -> Path:
    np.save(file, tensor(picture, spec))
    return file


if __name__ == "__main__":
    raise SystemExit(main())
