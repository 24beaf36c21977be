"""The pipeline of a comparison whose user gave none: the models and the pictures are asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from qdebug.comparison.float_answers import FloatAnswers
from qdebug.errors import QdebugError, UsageError
from qdebug.graph.model import Graph
from qdebug.preprocess import ImpliedSpec, ModelInput, PreprocessSpec
from qdebug.preprocess.arguments import picture_files
from qdebug.preprocess.graph_front import GraphFront, read_front
from qdebug.preprocess.implied import ending, order_told
from qdebug.preprocess.infer import Habit, Normalization, Told, infer
from qdebug.preprocess.normalization import recognize, roughly_equal

_LETTERBOX = "letterbox {w}x{h} pad 114"
_CROP = "resize {short} cv2 linear | center-crop {w}x{h}"
_IMAGENET, _UNIT, _PIXELS, _SIGNED = "ImageNet's mean and std", "0..1", "0..255", "-1..1"


def _classifier(*normalizations: str) -> Habit:
    return Habit("classifier", "rgb", _CROP, normalizations, finds=False, size=(224, 224))


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
    (
        "CTC",
        Habit(
            "CTC output",
            "bgr",
            "letterbox {w}x{h} pad 127.5 top-left",
            (_SIGNED,),
            size=(320, 48),
        ),
    ),
    ("probability map", Habit("probability map", "bgr", normalizations=(_IMAGENET, _SIGNED))),
    ("classes a pixel", Habit("segmentation", normalizations=(_IMAGENET, _UNIT))),
    ("logits", _classifier(_IMAGENET, _UNIT, _SIGNED)),
    ("probabilities", _classifier(_IMAGENET, _SIGNED, _UNIT)),
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
    files = _pictures(given)
    if not files:
        return assumed
    asked = _ask(graphs[0], inputs, files)
    item = asked.item
    fronts = [
        read_front(graph.proto, one.name, str(graph.folder))
        for graph, one in zip(graphs, inputs, strict=True)
    ]
    found = infer(
        item,
        fronts[1].quantizer if _is_float(inputs[1]) else None,
        asked.habit,
        asked.answers.quality,
        ending(item),
        _told(item, fronts[0]),
    )
    notes = (*asked.evidence, *found.evidence, f'say it with -p "{found.spec}"')
    return ImpliedSpec(found.spec, "inferred", notes, (*asked.doubts, *found.doubts))


@dataclass(frozen=True)
class _Asked:
    """The float model at one size of its input, with its head looked at.

    Attributes:
        item: the input, of a size.
        answers: the model.
        habit: how such a head is usually fed.
        evidence: what tells the size, where the input itself does not.
        doubts: the size, where nothing tells it.
    """

    item: ModelInput
    answers: FloatAnswers
    habit: Habit
    evidence: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def _ask(graph: Graph, inputs: tuple[ModelInput, ModelInput], files: Sequence[Path]) -> _Asked:
    """Open the float model at the size that it, or the quant model, takes; else at a usual one.

    Raises:
        UsageError: it takes any size, and runs at none of the usual ones.
    """
    item, other = inputs
    if item.size is not None:
        return _at_size(graph, item, files)
    if other.size is not None:
        told = f"the quant model takes {_by(other.size)}"
        asked = _at_size(graph, _of_size(item, other.size), files)
        return replace(asked, evidence=(told,))
    trials = (_of_size(item, size) for size in _TRIALS)
    found = next((a for one in trials if (a := _at_size(graph, one, files)).answers.ran), None)
    if found is None:
        tried = ", ".join(map(_by, _TRIALS))
        raise UsageError(
            f"input {item.name!r} has no fixed size: {item.describe()}; the float model runs at "
            f"none of {tried}",
            'give the pipeline with its size, for instance -p "letterbox 640x640 | rgb | /255"',
        )
    usual = _of_size(item, found.habit.size)
    if usual.size != found.item.size:
        again = _at_size(graph, usual, files)
        found = again if again.answers.ran else found
    assert found.item.size is not None
    return replace(found, doubts=(f"the size: the input takes any, {_by(found.item.size)} is fed",))


_TRIALS = (640, 640), (224, 224), (320, 320), (416, 416), (320, 48)
"""Sizes at which a network that takes any is looked at: of detectors, classifiers, readers."""


def _at_size(graph: Graph, item: ModelInput, files: Sequence[Path]) -> _Asked:
    answers = FloatAnswers(graph, item, files)
    answers.recognize(_looks(item))
    task = answers.task
    fitting = (habit for word, habit in HABITS if task is not None and word in task.form)
    return _Asked(item, answers, next(fitting, _UNKNOWN))


def _of_size(item: ModelInput, size: tuple[int, int]) -> ModelInput:
    """The input with this width and height where it leaves them open."""
    width, height = size
    wanted = (height, width)
    first = 2 if item.layout == "nchw" else 1
    sides = tuple(
        side if isinstance(side, int) and side > 0 else other
        for side, other in zip(item.shape[first : first + 2], wanted, strict=True)
    )
    return replace(item, shape=(*item.shape[:first], *sides, *item.shape[first + 2 :]))


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _looks(item: ModelInput) -> list[PreprocessSpec]:
    """Pipelines under which some head would be recognized: one of each range."""
    assert item.size is not None
    order = "gray" if item.channels == 1 else "rgb"
    place = f"resize {_by(item.size)} cv2 linear"
    texts = ("/255", "mean 127.5 std 127.5", "mean 116 std 58", "")
    lines = ((place, order, text, ending(item)) for text in texts)
    return [PreprocessSpec.parse(" | ".join(filter(None, line))) for line in lines]


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
        return picture_files([str(item) for item in given])
    return []
