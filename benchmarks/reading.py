"""Mistakes planted behind the network, with their controls: is the reading named?

``python -m benchmarks.reading FOLDER [SEED...] [--only=NET]`` takes the sample detector, whole and
cut before its decoding, and the models of a folder (``yolov5n``, ``yolox_nano``,
``ultraface_rfb320``, ``ppocrv4_rec``, ``mobilenetv2``, each with ``float.onnx`` and a quant graph;
``photos`` beside them). A plain program (``tests.support.board_programs``) decodes what the
quantized model as deployed gives, with one mistake; qdebug is given its answers and the declared
outputs. One line a case: ``named`` (this mistake and no other), ``one of several`` (among names
that these pictures do not tell apart), ``with another`` (a mistake beside it that was not made),
``not told`` (not identifiable, or without effect on these pictures), ``MISSED`` or ``WRONG``, and
the totals by head. ``--part=K/N`` runs every Nth mistake from the Kth on.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.utils
import onnxruntime

from qdebug.analysis.tasks import OutputFacts, Task, choose_task, prior_constants
from qdebug.comparison.sides import float_side
from qdebug.graph.load import load_graph
from qdebug.preprocess.samples import find_samples
from qdebug.reading.findings import findings_of
from qdebug.reading.outcome import ReadingOutcome
from qdebug.reading.watch import ReadingWatch
from tests.support import board_programs as programs

Array = npt.NDArray[Any]
MOST = 300
"""Boxes a picture that the program keeps: where it reaches them, that it does so is no mistake of
qdebug's to say."""
SAMPLES = Path(__file__).resolve().parent.parent / "sample_models"
PICTURES = 4

_HEAD = re.compile(r"/cv[23]\.\d\.2/Conv_output_0$")
"""The last convolutions of a YOLOv8 head, as its exporter names them."""

Named = tuple[str, tuple[str, ...]]
BOXES: dict[str, Named] = {
    "centre-as-corner": ("reading-boxes", ("centre-as-corner",)),
    "centre-as-corners": ("reading-boxes", ("centre-as-corners",)),
    "corners-written": ("reading-boxes", ("corners-written",)),
    "axes-swapped": ("reading-boxes", ("axes-swapped",)),
    "sigmoid-twice": ("reading-scores", ("sigmoid-twice",)),
    "not-undone": ("reading-placing", ("not-undone",)),
    "class-shift": ("reading-classes", ("class-shift",)),
    "nms-missing": ("reading-suppression", ("nms-missing",)),
    "nms-agnostic": ("reading-suppression", ("nms-agnostic",)),
    "threshold": ("reading-suppression", ("threshold",)),
    "top-k": ("reading-suppression", ("top-k",)),
}
"""Finding and name of each mistake that any detector's program can make."""
PADDED: dict[str, Named] = {
    "padding-left": ("reading-placing", ("padding-left",)),
    "stretch-undone": ("reading-placing", ("stretch-undone",)),
    "rounding": ("reading-placing", ("rounding", "shift")),
}
CORNERED: dict[str, Named] = {
    "stretch-undone": ("reading-placing", ("stretch-undone",)),
    "letterbox-undone": ("reading-placing", ("letterbox-undone",)),
}
STRETCHED: dict[str, Named] = {"letterbox-undone": ("reading-placing", ("letterbox-undone",))}
CELLS: dict[str, Named] = {
    "half-cell": ("reading-boxes", ("half-cell-added", "half-cell-subtracted")),
    "strides": ("reading-boxes", ("strides-reversed",)),
}
OBJECTS: dict[str, Named] = {"objectness-missing": ("reading-scores", ("objectness-missing",))}
ANCHORS: dict[str, Named] = {
    "anchors-of-level": ("reading-boxes", ("anchors-reversed",)),
    "anchors-of-model": ("reading-boxes", ("anchors", "anchors-yolov5-p6")),
}
MAPS: dict[str, Named] = {
    "softmax-axis": ("reading-boxes", ("softmax-axis",)),
    "sigmoid-missing": ("reading-scores", ("sigmoid-missing",)),
}
TEXTS: dict[str, Named] = {
    "blank": ("reading-text", ("blank",)),
    "list-shift-up": ("reading-text", ("list-shift-up",)),
    "list-shift-down": ("reading-text", ("list-shift-down",)),
    "not-merged": ("reading-text", ("not-merged",)),
    "blank-before-merging": ("reading-text", ("blank-before-merging",)),
}
LABELS: dict[str, Named] = {
    "background": ("reading-classes", ("class-shift",)),
    "from-one": ("reading-classes", ("class-shift",)),
    "least": ("reading-scores", ("least-score",)),
}


@dataclass(frozen=True)
class Net:
    """A network, its pictures, and what its program may do wrongly."""

    name: str
    models: tuple[Path, Path]
    spec: str
    photos: Sequence[Path]
    head: str
    size: tuple[int, int]
    mistakes: Mapping[str, Named]
    letterbox: str = "centre"
    pictures: int = PICTURES


