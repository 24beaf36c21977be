"""Judging a fed tensor against the pipeline that should have made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import UsageError
from qdebug.metrics.sqnr import tensor_db
from qdebug.preprocess.apply import arrange, prepare
from qdebug.preprocess.blind_spots import blind_spots
from qdebug.preprocess.differences import NUMERIC, Difference, differences
from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.numbers import rounded
from qdebug.preprocess.recover import Recovery, Source, TensorScene, guess_affine, recover
from qdebug.preprocess.recover.numbers import arithmetic
from qdebug.preprocess.recover.scene import Scene, content_of
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import Anchor, Color, Layout, Letterbox
from qdebug.preprocess.unwritten import VALUE_CHANGES, partition, unwritten
from qdebug.preprocess.verdicts import (
    ambiguous,
    blind,
    finding,
    nobodys,
    passed,
    residual,
    several,
    unexplained,
)
from qdebug.run.kinds import DIFFERENCES
from qdebug.run.model import Finding, FindingStatus

Model = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]
"""Runs the float model on one input tensor and returns its outputs."""


_WIDEST_HEAD = 512
_LEAST_SCORE = 0.25
_NEEDS_COLOR = ("channel-order", "mean-std-order")
_LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "NC1HWC2")


@dataclass(frozen=True)
class CheckResult:
    """The verdict on one fed tensor."""

    recovered: PreprocessSpec | None
    """The pipeline that was found; None if none explains the tensor."""
    findings: tuple[Finding, ...]
    residual_codes: float | None = None
    """Root mean square of what the recovered pipeline leaves unexplained, in pixel codes."""
    output_sqnr_db: float | None = None
    """SQNR of the float model's worst output, fed tensor against reference, dB."""

    @property
    def status(self) -> FindingStatus:
        """The gravest status of all findings."""
        found = {finding.status for finding in self.findings}
        order: tuple[FindingStatus, ...] = ("fail", "warn")
        return next((status for status in order if status in found), "pass")


def check_picture(
    path: Path,
    fed: NDArray[Any],
    reference: PreprocessSpec | None = None,
    *,
    size: Wh | None = None,
    model: Model | None = None,
    own_layout: bool = True,
) -> CheckResult:
    """Recover the pipeline that made ``fed`` from a picture, and judge it.

    Args:
        path: the picture file.
        fed: the tensor that was really fed, in any layout and data type; one axis means raw bytes.
        reference: the pipeline that should have made it; None only recovers. One that says
            nothing of the geometry, as some toolchains' settings do, leaves that unjudged.
        size: (width, height) of the model's input, needed for raw bytes without a reference.
        model: the float model, to grade a difference by its effect.
        own_layout: whether the tensor has to have the layout that the reference declares; a device
            may have another one, which is then only a remark.

    Raises:
        InputError: the picture cannot be read.
    """
    source = Source.read(path)
    found = recover(source, fed, reference, size)
    if reference and found:
        reference = reference.placed_like(found.spec)
    expected = None
    if reference:
        expected = prepare(source.decoded(reference.decode), "rgb", reference).tensor
    blind = blind_spots(source, reference or (found.spec if found else None))
    return _judged(found, fed, reference, expected, blind, model, own_layout)


def check_tensor(
    reference_tensor: NDArray[Any],
    fed: NDArray[Any],
    reference: PreprocessSpec | None = None,
    *,
    model: Model | None = None,
) -> CheckResult:
    """Compare a fed tensor with a reference tensor, without the picture.

    Args:
        reference_tensor: what should have been fed, one picture.
        fed: what was fed.
        reference: the pipeline that made the reference; guessed from its values if None.
        model: the float model, to grade a difference by its effect.

    Raises:
        UsageError: the reference tensor does not have the shape of a picture.
    """
    spec = reference or _guessed(reference_tensor)
    scene: Scene = TensorScene(reference_tensor, spec)
    found = recover(scene, fed, spec)
    return _judged(found, fed, spec, reference_tensor, (), model)


