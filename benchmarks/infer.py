"""Pipelines inferred without ``-p``: what is chosen, what is doubtful, and what is true.

``python -m benchmarks.infer FOLDER`` takes a folder of models, each with ``preprocess.json``, float
and quant graphs, and prints a Markdown row a pair: the truth, what is chosen, how each part of it
stands, the verdict and the seconds; ``--verdict`` compares each with what was inferred, too.
``--planted N --seed S`` re-expresses working networks (small ones, the sample models, and those of
FOLDER with ``--large``) for N conventions drawn at random, with a calibrated range, a cut one, or
none, and counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.conventions import CONVENTIONS, Convention, refolded, with_range
from benchmarks.small_nets import SMALL, draw
from qdebug.comparison.compare import compare
from qdebug.comparison.sides import Side, load_sides, settled
from qdebug.errors import QdebugError
from qdebug.options import CompareOptions
from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.normalization import difference_in_codes
from qdebug.preprocess.spec import Affine
from qdebug.preprocess.steps import Color
from qdebug.run.outcome import outcome_of

SAME_CODES = 1.5
"""Normalizations that differ by less are one: (x - 127.5) / 127.5 and (x - 127) / 128."""
SAMPLES = Path(__file__).parents[1] / "sample_models"
IMAGENET = CONVENTIONS[4]


def truths(folder: Path) -> Iterator[tuple[str, Path, Path, dict[str, Any]]]:
    """Name, float graph, quant graph and the true preprocessing of every pair."""
    for file in sorted(folder.glob("*/preprocess.json")):
        truth = json.loads(file.read_text(encoding="utf-8"))
        quants = (*file.parent.glob("quant_*.onnx"), *file.parent.glob("thirdparty_*.onnx"))
        for quant in sorted(quants):
            yield f"{file.parent.name}/{quant.stem}", file.parent / "float.onnx", quant, truth


def true_affine(truth: dict[str, Any]) -> Affine:
    """Of the tensor's channels, on pixels 0..255."""
    gain = tuple(1 / s for s in truth["std"])
    return Affine(gain, tuple(-m / s for m, s in zip(truth["mean"], truth["std"], strict=True)))


def judge(side: Side, wanted: Affine, order: str) -> dict[str, str]:
    """``right``, ``doubtful`` (with ``(other)`` where another one is fed) or ``WRONG``, by part."""
    spec = PreprocessSpec.parse(side.preprocess.spec)
    told = " ".join(side.preprocess.doubts)
    gap = difference_in_codes(wanted, spec.affine)
    swapped = Affine(wanted.gain[::-1], wanted.offset[::-1])
    same = min(gap, difference_in_codes(swapped, spec.affine)) <= SAME_CODES
    color = spec.find(Color)
    return {
        "normalization": _word(same, "the normalization" in told),
        "order": _word(color is not None and color.order == order, "RGB or BGR" in told),
        "geometry": "doubtful" if "how pictures are placed" in told else "told",
    }