def nets(zoo: Path, work: Path) -> Iterator[Net]:
    """All of them."""
    detector = SAMPLES / "detector"
    scenes = sorted((SAMPLES / "pictures" / "scenes").glob("scene_*.jpg"))
    letterbox = "letterbox {} pad 114 | rgb | /255 | nchw"
    whole = detector / "float.onnx", detector / "int8.onnx"
    common = {**BOXES, **PADDED, **CELLS}
    yield Net("detector", whole, letterbox.format(320), scenes, "v8", (320, 320), common)
    cut = cut_detector(whole, work)
    yield Net("maps", cut, letterbox.format(320), scenes, "maps", (320, 320), common | MAPS)
    street = sorted((zoo / "photos" / "street").glob("*.jpg"))
    v5 = zoo / "yolov5n"
    if not v5.is_dir():
        return
    tail = v5 / "float.onnx", v5 / "quant_qdq_minmax_pc_headfloat.onnx"
    every = {**common, **OBJECTS, **ANCHORS}
    yield Net("yolov5n", tail, letterbox.format(640), street, "v5", (640, 640), every)
    x = zoo / "yolox_nano"
    wide = x / "float.onnx", x / "quant_qdq_a16w8_pc.onnx"
    spec = "letterbox 416 pad 114 top-left | bgr | nchw"
    every = {**BOXES, **CORNERED, **CELLS, **OBJECTS}
    yield Net("yolox", wide, spec, street, "yolox", (416, 416), every, "corner")
    face = zoo / "ultraface_rfb320"
    pair = face / "float.onnx", face / "quant_qdq_minmax_pc.onnx"
    spec = "resize 320x240 | rgb | mean 127 std 128 | nchw"
    every = {**BOXES, **STRETCHED}
    yield Net("ultraface", pair, spec, street, "ssd", (320, 240), every, "stretch", 8)
    text = zoo / "ppocrv4_rec"
    crops = sorted((zoo / "photos" / "text").glob("crop_*.png"))
    pair = text / "float.onnx", text / "quant_qdq_minmax_pc.onnx"
    spec = "letterbox 320x48 pad 127.5 top-left | bgr | mean 127.5 std 127.5 | nchw"
    yield Net("ppocr rec", pair, spec, crops, "text", (320, 48), TEXTS, pictures=6)
    net = zoo / "mobilenetv2"
    pair = net / "float.onnx", net / "quant_qdq_minmax_pc.onnx"
    photos = sorted((zoo / "photos" / "objects").glob("*.jpg"))
    yield Net("mobilenetv2", pair, "imagenet", photos, "labels", (224, 224), LABELS, pictures=6)


def cut_detector(models: tuple[Path, Path], work: Path) -> tuple[Path, Path]:
    """The sample detector up to its last convolutions, as boards run it."""
    graph = onnx.load(str(models[0])).graph
    convs = [node.output[0] for node in graph.node if node.op_type == "Conv"]
    last = [n for n in convs if _HEAD.search(n)]
    found = []
    for model in models:
        place = work / f"cut_{model.name}"
        onnx.utils.extract_model(str(model), str(place), ["images"], last)
        found.append(place)
    return found[0], found[1]


@dataclass
class Runs:
    """A network's outputs on some pictures."""

    net: Net
    samples: list[Any]
    task: Task
    deployed: list[list[Array]] = field(default_factory=list)
    quant: list[dict[str, Array]] = field(default_factory=list)
    floats: list[dict[str, Array]] = field(default_factory=list)

    @classmethod
    def of(cls, net: Net, rng: np.random.Generator) -> Runs:
        graph = load_graph(net.models[0])
        side = float_side(graph, net.spec)
        chosen = sorted(rng.choice(len(net.photos), net.pictures, replace=False).tolist())
        samples = find_samples([str(net.photos[at]) for at in chosen], side.contract)
        levels = onnxruntime.GraphOptimizationLevel
        run = [
            _session(model, level)
            for model, level in (
                (net.models[0], levels.ORT_ENABLE_ALL),
                (net.models[1], levels.ORT_DISABLE_ALL),
                (net.models[1], levels.ORT_ENABLE_ALL),
            )
        ]
        fed = [next(iter(sample.load("float").values())) for sample in samples]
        values = [[s.run(None, {s.get_inputs()[0].name: x}) for x in fed] for s in run]
        names = list(graph.outputs)
        named = [[dict(zip(names, v, strict=True)) for v in side] for side in values[:2]]
        facts = OutputFacts(named[0][0], net.size, dict(graph.metadata), prior_constants(graph))
        task = choose_task(None, facts)
        assert task is not None
        return cls(net, samples, task, values[2], named[1], named[0])

    def outcome(self, place: Path) -> ReadingOutcome:
        """What qdebug says of a file of answers."""
        watch = ReadingWatch(place, self.samples, {})
        for at in range(len(self.samples)):
            watch.add(at, self.task, {"quant": self.quant[at], "float": self.floats[at]})
        found = watch.outcome(certain=True)
        assert found is not None
        return found


