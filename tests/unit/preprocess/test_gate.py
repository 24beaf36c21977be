"""Pipelines against graphs: what must agree is what reaches both first layers."""

from __future__ import annotations

import pytest

from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.contracts import contract_of
from qdebug.preprocess.gate import prove_models, prove_range
from qdebug.preprocess.graph_front import GraphFront
from qdebug.preprocess.graph_front.front import Quantizer
from qdebug.preprocess.implied import implied_spec
from qdebug.preprocess.model_facts import ModelFacts
from qdebug.preprocess.model_input import ModelInput
from qdebug.run.model import Finding

YOLO = PreprocessSpec.parse("letterbox 320 pad 114 | rgb | /255 | nchw")
IMAGENET = PreprocessSpec.parse(
    "resize 320x320 | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
)
IMAGE = ModelInput("images", "float32", (1, 3, 320, 320))
BYTES = ModelInput("images", "uint8", (1, 320, 320, 3))
PLAIN = ModelFacts(IMAGE, {}, GraphFront())
UNIT = ModelFacts(IMAGE, {}, GraphFront(quantizer=Quantizer(0.0, 1.0, symmetric=False)))
SWAPPING = GraphFront(reversed=True, nodes=("Gather swap",))
NORMALIZING = GraphFront(
    gain=tuple(1 / s for s in (58.395, 57.12, 57.375)),
    offset=(-123.675 / 58.395, -116.28 / 57.12, -103.53 / 57.375),
    nodes=("Sub mean", "Div std"),
)


def alarms(findings: tuple[Finding, ...]) -> list[str]:
    return [f.slug for f in findings if f.status in ("warn", "fail")]


@pytest.mark.parametrize(
    ("quant_text", "slugs"),
    [
        (None, []),
        ("letterbox 320 pad 114 | rgb | /255 | nchw", []),
        ("letterbox 320 pad 114 | rgb | nchw", ["missing-scale"]),
        ("letterbox 320 pad 114 | bgr | /255 | nchw", ["channel-order"]),
        ("letterbox 320 pad 114 | rgb | /255 | nhwc", ["layout"]),
        ("resize 320x320 | rgb | /255 | nchw", ["resize-geometry"]),
        ("letterbox 320 pad 0 | rgb | /255 | nchw", ["pad-value"]),
        ("resize 320x320 | bgr | /255 | nchw", ["channel-order", "resize-geometry"]),
    ],
)
def test_the_quant_sides_mistake_has_its_own_slug_and_no_other(
    quant_text: str | None, slugs: list[str]
) -> None:
    quant = PreprocessSpec.parse(quant_text) if quant_text else None
    findings = prove_models(PLAIN, YOLO, UNIT, quant)
    assert alarms(findings) == slugs
    assert [f.status for f in findings if f.slug == "calibration-range"] == ["pass"]


@pytest.mark.parametrize(("effect", "status"), [(52.0, "info"), (23.0, "warn"), (8.0, "fail")])
def test_a_matter_of_degree_is_graded_by_its_effect(effect: float, status: str) -> None:
    quant = PreprocessSpec.parse("letterbox 320 pad 114 pil bilinear | rgb | /255 | nchw")
    (found,) = (f for f in prove_models(PLAIN, YOLO, UNIT, quant, lambda _: effect) if f.advice)
    assert (found.slug, found.status) == ("interpolation", status)
    assert f"at {effect} dB" in found.seen


def test_the_effect_of_a_plain_mistake_is_not_measured() -> None:
    def forbidden(_: PreprocessSpec) -> float:
        raise AssertionError

    quant = PreprocessSpec.parse("letterbox 320 pad 114 | bgr | /255 | nchw")
    assert alarms(prove_models(PLAIN, YOLO, UNIT, quant, forbidden)) == ["channel-order"]


def test_a_quant_graph_that_swaps_the_channels_is_named_with_the_pipeline_it_wants() -> None:
    facts = ModelFacts(IMAGE, {}, SWAPPING)
    (found,) = (f for f in prove_models(PLAIN, YOLO, facts) if f.status == "fail")
    assert found.slug == "channel-order"
    wanted = "letterbox 320 pad 114 | bgr | /255 | nchw"
    assert f"`{wanted}` (--quant-preprocess)" in found.advice
    assert alarms(prove_models(PLAIN, YOLO, facts, PreprocessSpec.parse(wanted))) == []


def test_a_quant_graph_that_normalizes_again_is_named_with_the_pipeline_it_wants() -> None:
    facts = ModelFacts(IMAGE, {}, NORMALIZING)
    (found,) = (f for f in prove_models(PLAIN, IMAGENET, facts) if f.status == "fail")
    assert found.slug == "double-normalization"
    wanted = contract_of(IMAGENET, PLAIN, facts)
    assert str(wanted) == "resize 320x320 cv2 linear | rgb | nchw"
    assert alarms(prove_models(PLAIN, IMAGENET, facts, wanted)) == []


def test_bytes_in_nhwc_that_the_graph_asks_for_are_no_mistake() -> None:
    facts = ModelFacts(BYTES, {}, NORMALIZING)
    assert alarms(prove_models(PLAIN, IMAGENET, facts)) == []
    swapped = PreprocessSpec.parse("resize 320x320 | bgr | uint8 | nhwc")
    assert alarms(prove_models(PLAIN, IMAGENET, facts, swapped)) == ["channel-order"]


