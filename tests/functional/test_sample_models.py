"""The sample models are what their README says: trained, quantized, and faulty where named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from sample_models.build import reading
from sample_models.build.scenes import Scene

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

FOLDER = Path(__file__).resolve().parents[2] / "sample_models"
PAIRS: list[dict[str, Any]] = tomllib.loads((FOLDER / "models.toml").read_text("utf-8"))["pair"]
MODELS = sorted(str(path.relative_to(FOLDER).as_posix()) for path in FOLDER.glob("*/*.onnx"))
TRUTH: dict[str, Any] = json.loads((FOLDER / "pictures" / "truth.json").read_text("utf-8"))
DETECTED_SCENES = [f"scene_{number}.jpg" for number in range(1, 7)]
PREPARE = {
    "detector": reading.for_detector,
    "classifier": reading.for_classifier,
    "transformer": reading.for_transformer,
}
CLASSIFIED = {"classifier": "objects", "transformer": "textures"}


def picture(kind: str, name: str) -> NDArray[np.uint8]:
    with Image.open(FOLDER / "pictures" / kind / name) as image:
        return np.asarray(image.convert("RGB"))


def answers(model: str, names: tuple[str, ...]) -> list[reading.Array]:
    """First outputs of ``model`` on its own kind of pictures."""
    net = model.split("/", maxsplit=1)[0]
    return _answers(model, CLASSIFIED.get(net, "scenes"), names)


@cache
def _answers(model: str, folder: str, names: tuple[str, ...]) -> list[reading.Array]:
    prepare = PREPARE[model.split("/", maxsplit=1)[0]]
    return reading.outputs(FOLDER / model, [prepare(picture(folder, name)) for name in names])


def logits(model: str) -> list[reading.Array]:
    return answers(model, tuple(TRUTH[CLASSIFIED[model.split("/", maxsplit=1)[0]]]))


def top1(model: str) -> float:
    net = model.split("/", maxsplit=1)[0]
    classes = TRUTH["classes"][net]
    labels = [classes.index(name) for name in TRUTH[CLASSIFIED[net]].values()]
    return reading.accuracy(logits(model), np.array(labels))


def f1(model: str) -> float:
    """F1 on the six coloured scenes against what was drawn on them."""
    found = [reading.detections(x) for x in answers(model, tuple(DETECTED_SCENES))]
    return reading.f1_of([_true_scene(name) for name in DETECTED_SCENES], found)[0]


def _true_scene(name: str) -> Scene:
    """A scene with its boxes in the letterboxed frame of the detector."""
    pixels, objects = picture("scenes", name), TRUTH["scenes"][name]
    scale, left, top = reading.letterbox_frame(pixels.shape[1], pixels.shape[0])
    boxes = np.array([thing["box"] for thing in objects], np.float32) * np.float32(scale)
    labels = [TRUTH["classes"]["detector"].index(thing["class"]) for thing in objects]
    return Scene(pixels, np.array(labels), boxes + np.array([left, top, left, top], np.float32))


class Graph:
    """Initializers and producers of one model by name."""

    def __init__(self, model: str) -> None:
        self.nodes = list(onnx.load(FOLDER / model).graph.node)
        stored = onnx.load(FOLDER / model).graph.initializer
        self.values = {value.name: numpy_helper.to_array(value) for value in stored}

    def named(self, name: str) -> onnx.NodeProto:
        node: onnx.NodeProto = next(node for node in self.nodes if node.name == name)
        return node

    def producer(self, tensor: str) -> onnx.NodeProto:
        node: onnx.NodeProto = next(node for node in self.nodes if tensor in node.output)
        return node

    def parts(self, conv: str, operand: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Integers and scale behind an initializer input of a QDQ Conv."""
        dequantize = self.producer(self.named(conv).input[operand])
        return self.values[dequantize.input[0]], self.values[dequantize.input[1]]

    def activation_pair(self, conv: str) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
        """Scale and zero point of the Q, then of the DQ, in front of a Conv's activation."""
        dequantize = self.producer(self.named(conv).input[0])
        quantize = self.producer(dequantize.input[0])
        q, dq = ([self.values[name] for name in node.input[1:3]] for node in (quantize, dequantize))
        return q, dq

    def dequantized_weight(self, conv: str) -> NDArray[Any]:
        integers, scale = self.parts(conv, 1)
        shape = (-1,) + (1,) * (integers.ndim - 1)
        return np.asarray(integers * scale.reshape(shape))


