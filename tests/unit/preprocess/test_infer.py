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
    if one.name in ("minus 128", "CLIP's mean and std"):
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


def test_without_a_range_the_usual_one_is_likely_where_the_float_model_agrees() -> None:
    found = infer(ITEM, None, HABIT, answering(lambda s: 5.0 if unit_range(s) else 0.5), "nchw")
    assert unit_range(found.spec)
    assert not found.evidence
    assert any("0..1 is usual for a test head" in doubt for doubt in found.doubts)


def test_an_unusual_one_that_is_answered_better_is_refused_but_named() -> None:
    """A network that was built, and not trained, is surest of values far beyond its own."""
    signed = answering(lambda s: 5.0 if full_range(s.affine)[0] == -1 else 0.5)
    with pytest.raises(UsageError, match="the pipeline is not known") as error:
        infer(ITEM, None, HABIT, signed, "nchw")
    assert "mean 127.5 std 127.5" in str(error.value.hint)


@pytest.mark.parametrize("by", [1.15, 5.0])
def test_the_order_is_not_decided_by_what_is_found(by: float) -> None:
    """With red and blue exchanged a picture is another one: there may be more to find in it."""

    def prefers_bgr(spec: PreprocessSpec) -> float:
        color = spec.find(Color)
        return by if color is not None and color.order == "bgr" else 1.0

    found = infer(ITEM, calibrated("/255"), HABIT, answering(prefers_bgr), "nchw")
    assert "rgb" in str(found.spec)
    assert any("RGB or BGR" in doubt for doubt in found.doubts)


def unit_range(spec: PreprocessSpec) -> bool:
    return full_range(spec.affine) == pytest.approx((0, 1))


def test_one_photo_of_several_that_disagrees_leaves_the_normalization_doubtful() -> None:
    def quality(spec: PreprocessSpec) -> list[float]:
        return [3.0, 3.0, 0.5] if unit_range(spec) else [1.0, 1.0, 1.0]

    found = infer(ITEM, None, HABIT, quality, "nchw")
    assert unit_range(found.spec)
    assert any("the normalization: 0..1 is usual" in doubt for doubt in found.doubts)


def test_pipelines_that_are_answered_alike_are_named() -> None:
    def quality(spec: PreprocessSpec) -> list[float]:
        low, high = full_range(spec.affine)
        return [2.0 if low == 0 else 1.8] * 3 if high < 3 else [0.0] * 3

    (doubt,) = [d for d in infer(ITEM, None, HABIT, quality, "nchw").doubts if "0..1" in d]
    assert "as well as with -1..1, ImageNet's mean and std, CLIP's mean and std" in doubt


def test_classes_do_not_speak_against_a_calibrated_range() -> None:
    habit = Habit("classifier", "rgb", HABIT.geometry, ("0..1",), finds=False)
    answers = answering(lambda spec: 5.0 if unit_range(spec) else 0.5)
    found = infer(ITEM, calibrated(""), habit, answers, "nchw")
    assert full_range(found.spec.affine) == (0.0, 255.0)


def test_a_twin_that_was_calibrated_on_the_wrong_input_gets_no_verdict() -> None:
    """The float model is asked, too: its answers are none under the range of the quant model."""
    answers = answering(lambda spec: 5.0 if unit_range(spec) else 0.0)
    with pytest.raises(UsageError, match=r"that is 0..255, but the float model .* 0..1") as error:
        infer(ITEM, calibrated(""), HABIT, answers, "nchw")
    assert str(error.value.hint).count('-p "') == 2
    same = infer(ITEM, calibrated(""), HABIT, answering(lambda _: 1.0), "nchw")
    assert full_range(same.spec.affine) == (0.0, 255.0)


def test_a_range_cut_on_both_sides_is_doubtful() -> None:
    found = infer(ITEM, Quantizer(-2.0, 1.98, False), HABIT, silent, "nchw")
    assert any("may be cut from ImageNet's mean and std" in doubt for doubt in found.doubts)


def test_a_power_of_two_is_the_next_one_above_the_range() -> None:
    """ImageNet's 2.64 and CLIP's 2.15 both need 4; 0..1, -1..1 and pixels do not."""
    usual = Habit("test head", "rgb", HABIT.geometry, ("ImageNet's mean and std",))
    found = infer(ITEM, Quantizer(-4.0, 3.96875, True), usual, answering(lambda _: 1.0), "nchw")
    (doubt,) = [d for d in found.doubts if "the normalization" in d]
    assert "ImageNet's mean and std is usual" in doubt
    assert "as well as with CLIP's mean and std" in doubt
    with pytest.raises(UsageError, match="which no normalization that people use gives"):
        infer(ITEM, Quantizer(-4.1, 4.07, True), usual, answering(lambda _: 1.0), "nchw")


def test_a_range_that_no_convention_has_is_refused() -> None:
    with pytest.raises(UsageError, match=r"holds 0\.\.2, which no normalization that people use"):
        infer(ITEM, Quantizer(0.0, 2.0, False), HABIT, silent, "nchw")


def test_pictures_beyond_the_first_are_run_for_what_is_promising_only() -> None:
    asked: list[tuple[int, float]] = []

    class Counted(Sequence[float]):
        def __init__(self, spec: PreprocessSpec) -> None:
            self.spec = spec

        def __len__(self) -> int:
            return 3

        def __getitem__(self, at: int) -> float:  # type: ignore[override]
            if at > 2:
                raise IndexError
            asked.append((at, full_range(self.spec.affine)[1]))
            return 4.0 if unit_range(self.spec) else 0.0

    infer(ITEM, None, HABIT, Counted, "nchw")
    assert {round(high, 3) for at, high in asked if at} == {1.0, 2.0}


def test_gray_has_no_order() -> None:
    item = ModelInput("input", "float32", (1, 1, 28, 28))
    found = infer(item, Quantizer(0.0, 1.0, False), HABIT, silent, "nchw")
    assert "gray" in str(found.spec)
    assert not any("RGB" in doubt for doubt in found.doubts)


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
