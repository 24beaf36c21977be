"""Inferring a pipeline: what each kind of evidence decides, and what is left doubtful."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from qdebug.errors import UsageError
from qdebug.preprocess.calibration import full_range
from qdebug.preprocess.graph_front.front import Quantizer
from qdebug.preprocess.infer import Habit, Normalization, Told, infer
from qdebug.preprocess.infer.candidates import NORMALIZATIONS
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.normalization import difference_in_codes
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Color

ITEM = ModelInput("input", "float32", (1, 3, 96, 128))
HABIT = Habit("test head", "rgb", "resize {w}x{h} cv2 linear", ("0..1",))
PIXELS = Habit("test head", "rgb", "resize {w}x{h} cv2 linear", ("0..255",))
SAME_CODES = 1.5


def silent(_: PreprocessSpec) -> Sequence[float]:
    return [0.0]


def answering(right: Callable[[PreprocessSpec], float]) -> Callable[..., list[float]]:
    return lambda spec: [right(spec)] * 3


def calibrated(text: str, share: float = 1.0, symmetric: bool = False) -> Quantizer:
    low, high = full_range(PreprocessSpec.parse(f"rgb | {text} | nchw".replace("|  |", "|")).affine)
    low, high = min(low, 0.0) * share, max(high, 0.0) * share
    if symmetric:
        high = max(-low, high)
        low = -high
    return Quantizer(low, high, symmetric)


@pytest.mark.parametrize("one", NORMALIZATIONS, ids=lambda one: one.name)
def test_a_whole_range_decides_or_is_said_to_fit_several(one: Normalization) -> None:
    text = one.text
    if one.name in ("Caffe's mean pixel", "minus 128", "CLIP's mean and std"):
        with pytest.raises(UsageError, match="the pipeline is not known"):
            infer(ITEM, calibrated(text), HABIT, silent, "nchw")
        return
    found = infer(ITEM, calibrated(text), HABIT, silent, "nchw")
    wanted = PreprocessSpec.parse(f"rgb | {text} | nchw".replace("|  |", "|")).affine
    assert difference_in_codes(wanted, found.spec.affine) <= SAME_CODES
    assert "the input's quantizer holds" in found.evidence[0]
    assert any("RGB or BGR" in doubt for doubt in found.doubts)


def test_a_range_that_was_cut_still_tells_pixels_from_shares() -> None:
    found = infer(ITEM, calibrated("", 0.8), HABIT, silent, "nchw")
    assert full_range(found.spec.affine)[1] > 100


def test_a_symmetric_range_of_one_may_be_two_conventions() -> None:
    """-1..1 holds 0..1 as well: without an answer of the float model nothing is known."""
    with pytest.raises(UsageError, match="the pipeline is not known") as error:
        infer(ITEM, calibrated("/255", symmetric=True), HABIT, silent, "nchw")
    assert error.value.hint is not None
    assert error.value.hint.count("-p ") >= 2


def test_without_a_range_the_float_model_decides() -> None:
    quality = answering(lambda spec: 5.0 if abs(full_range(spec.affine)[1] - 1) < 0.01 and
                        full_range(spec.affine)[0] == 0 else 0.5)  # fmt: skip
    found = infer(ITEM, None, HABIT, quality, "nchw")
    assert full_range(found.spec.affine) == pytest.approx((0, 1))
    assert "the float model answers surest with 0..1" in found.evidence


def test_the_order_needs_a_clear_answer() -> None:
    def prefers_bgr(by: float) -> Callable[[PreprocessSpec], float]:
        def right(spec: PreprocessSpec) -> float:
            color = spec.find(Color)
            return by if color is not None and color.order == "bgr" else 1.0

        return right

    quantizer = calibrated("/255")
    clear = infer(ITEM, quantizer, HABIT, answering(prefers_bgr(2.0)), "nchw")
    slight = infer(ITEM, quantizer, HABIT, answering(prefers_bgr(1.15)), "nchw")
    assert "bgr" in str(clear.spec)
    assert not any("RGB or BGR" in doubt for doubt in clear.doubts)
    assert "rgb" in str(slight.spec)
    assert any("RGB or BGR" in doubt for doubt in slight.doubts)


def test_one_photo_of_several_that_disagrees_leaves_it_open() -> None:
    def quality(spec: PreprocessSpec) -> list[float]:
        color = spec.find(Color)
        return [3.0, 3.0, 0.5] if color is not None and color.order == "bgr" else [1.0, 1.0, 1.0]

    found = infer(ITEM, calibrated("/255"), HABIT, quality, "nchw")
    assert any("RGB or BGR" in doubt for doubt in found.doubts)


def test_gray_has_no_order() -> None:
    item = ModelInput("input", "float32", (1, 1, 28, 28))
    found = infer(item, Quantizer(0.0, 1.0, False), HABIT, silent, "nchw")
    assert "gray" in str(found.spec)
    assert not any("RGB" in doubt for doubt in found.doubts)


def test_a_range_that_begins_at_zero_is_no_cut_mean_and_std() -> None:
    """0..2 lies within CLIP's range, but values on both sides of a mean are cut on both sides."""
    with pytest.raises(UsageError, match="the pipeline is not known"):
        infer(ITEM, Quantizer(0.0, 2.0, False), HABIT, silent, "nchw")


def test_a_network_that_is_surer_of_all_that_is_larger_tells_no_scale() -> None:
    def contrast(spec: PreprocessSpec) -> float:
        return max(spec.affine.gain)

    def trained_on_pixels(spec: PreprocessSpec) -> float:
        return 1.0 - abs(contrast(spec) - 1.0)

    with pytest.raises(UsageError, match="the pipeline is not known"):
        infer(ITEM, None, HABIT, lambda spec: [min(contrast(spec), 9.0) ** 2] * 3, "nchw")
    found = infer(ITEM, None, PIXELS, answering(trained_on_pixels), "nchw")
    assert full_range(found.spec.affine)[1] > 100


def test_what_the_graph_tells_is_not_asked_again() -> None:
    told = Told(Normalization("0..255", ""), "bgr", "the graph computes mean and std")
    found = infer(ITEM, None, HABIT, silent, "nchw", told)
    assert str(found.spec).endswith("bgr | nchw")
    assert found.evidence == ("the graph computes mean and std",)
    assert not any("RGB" in doubt for doubt in found.doubts)
    assert any("how pictures are placed" in doubt for doubt in found.doubts)