def _session(model: Path, level: Any) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 4
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def answers(runs: Runs, mistake: str, folder: Path) -> Path:
    """The file that the board's program writes."""
    net = runs.net
    names = [sample.picture.name for sample in runs.samples]
    if net.head == "text":
        lines = runs.task, runs.deployed
        texts = [programs.read_text(v[0], _characters(net), mistake) for v in lines[1]]
        place = folder / "board.txt"
        rows = [f"{n}\t{t}" for n, t in zip(names, texts, strict=True)]
        place.write_text("\n".join(rows), encoding="utf-8")
        return place
    if net.head == "labels":
        place = folder / "board.csv"
        classes = [programs.read_class(v[0], mistake) for v in runs.deployed]
        rows = [f"{n},{c}" for n, c in zip(names, classes, strict=True)]
        place.write_text("\n".join(rows), encoding="utf-8")
        return place
    program = programs.Program(net.head, net.size, net.letterbox, mistake)
    boxes = {
        name: program.answer(values, sample.geometry.source)
        for name, values, sample in zip(names, runs.deployed, runs.samples, strict=True)
    }
    return programs.write_coco(boxes, folder / "board.json")


def _characters(net: Net) -> list[str]:
    metadata = onnx.load(str(net.models[0]), load_external_data=False).metadata_props
    return str(next(p.value for p in metadata if p.key == "character")).split("\n")


def is_full(answers: bytes) -> bool:
    """Whether some picture of COCO results has as many boxes as the program keeps."""
    if not answers.startswith(b"["):
        return False
    return MOST in Counter(str(row["image_id"]) for row in json.loads(answers)).values()


def judged(
    outcome: ReadingOutcome, net: Net, mistake: str, unseen: bool = False, full: bool = False
) -> str:
    """The word for a case.

    Args:
        outcome: what qdebug says.
        net: whose answers these are.
        mistake: that was planted; empty for a control.
        unseen: whether the mistake changes no answer on these pictures.
        full: whether some picture has as many boxes as the program keeps.
    """
    found = findings_of(outcome)
    raised = {f.slug for f in found if f.status in ("fail", "warn")}
    if not mistake or unseen:
        sound = "not told" if mistake else "right"
        return "WRONG" if raised else sound
    slug, names = net.mistakes[mistake]
    told = {n for m in outcome.info.mistakes for n in m.names}
    made = {*names, "top-k"} if full else set(names)
    if outcome.info.state == "not_identifiable":
        return "not told" if told & set(names) else "WRONG"
    if slug in raised and told & set(names):
        if any(not set(m.names) & made for m in outcome.info.mistakes):
            return "with another"
        return "named" if told <= made else "one of several"
    if outcome.info.agreeing == outcome.info.answers and not raised:
        return "not told"
    return "MISSED" if raised <= {"reading-differs"} else "WRONG"


def main(folder: Path, seeds: Sequence[int], only: str = "", part: tuple[int, int] = (0, 1)) -> int:
    """Print the table.

    Args:
        folder: of the models.
        seeds: that choose the pictures.
        only: nets whose name has it.
        part: the first mistake, and each how manieth.

    Returns:
        How many cases are wrong.
    """
    totals: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as place:
        for net in nets(folder, Path(place)):
            if only not in net.name:
                continue
            for seed in seeds:
                runs = Runs.of(net, np.random.default_rng(seed))
                sound = answers(runs, "", Path(place)).read_bytes()
                for mistake in ("", *net.mistakes)[part[0] :: part[1]]:
                    file = answers(runs, mistake, Path(place))
                    outcome = runs.outcome(file)
                    text = file.read_bytes()
                    word = judged(outcome, net, mistake, text == sound, is_full(text))
                    totals.setdefault(net.name, Counter())[word] += 1
                    told = "; ".join(m.words for m in outcome.info.mistakes) or outcome.info.state
                    print(
                        f"{net.name:11} {seed} {mistake or 'control':20} {word:14} {told[:150]}",
                        flush=True,
                    )
    for name, counts in totals.items():
        print(f"{name:11} {', '.join(f'{n} {word}' for word, n in sorted(counts.items()))}")
    return sum(counts["WRONG"] for counts in totals.values())


if __name__ == "__main__":
    given = sys.argv[1:]
    only = next((word[7:] for word in given if word.startswith("--only=")), "")
    words = [word for word in given if not word.startswith("--")]
    first, _, every = next((w[7:] for w in given if w.startswith("--part=")), "0/1").partition("/")
    share = int(first), int(every)
    wrong = main(Path(words[0] if words else "."), [int(w) for w in words[1:]] or [0], only, share)
    sys.exit(1 if wrong else 0)