def test_normalization_that_the_quant_graph_lost_goes_into_its_pipeline() -> None:
    inside = ModelFacts(IMAGE, {}, NORMALIZING)
    raw = PreprocessSpec.parse("resize 320x320 | rgb | nchw")
    (found,) = (f for f in prove_models(inside, raw, PLAIN) if f.status == "fail")
    assert found.slug == "missing-normalization"
    wanted = contract_of(raw, inside, PLAIN)
    assert wanted is not None
    assert wanted.affine.mean == pytest.approx((123.675, 116.28, 103.53))


def test_a_front_that_cannot_be_read_raises_no_alarm() -> None:
    vendor = ModelFacts(BYTES, {}, GraphFront(unknown="AippPreprocess aipp"))
    findings = prove_models(PLAIN, IMAGENET, vendor)
    assert alarms(findings) == []
    assert "AippPreprocess aipp" in findings[0].seen
    half = ModelFacts(IMAGE, {}, GraphFront(unread="Mul by_something"))
    assert alarms(prove_models(ModelFacts(IMAGE, {}, NORMALIZING), IMAGENET, half)) == [
        "double-normalization"
    ]


def test_numbers_that_were_quantized_themselves_may_be_off_a_little() -> None:
    off = tuple(g * 1.004 for g in NORMALIZING.gain)
    rounded = GraphFront(off, NORMALIZING.offset, nodes=("Mul m", "Add a"), rounded=True)
    facts = ModelFacts(IMAGE, {}, rounded)
    raw = PreprocessSpec.parse("resize 320x320 | rgb | nchw")
    assert alarms(prove_models(ModelFacts(IMAGE, {}, NORMALIZING), raw, facts)) == []
    assert alarms(prove_models(PLAIN, IMAGENET, facts)) == ["double-normalization"]


def test_without_a_pipeline_a_graph_that_normalizes_is_fed_pixels() -> None:
    implied = implied_spec(IMAGE, {}, NORMALIZING)
    assert implied.spec is not None
    assert str(implied.spec).endswith("rgb | nchw")
    assert "so 0..255 is fed" in implied.notes[0]
    unit = GraphFront(gain=(1 / 0.229,), offset=(-0.485 / 0.229,))
    fed = implied_spec(IMAGE, {}, unit).spec
    assert fed is not None
    assert str(fed).endswith("rgb | /255 | nchw")


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("reversing", [False, True])
@pytest.mark.parametrize("red_first", [False, True])
def test_the_order_of_the_graphs_own_means_tells_the_order_to_feed(
    unit: bool, reversing: bool, red_first: bool
) -> None:
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    scale = 255.0 if unit else 1.0
    numbers = list(zip(mean, std, strict=True))[:: 1 if red_first else -1]
    front = GraphFront(
        gain=tuple(scale / s for _, s in numbers),
        offset=tuple(-m / s for m, s in numbers),
        reversed=reversing,
    )
    implied = implied_spec(IMAGE, {}, front)
    wanted = "bgr" if red_first == reversing else "rgb"
    assert implied.spec is not None
    assert implied.spec.order == wanted
    assert f"as {wanted.upper()}" in implied.notes[0]


def test_means_of_nobody_leave_the_order_as_it_is() -> None:
    front = GraphFront(gain=(0.02,) * 3, offset=(-2.0, -2.1, -2.2), reversed=True)
    implied = implied_spec(IMAGE, {}, front)
    assert implied.spec is not None
    assert implied.spec.order == "rgb"


def test_the_exporters_metadata_contradict_a_pipeline() -> None:
    said = {"imgsz": "[320, 320]", "stride": "32", "names": "{0: 'a'}", "task": "detect"}
    facts = ModelFacts(IMAGE, said, GraphFront())
    assert alarms(prove_models(facts, YOLO)) == []
    blue = PreprocessSpec.parse("letterbox 320 pad 114 | bgr | /255 | nchw")
    (found,) = (f for f in prove_models(facts, blue) if f.status == "warn")
    assert found.slug == "channel-order"
    assert f"`{YOLO}`" in found.advice


def test_values_of_unknown_origin_are_judged_by_their_range_alone() -> None:
    assert alarms(prove_range(UNIT, 0.0, 0.97)) == []
    assert alarms(prove_range(UNIT, 0.0, 255.0)) == ["calibration-range"]
    assert prove_range(PLAIN, 0.0, 255.0) == ()


@pytest.mark.parametrize("assumed", [True, False])
def test_an_assumed_pipeline_is_doubted_before_the_calibration(assumed: bool) -> None:
    bytes_held = GraphFront(quantizer=Quantizer(0.0, 255.0, symmetric=False))
    findings = prove_models(PLAIN, YOLO, ModelFacts(IMAGE, {}, bytes_held), assumed=assumed)
    (found,) = (f for f in findings if f.slug == "calibration-range")
    assert found.status == "fail"
    assert ("`-p`" in found.advice) == assumed
    assert "alibrate again with exactly the preprocessing" in found.advice
    fitting = prove_models(PLAIN, YOLO, UNIT, assumed=assumed)
    assert not any(f.advice for f in fitting)