def _word(right: bool, doubtful: bool) -> str:
    if doubtful:
        return "doubtful" if right else "doubtful (other)"
    return "right" if right else "WRONG"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of models")
    parser.add_argument("--only", default="", help="part of the name")
    parser.add_argument("--photos", type=int, default=4)
    parser.add_argument("--verdict", action="store_true", help="compare each pair, too")
    parser.add_argument("--planted", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", action="store_true", help="plant in the folder's models")
    arguments = parser.parse_args()
    if arguments.planted:
        plant(arguments)
        return
    photos = sorted((arguments.folder / "photos").glob("*/*"))
    for name, reference, quant, truth in truths(arguments.folder):
        if arguments.only not in name:
            continue
        chosen = photos_for(name, photos)[: arguments.photos]
        options = CompareOptions(reference, quant, chosen)
        found, side, seconds = _inferred(options, true_affine(truth), truth["color"].lower())
        verdict = _verdict(options, side) if arguments.verdict and side is not None else ""
        parts = (found.get(part, "") for part in ("normalization", "order", "geometry"))
        told = f"`{side.preprocess.spec}`" if side is not None else found["refused"]
        cells = (name, _written(truth), told, *parts, verdict, f"{seconds:.1f}")
        print(f"| {' | '.join(cells)} |", flush=True)


def _written(truth: dict[str, Any]) -> str:
    """The true order of the channels, mean and std."""
    numbers = (",".join(f"{v:g}" for v in dict.fromkeys(truth[k])) for k in ("mean", "std"))
    return f"{truth['color'].lower()} mean {' std '.join(numbers)}"


def _inferred(
    options: CompareOptions, wanted: Affine, order: str
) -> tuple[dict[str, str], Side | None, float]:
    """The judgement by part, the float side, and the seconds of one processor that it took."""
    start = time.process_time()
    try:
        side, _ = load_sides(options)
    except QdebugError as error:
        return {"refused": error.message}, None, time.process_time() - start
    seconds = time.process_time() - start
    return judge(side, wanted, order), side, seconds


def _verdict(options: CompareOptions, side: Side) -> str:
    """Of a comparison with what was inferred, which keeps its doubts."""
    try:
        run = compare(
            options.float_model, options.quant_model, options.inputs, preprocess=settled(side)
        )
    except QdebugError as error:
        return f"no verdict: {error.message}"
    return f"{run.verdict.status}: {outcome_of(run).sentence}"


def photos_for(name: str, photos: list[Path]) -> list[Path]:
    """Photos of what the model looks at."""
    kinds = {"ppocrv4": "text", "doclaynet": "docs"}
    kind = next((folder for word, folder in kinds.items() if word in name), "street")
    lines = "_rec" in name
    return [p for p in photos if p.parent.name == kind and p.name.startswith("crop") == lines]


# --- planted conventions ----------------------------------------------------------------------


@dataclass(frozen=True)
class Host:
    """A working network, what it is fed, and pictures that it finds something in."""

    name: str
    model: onnx.ModelProto
    own: Convention
    place: str
    photos: Sequence[Path]


def hosts(folder: Path, scratch: Path, seed: int, large: bool) -> Iterator[Host]:
    """Networks to plant in; ``folder`` is looked at where ``large``."""
    if not large:
        for small in SMALL:
            drawn = draw(scratch / small.name, 8, seed, small.objects)
            unit = Convention("/255", "rgb")
            yield Host(small.name, small.model(seed), unit, "resize 128x128 cv2 linear", drawn)
        for name, text, kind in (
            ("classifier", IMAGENET, "objects"),
            ("detector", "/255", "scenes"),
        ):
            model = onnx.load(str(SAMPLES / name / "float.onnx"))
            height, width = (
                d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[2:]
            )
            files = sorted((SAMPLES / "pictures" / kind).glob("*.*"))
            place = f"resize {width}x{height} cv2 linear"
            yield Host(name, model, Convention(text, "rgb"), place, files)
        return
    photos = sorted((folder / "photos").glob("*/*"))
    for file in sorted(folder.glob("*/preprocess.json")):
        truth = json.loads(file.read_text(encoding="utf-8"))
        name, (height, width) = file.parent.name, truth["size"]
        if name in ("yolov8n_doclaynet", "winml_tiny_resnet"):
            continue  # metadata tells all; random weights
        order = truth["color"].lower()
        mean, std = (truth[k][:: -1 if order == "bgr" else 1] for k in ("mean", "std"))
        text = f"mean {','.join(map(str, mean))} std {','.join(map(str, std))}"
        model = onnx.load(str(file.parent / "float.onnx"))
        place = f"resize {width}x{height} cv2 linear"
        yield Host(name, model, Convention(text, order), place, photos_for(name, photos))


def plant(arguments: argparse.Namespace) -> None:
    """Draw conventions, infer, and count."""
    rng = np.random.default_rng(arguments.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        known = list(hosts(arguments.folder, scratch, arguments.seed, arguments.large))
        for _ in range(arguments.planted):
            host = known[int(rng.integers(len(known)))]
            if arguments.only not in host.name:
                continue
            wanted = Convention(str(rng.choice(CONVENTIONS)), str(rng.choice(["rgb", "bgr"])))
            share = float(rng.choice([0.0, 0.0, 1.0, 0.8]))
            chosen = [host.photos[i] for i in rng.permutation(len(host.photos))[:3]]
            print(planted(host, wanted, share, chosen, scratch, counts), flush=True)
    print(dict(sorted(counts.items())))


def planted(
    host: Host,
    wanted: Convention,
    share: float,
    chosen: Sequence[Path],
    scratch: Path,
    counts: Counter[str],
) -> str:
    """Plant one convention, infer it, and count what came out; a row."""
    model = refolded(host.model, host.own, wanted)
    gain, offset = wanted.affine()
    numbers = (-offset / gain, 1 / gain)
    mean, std = (",".join(f"{v:.9g}" for v in np.broadcast_to(n, 3)) for n in numbers)
    spec = PreprocessSpec.parse(f"{host.place} | {wanted.order} | mean {mean} std {std} | nchw")
    quant = with_range(model, spec, host.photos[:8], share) if share else model
    for name, made in (("float", model), ("quant", quant)):
        onnx.save(made, str(scratch / f"{name}.onnx"))
    options = CompareOptions(scratch / "float.onnx", scratch / "quant.onnx", chosen)
    truth = Affine(tuple(gain), tuple(offset))
    found, side, seconds = _inferred(options, truth, wanted.order)
    told = side.preprocess.spec if side is not None else ""
    counts[f"normalization {found.get('normalization', 'refused')}"] += 1
    counts[f"order {found.get('order', 'refused')}"] += 1
    kind = {0.0: "no range", 1.0: "range"}.get(share, "cut range")
    where = f"{host.name} {wanted.order} {wanted.text or '0..255'} {kind}"
    return f"{where:90} {seconds:5.1f} s  {found}  {told}"


if __name__ == "__main__":
    main()