def planted(name: str) -> tuple[Graph, Graph, str]:
    """Faulty twin, sound twin, and the Conv with the fault."""
    pair = next(pair for pair in PAIRS if pair["name"] == name)
    return Graph(pair["quant"]), Graph("classifier/int8.onnx"), pair["planted"]


def _tracked() -> Iterator[Path]:
    return (p for p in FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def test_folder_stays_small() -> None:
    assert sum(path.stat().st_size for path in _tracked()) < 10_000_000


def test_every_model_stands_in_a_pair_and_every_pair_in_the_folder() -> None:
    named = {pair[side] for pair in PAIRS for side in ("float", "quant")}
    assert named == set(MODELS)
    assert len({pair["name"] for pair in PAIRS}) == len(PAIRS)
    for pair in PAIRS:
        assert pair["sound"] == (not pair["expected"])
        assert all(list(FOLDER.glob(pattern)) for pattern in pair["pictures"])
        if "planted" in pair:
            assert Graph(pair["float"]).named(pair["planted"])


def test_readme_names_every_model_and_every_spec() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert [model for model in MODELS if model not in readme] == []
    assert {pair["spec"] for pair in PAIRS if pair["spec"] not in readme} == set()


@pytest.mark.parametrize("model", MODELS)
def test_model_loads_runs_and_says_what_it_knows(model: str) -> None:
    session = ort.InferenceSession(FOLDER / model, providers=["CPUExecutionProvider"])
    (tensor,) = session.get_inputs()
    flat = np.full(tensor.shape, 0.25, np.float32)
    (output,) = session.run(None, {tensor.name: flat})
    net = model.split("/", maxsplit=1)[0]
    classes = TRUTH["classes"][net]
    assert output.shape == ((1, 4 + len(classes), 2100) if net == "detector" else (1, len(classes)))
    assert np.isfinite(output).all()
    assert session.get_modelmeta().custom_metadata_map["names"] == str(dict(enumerate(classes)))


def test_detectors_carry_the_metadata_of_an_ultralytics_export() -> None:
    for model in (model for model in MODELS if model.startswith("detector/")):
        metadata = {prop.key: prop.value for prop in onnx.load(FOLDER / model).metadata_props}
        assert metadata["imgsz"] == "[320, 320]"
        assert (metadata["stride"], metadata["task"]) == ("32", "detect")


def test_pictures_are_coloured_and_not_square_but_for_the_gray_one() -> None:
    for path in (FOLDER / "pictures").glob("*/*.jpg"):
        pixels = picture(path.parent.name, path.name).astype(np.int16)
        assert pixels.shape[0] != pixels.shape[1]
        spread = np.ptp(pixels, axis=2)
        assert (spread.max() == 0) if path.name == "gray.jpg" else (spread.mean() > 10)


def test_float_detector_finds_what_was_drawn() -> None:
    assert f1("detector/float.onnx") > 0.95


@pytest.mark.parametrize("twin", ["int8", "int8_qoperator", "dynamic"])
def test_sound_detectors_find_it_too(twin: str) -> None:
    assert f1(f"detector/{twin}.onnx") > 0.93


def test_naive_detector_is_dead_behind_a_near_perfect_cosine() -> None:
    found = answers("detector/int8_naive.onnx", tuple(DETECTED_SCENES))
    reference = answers("detector/float.onnx", tuple(DETECTED_SCENES))
    assert reading.cosine(reference, found) > 0.999
    assert all(not output[0, 4:].any() for output in found)
    assert min(output[0, 4:].max() for output in reference) > 0.8


def test_naive_detector_lays_scores_under_one_step_of_the_boxes() -> None:
    graph = Graph("detector/int8_naive.onnx")
    dequantize = graph.producer("output0")
    assert float(graph.values[dequantize.input[1]]) > 2


@pytest.mark.parametrize("twin", ["float", "int8"])
def test_nothing_is_found_where_nothing_is(twin: str) -> None:
    (output,) = answers(f"detector/{twin}.onnx", ("empty.jpg",))
    assert output[0, 4:].max() < reading.SCORE


def test_detector_calibrated_on_0_to_255_has_an_input_step_of_one() -> None:
    graph = Graph("detector/int8_range255.onnx")
    entry = next(node for node in graph.nodes if node.op_type == "QuantizeLinear")
    assert entry.input[0] == "images"
    assert float(graph.values[entry.input[1]]) == pytest.approx(1, abs=0.02)
    assert f1("detector/int8_range255.onnx") == 0


@pytest.mark.parametrize(
    "model",
    [f"classifier/{name}.onnx" for name in ("float", "float_other_run", "int8", "float16")]
    + [f"transformer/{name}.onnx" for name in ("float", "int8")],
)
def test_sound_classifiers_name_every_picture(model: str) -> None:
    assert top1(model) == 1


def test_outlier_channel_leaves_the_float_function_alone() -> None:
    plain, amplified = (
        logits("classifier/float.onnx"),
        logits("classifier/float_outlier_channel.onnx"),
    )
    assert reading.sqnr_db(plain, amplified) > 90


@pytest.mark.parametrize(
    "twin",
    [Path(pair["quant"]).stem for pair in PAIRS if not pair["sound"] and pair["float"][0] == "c"],
)
def test_faulty_classifier_is_worse_than_the_sound_one(twin: str) -> None:
    if twin == "int8":  # the pair with another training run's float net
        reference = logits("classifier/float_other_run.onnx")
    else:
        reference = logits("classifier/float.onnx")
    sound = reading.sqnr_db(logits("classifier/float.onnx"), logits("classifier/int8.onnx"))
    assert reading.sqnr_db(reference, logits(f"classifier/{twin}.onnx")) < sound - 3


def test_rolled_weights_are_the_sound_ones_one_channel_on() -> None:
    faulty, sound, conv = planted("classifier-weight-rolled")
    assert np.array_equal(faulty.parts(conv, 1)[0], np.roll(sound.parts(conv, 1)[0], 1, axis=0))


def test_zeroed_bias_is_zero_where_the_sound_one_is_not() -> None:
    faulty, sound, conv = planted("classifier-bias-zeroed")
    assert not faulty.parts(conv, 2)[0].any()
    assert sound.parts(conv, 2)[0].all()


def test_scaled_channel_is_the_only_one_changed() -> None:
    faulty, sound, conv = planted("classifier-channel-scale")
    ratio = faulty.parts(conv, 1)[1] / sound.parts(conv, 1)[1]
    assert np.flatnonzero(ratio != 1).tolist() == [5]
    assert ratio[5] == 4


@pytest.mark.parametrize(
    ("name", "ratio", "shift"),
    [("classifier-qdq-mismatch", 1.25, 0), ("classifier-zero-point", 1, 12)],
)
def test_quantize_and_dequantize_disagree(name: str, ratio: float, shift: int) -> None:
    faulty, _, conv = planted(name)
    (q_scale, q_zero), (dq_scale, dq_zero) = faulty.activation_pair(conv)
    assert float(dq_scale / q_scale) == pytest.approx(ratio)
    assert int(dq_zero) - int(q_zero) == shift


def test_clipped_range_is_a_quarter_on_both_sides() -> None:
    faulty, sound, conv = planted("classifier-clipped")
    for side, whole in zip(faulty.activation_pair(conv), sound.activation_pair(conv), strict=True):
        assert float(whole[0] / side[0]) == pytest.approx(4)


def test_other_run_has_the_same_names_and_other_weights() -> None:
    one, other = Graph("classifier/float.onnx"), Graph("classifier/float_other_run.onnx")
    assert [node.name for node in one.nodes] == [node.name for node in other.nodes]
    assert one.values.keys() == other.values.keys()
    conv = "features.4.project.conv.weight"
    a, b = one.values[conv].ravel(), other.values[conv].ravel()
    assert abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) < 0.5
    quantized = Graph("classifier/int8.onnx").dequantized_weight(
        "/features/features.4/project/conv/Conv"
    )
    assert np.abs(quantized.ravel() - a).max() < np.abs(a).max() / 100


def test_transformer_keeps_norm_and_gelu_in_pieces() -> None:
    kinds = {node.op_type for node in Graph("transformer/float.onnx").nodes}
    assert {"ReduceMean", "Pow", "Sqrt", "Div", "Erf", "Softmax"} <= kinds
    assert not {"LayerNormalization", "Gelu"} & kinds


def test_transformer_masks_its_padding_with_a_huge_constant() -> None:
    mask = Graph("transformer/float.onnx").values["mask"].ravel()
    assert set(mask.tolist()) == {0.0, float(np.float32(-1e12))}


@pytest.mark.parametrize("twin", ["int8_norms", "int8_mask", "int8_all"])
def test_faulty_transformers_lose_the_answer(twin: str) -> None:
    reference = logits("transformer/float.onnx")
    assert reading.sqnr_db(reference, logits("transformer/int8.onnx")) > 20
    assert reading.sqnr_db(reference, logits(f"transformer/{twin}.onnx")) < 10
