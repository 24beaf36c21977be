"""The input's calibrated range against the range that is fed."""

from __future__ import annotations

import pytest

from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.calibration import calibration_finding, full_range
from qdebug.preprocess.graph_front.front import Quantizer

IMAGENET = PreprocessSpec.parse(
    "resize 32x32 | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
).affine
FED = full_range(IMAGENET)


def test_the_full_range_is_that_of_black_and_white() -> None:
    assert full_range(IMAGENET) == pytest.approx((-123.675 / 58.395, (255 - 103.53) / 57.375))


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.3])
def test_a_range_that_fits_more_or_less_passes(scale: float) -> None:
    held = Quantizer(FED[0] * scale, FED[1] * scale, False)
    assert calibration_finding(held, FED, IMAGENET).status == "pass"


def test_the_mistake_is_named_with_the_ratio() -> None:
    found = calibration_finding(Quantizer(0.0, 255.0, False), FED, IMAGENET)
    assert found.status == "fail"
    assert "53.6 times as wide as needed" in found.seen
    assert "neither the division by 255 nor mean and std are applied" in found.seen


def test_a_symmetric_range_does_not_tell_one_side_from_two() -> None:
    found = calibration_finding(Quantizer(-1.004, 0.996, True), FED, IMAGENET)
    assert "mean and std are not applied, or as with the range -1..1" in found.seen
    one_sided = calibration_finding(Quantizer(0.0, 1.0, False), FED, IMAGENET)
    assert "mean and std are not applied" in one_sided.seen
    assert "or as with" not in one_sided.seen


def test_a_ratio_without_a_known_reason_is_a_warning() -> None:
    found = calibration_finding(Quantizer(-37.0, 37.0, False), FED, IMAGENET)
    assert found.status == "warn"
    assert found.confidence == "medium"