def _guessed(tensor: NDArray[Any]) -> PreprocessSpec:
    """Describe a reference tensor of unknown origin by its layout and value range."""
    body = tensor[0] if tensor.ndim == 4 else tensor
    if body.ndim != 3 or not {1, 3} & {body.shape[0], body.shape[2]}:
        raise UsageError(
            f"the reference tensor of shape {list(tensor.shape)} is no picture",
            "give [1, 3, H, W] or [1, H, W, 3]",
        )
    first = body.shape[0] in (1, 3)
    values = body.transpose(1, 2, 0) if first else body
    unit = Affine((1.0,) * values.shape[2], (0.0,) * values.shape[2])
    affine = guess_affine(values) or unit
    steps = arithmetic(affine, None, 0.0)
    batch = "n" if tensor.ndim == 4 else ""
    layout = PreprocessSpec.parse(batch + ("chw" if first else "hwc")).steps
    color = Color("rgb") if values.shape[2] == 3 else Color("gray", 1)
    pixels = (values.astype(np.float32) - affine.offset) / affine.gain
    return PreprocessSpec((*_framed(pixels), color, *steps, *layout))


def _framed(pixels: NDArray[Any]) -> tuple[Letterbox, ...]:
    """Describe a constant border as the letterbox that it looks like; nothing without one."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = content_of(pixels)
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return ()
    corner = pixels[-1, -1] if x0 == y0 == 0 else pixels[0, 0]
    pad = tuple(round(float(code), 2) for code in corner)
    anchor: Anchor = "top-left" if x0 == y0 == 0 else "center"
    return (Letterbox((width, height), pad[:1] if len(set(pad)) == 1 else pad, anchor=anchor),)


def _judged(
    found: Recovery | None,
    fed: NDArray[Any],
    reference: PreprocessSpec | None,
    expected: NDArray[Any] | None,
    unseen: Sequence[str],
    model: Model | None,
    own_layout: bool = False,
) -> CheckResult:
    """Turn a recovery into findings."""
    if found is None:
        return CheckResult(None, (unexplained(fed),))
    if reference is None:
        return CheckResult(found.spec, blind(unseen), found.fit.rms)
    named = _named(found, reference, fed)
    if own_layout:
        named = [_held_against(d, reference) for d in named]
    graded = model is not None and (
        not found.exact or found.lattice > 0 or any(d.weight != "benign" for d in named)
    )
    effect = None
    if model and graded and expected is not None:
        effect = _effect(model, expected, fed, found, reference)
    open_ends = [d for d in named if found.gray_source and d.slug in _NEEDS_COLOR]
    invented, known = partition(d for d in named if d not in open_ends)
    unsure = bool(found.rivals) or not found.close
    doubted = [d for d in known if unsure and d.slug in VALUE_CHANGES]
    findings = [finding(d, found, reference, effect) for d in known if d not in doubted]
    if open_ends:
        findings.append(ambiguous(open_ends))
    findings += [nobodys(d, effect) for d in invented]
    if doubted:
        findings.append(several(doubted, found, effect))
    findings += blind(unseen)
    findings += [] if doubted else residual(found, findings, effect)
    raised = {one.slug for one in findings}
    findings += [passed(kind) for kind in DIFFERENCES if kind.slug not in raised]
    return CheckResult(found.spec, tuple(findings), found.fit.rms, effect)


def _named(found: Recovery, reference: PreprocessSpec, fed: NDArray[Any]) -> list[Difference]:
    """Name the differences: a shape that contradicts the bytes is a mistake, a layout is none.

    A turned picture is rounded otherwise by the resize or the crop, which is no finding of its own.
    Where much is left unexplained, the nearest size and filter are not proven; nor is the border's
    value where the normalization is made up, or a curve of any form stands for it.
    """
    named = _contracted(differences(reference, found.spec), reference, found, fed)
    view = found.view
    if view.slug:
        named = [d for d in named if d.slug != view.slug]
        label = "the tensor's shape is a false label"
        sentence = f"{view.words}: {label}"
        named.insert(0, Difference(view.slug, sentence, "as the shape says", view.words))
    elif view.aligned:
        named = [
            replace(d, sentence=f"tensors agree under {view.words}", found=view.words)
            if d.slug == "row-stride"
            else d
            for d in named
        ]
    if not found.close:
        named = [d for d in named if not d.nearest]
    if (found.tone and found.tone.free) or (not found.close and any(d.invented for d in named)):
        named = [d for d in named if d.slug != "pad-value"]
    turned = any(d.slug == "flip-rotate" for d in named)
    if turned:
        named = [d for d in named if (d.slug, d.weight) != ("resize-geometry", "soft")]
    if found.border and not found.border.constant:
        sentence = "the border is not constant (replicated, reflected, or part of the picture)"
        named.append(Difference("pad-value", sentence, "one value", "not constant", "soft"))
    return [*named, *unwritten(found, turned=turned)]


def _held_against(difference: Difference, reference: PreprocessSpec) -> Difference:
    """Take a layout or stride for a broken contract where the reference itself declares one."""
    declared = reference.find(Layout)
    storage = difference.slug == "row-stride" or difference.found in _LAYOUTS
    if declared is None or difference.weight != "benign" or not storage:
        return difference
    words = f"{difference.sentence}, and the pipeline declares {declared.name.upper()}"
    return replace(difference, weight="contract", sentence=words)


def _contracted(
    named: list[Difference], reference: PreprocessSpec, found: Recovery, fed: NDArray[Any]
) -> list[Difference]:
    """Take an integer tensor that is the float reference, quantized, for what it is."""
    if fed.dtype.kind not in "iu" or np.dtype(reference.dtype).kind != "f":
        return named
    quantized = _quantization(reference.affine, found)
    if quantized is None:
        return named
    scale, zero_point = quantized
    sentence = (
        f"the values are the reference's, quantized to {fed.dtype.name} with scale"
        f" {rounded(scale, 6):g} and zero point {zero_point}; the graph's input must have these"
    )
    contract = Difference("layout", sentence, reference.dtype, fed.dtype.name, "benign")
    return [*(d for d in named if d.slug not in NUMERIC and d.found != fed.dtype.name), contract]


def _quantization(affine: Affine, found: Recovery) -> tuple[float, int] | None:
    """Return scale and zero point if the fitted map is the reference's, quantized as one tensor."""
    fit = found.fit
    if len(affine.gain) != len(fit.gain):
        return None
    ratio = np.array(fit.gain) / np.array(affine.gain)
    shift = np.array(fit.offset) - ratio * np.array(affine.offset)
    zero_point = round(float(shift.mean()))
    uniform = np.ptp(ratio) <= 0.01 * abs(ratio.mean()) and bool((ratio > 0).all())
    whole = bool((np.abs(shift - zero_point) <= 0.5).all())
    return (1 / float(ratio.mean()), zero_point) if uniform and whole else None


