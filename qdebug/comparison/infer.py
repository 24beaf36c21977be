"""The pipeline of a comparison whose user gave none: the models and the pictures are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import OutputFacts, Task, choose_task, prior_constants
from qdebug.analysis.tasks.boxes import detections
from qdebug.capture.session import Session, SessionSettings
from qdebug.errors import QdebugError
from qdebug.graph.model import Graph
from qdebug.preprocess import ImpliedSpec, ModelInput, PreprocessSpec, prepare_file
from qdebug.preprocess.arguments import picture_files
from qdebug.preprocess.graph_front import GraphFront, read_front
from qdebug.preprocess.implied import ending, order_told
from qdebug.preprocess.infer import Habit, Normalization, Told, infer
from qdebug.preprocess.normalization import recognize, roughly_equal

Array = npt.NDArray[Any]

MOST_PICTURES = 4
"""Pictures that the float model is asked about: each costs a run for every candidate."""
_LETTERBOX = "letterbox {w}x{h} pad 114"
_CROP = "resize {short} cv2 linear | center-crop {w}x{h}"
_IMAGENET, _UNIT, _PIXELS, _SIGNED = "ImageNet's mean and std", "0..1", "0..255", "-1..1"
HABITS: tuple[tuple[str, Habit], ...] = (
    ("YOLOX", Habit("YOLOX head", "bgr", f"{_LETTERBOX} top-left floor", (_PIXELS,))),
    ("YOLO", Habit("YOLO head", "rgb", _LETTERBOX, (_UNIT,))),
    ("anchor-free", Habit("anchor-free head", "rgb", _LETTERBOX, (_UNIT, _PIXELS))),
    ("UltraFace", Habit("UltraFace head", normalizations=("mean 127, std 128", _SIGNED))),
    ("RetinaFace", Habit("RetinaFace head", "bgr", normalizations=("Caffe's mean pixel",))),
    ("YuNet", Habit("YuNet head", "bgr", normalizations=(_PIXELS,))),
    ("SCRFD", Habit("SCRFD head", "rgb", normalizations=("mean 127, std 128", _SIGNED))),
    ("BlazeFace", Habit("BlazeFace head", normalizations=(_SIGNED,))),
    ("NanoDet", Habit("NanoDet head", "bgr", normalizations=(_IMAGENET,))),
    ("SSD", Habit("SSD head", normalizations=(_SIGNED, "mean 127, std 128"))),
    ("DETR", Habit("DETR head", normalizations=(_IMAGENET,))),
    ("CTC", Habit("CTC output", "bgr", "letterbox {w}x{h} pad 127.5 top-left", (_SIGNED,))),
    ("probability map", Habit("probability map", "bgr", normalizations=(_IMAGENET, _SIGNED))),
    ("classes a pixel", Habit("segmentation", normalizations=(_IMAGENET, _UNIT))),
    ("logits", Habit("classifier", "rgb", _CROP, (_IMAGENET, _UNIT, _SIGNED))),
    ("probabilities", Habit("classifier", "rgb", _CROP, (_IMAGENET, _SIGNED, _UNIT))),
)
"""By a word of the task's form, the first that fits: what the projects' own code feeds."""
_UNKNOWN = Habit("head that is not recognized", normalizations=(_UNIT, _IMAGENET, _SIGNED))


def inferred_spec(
    assumed: ImpliedSpec,
    graphs: tuple[Graph, Graph],
    inputs: tuple[ModelInput, ModelInput],
    given: Sequence[str],
) -> ImpliedSpec:
    """The pipeline that models and pictures tell, in place of one that was only assumed.

    Args:
        assumed: what the float model's input alone implies.
        graphs: float and quant.
        inputs: their picture inputs.
        given: INPUT arguments.

    Raises:
        UsageError: nothing decides the normalization.
    """
    item = inputs[0]
    files = _pictures(given)
    if not files or item.size is None or assumed.spec is None:
        return assumed
    fronts = [
        read_front(graph.proto, one.name, str(graph.folder))
        for graph, one in zip(graphs, inputs, strict=True)
    ]
    answers = _FloatAnswers(graphs[0], item, files)
    found = infer(
        item,
        fronts[1].quantizer if _is_float(inputs[1]) else None,
        answers.habit(assumed.spec),
        answers.quality,
        ending(item),
        _told(item, fronts[0]),
    )
    notes = (*found.evidence, f'say it with -p "{found.spec}"')
    return ImpliedSpec(found.spec, "inferred", notes, found.doubts)


def _told(item: ModelInput, front: GraphFront) -> Told:
    """What the float graph tells of its input by the data type and by its own arithmetic."""
    order = order_told(front)
    by_means = f", as {order.upper()} by the means in the graph" if order else ""
    if not _is_float(item):
        fed = "pixels minus 128 are" if item.dtype == "int8" else "pixels are"
        why = f"the input takes {item.dtype}: {fed} fed{by_means}"
        return Told(Normalization(f"{item.dtype} pixels", ""), order, why)
    left = _left_to_do(front, "gray" if item.channels == 1 else "rgb")
    if left is None:
        return Told(order=order, why=f"the channels are fed{by_means}" if order else "")
    why = f"the graph itself {front.describe()}, so {left.name} is fed{by_means}"
    return Told(left, order, why)


def _left_to_do(front: GraphFront, color: str) -> Normalization | None:
    """What makes a normalization that people use of what the graph computes itself.

    None where it computes nothing, or where its numbers may as well be learned, as those of a
    BatchNormalization behind the input are: then nothing is told of what stands outside.
    """
    if not front.normalizes:
        return None
    fitting = []
    for left in (Normalization("0..255", ""), Normalization("0..1", "/255")):
        outside = PreprocessSpec.parse(" | ".join(filter(None, (color, left.text, "nchw"))))
        together = front.behind(outside).affine
        if recognize(together) is not None and not roughly_equal(outside.affine, together):
            fitting.append(left)
    return fitting[0] if len(fitting) == 1 else None


def _is_float(item: ModelInput) -> bool:
    return item.dtype in ("float32", "float16", "float64")


def _pictures(given: Sequence[str]) -> list[Path]:
    with suppress(QdebugError):
        return picture_files([str(item) for item in given])[:MOST_PICTURES]
    return []


class _FloatAnswers:
    """Asks the float model about the pictures.

    Args:
        graph: the float model.
        item: its picture input.
        files: pictures.
    """

    def __init__(self, graph: Graph, item: ModelInput, files: Sequence[Path]) -> None:
        self._graph, self._item, self._files = graph, item, files
        self._known: dict[str, tuple[float, ...]] = {}
        self._task: Task | None = None

    def habit(self, spec: PreprocessSpec) -> Habit:
        """How such a head is usually fed; the head is looked for under several pipelines."""
        task = self._recognize([spec, *_looks(self._item)])
        if task is None:
            return _UNKNOWN
        return next((habit for word, habit in HABITS if word in task.form), _UNKNOWN)

    def quality(self, spec: PreprocessSpec) -> tuple[float, ...]:
        """How sure the model is on each picture; zeros where its head is not recognized."""
        if self._task is None:
            return (0.0,) * len(self._files)
        key = str(spec)
        if key not in self._known:
            self._known[key] = tuple(self._sureness(file, spec) for file in self._files)
        return self._known[key]

    @cached_property
    def _session(self) -> Session:
        return Session(self._graph.whole, self._graph, SessionSettings().deployed)

    def _recognize(self, specs: Sequence[PreprocessSpec]) -> Task | None:
        if len(self._graph.inputs) != 1:
            return None
        possible = None
        for spec in specs:
            outputs = self._outputs(self._files[0], spec)
            facts = OutputFacts(
                outputs, self._item.size, dict(self._graph.metadata), prior_constants(self._graph)
            )
            task = choose_task(None, facts) if outputs else None
            if task is not None and task.behaves is not None and task.behaves(outputs).speaks:
                self._task = task
                return task
            possible = possible or task
        self._task = possible
        return possible

    def _outputs(self, file: Path, spec: PreprocessSpec) -> dict[str, Array]:
        try:
            tensor = prepare_file(file, spec).tensor
            fed = tensor.astype(self._item.dtype)
            values = self._session.run({self._graph.inputs[0]: fed})
        except QdebugError:
            return {}
        return {
            name: np.asarray(value, np.float32)
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
        }

    def _sureness(self, file: Path, spec: PreprocessSpec) -> float:
        outputs = self._outputs(file, spec)
        task = self._task
        if task is None or not set(task.reads) <= outputs.keys():
            return 0.0
        measure = _SURENESS.get(task.kind)
        return measure(task, outputs) if measure is not None else 0.0


def _looks(item: ModelInput) -> list[PreprocessSpec]:
    """Pipelines under which some head would be recognized: one of each range."""
    assert item.size is not None
    width, height = item.size
    order = "gray" if item.channels == 1 else "rgb"
    texts = ("/255", "mean 127.5 std 127.5", "mean 116 std 58", "")
    return [
        PreprocessSpec.parse(
            " | ".join(
                filter(None, (f"resize {width}x{height} cv2 linear", order, text, ending(item)))
            )
        )
        for text in texts
    ]


def _sure_boxes(task: Task, outputs: Mapping[str, Array]) -> float:
    """Sum of the scores of the boxes found."""
    assert task.read is not None
    read = task.read(outputs)
    return float(detections(read.corners, read.scores).scores.sum())


def _sure_class(task: Task, outputs: Mapping[str, Array]) -> float:
    """Probability of the best class."""
    assert task.read is not None
    scores = np.asarray(task.read(outputs), np.float64)
    if scores.min() >= 0 and abs(float(scores.sum()) - 1) < 0.02:
        return float(scores.max())
    powers = np.exp(scores - scores.max())
    return float(powers.max() / powers.sum())


def _sure_text(task: Task, outputs: Mapping[str, Array]) -> float:
    """Sum of the probabilities of the characters read."""
    table = outputs[task.reads[0]].reshape(-1, outputs[task.reads[0]].shape[-1])
    best, where = table.max(axis=1), table.argmax(axis=1)
    blank = int(np.bincount(where).argmax())
    return float(best[where != blank].sum())


def _sure_map(task: Task, outputs: Mapping[str, Array]) -> float:
    """Sum of the probabilities of the pixels that a mask marks."""
    value = outputs[task.reads[0]]
    if value.min() < 0 or value.max() > 1:
        return 0.0
    return float(value[value >= 0.5].sum())


_SURENESS = {
    "detection": _sure_boxes,
    "classification": _sure_class,
    "text": _sure_text,
    "segmentation": _sure_map,
}