def _effect(
    model: Model,
    expected: NDArray[Any],
    fed: NDArray[Any],
    found: Recovery,
    reference: PreprocessSpec,
) -> float | None:
    """SQNR in dB of the float model's worst output between the expected and the fed tensor."""
    values = fed if fed.shape == expected.shape else found.view.values
    if fed.dtype.kind in "iu" and expected.dtype.kind == "f":
        scale, zero_point = _quantization(reference.affine, found) or (1.0, 0)
        values = (values.astype(np.float32) - zero_point) * scale
    tensor = values
    if fed.shape != expected.shape:
        tensor = arrange(values, reference.find(Layout) or Layout("nchw"))
    if tensor.shape != expected.shape or not np.isfinite(tensor.astype(np.float32)).all():
        return None
    right, wrong = model(expected), model(tensor.astype(expected.dtype))
    return output_effect(right, wrong)


def output_effect(right: Sequence[NDArray[Any]], wrong: Sequence[NDArray[Any]]) -> float | None:
    """SQNR in dB of the worst output; a detection head's columns count alike.

    Such a head holds boxes in pixels beside scores in 0..1: over the whole tensor the boxes would
    hide the scores. Each column is divided by its largest value first; columns that nowhere reach
    0.25 carry no detection and do not count.
    """
    levels = [tensor_db(*_weighed(r, w)) for r, w in zip(right, wrong, strict=True)]
    return min(levels, default=None)


def _weighed(right: NDArray[Any], wrong: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bring the columns of a detection head to one scale; other outputs stay as they are."""
    if right.ndim != 3 or min(right.shape[1:]) > _WIDEST_HEAD:
        return right, wrong
    long = 2 if right.shape[1] < right.shape[2] else 1
    largest = np.abs(right).max(axis=(0, long), keepdims=True)
    if not (largest >= _LEAST_SCORE).any():
        return right, wrong
    weight = np.where(largest >= _LEAST_SCORE, 1 / np.maximum(largest, _LEAST_SCORE), 0)
    return right * weight, wrong * weight
