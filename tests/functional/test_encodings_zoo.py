"""Files that vendors' own programs wrote: what is placed, and whether the numbers are theirs."""

from __future__ import annotations

import lzma
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from qdebug.encodings import Encoding, apply_encodings
from qdebug.encodings.aimet import read_aimet, write_aimet
from qdebug.encodings.matching import encodings_in_float_names
from qdebug.encodings.source import Source
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.encodings import Beside
from qdebug.vendors.horizon import replay as horizon
from qdebug.vendors.horizon.calibrated import expand
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_model import QuantRequest, read_graph
from qdebug.vendors.tpu_mlir.encodings import RULES, read_cali_table
from qdebug.vendors.tpu_mlir.lowered import read_lowered
from qdebug.vendors.tpu_mlir.replay import Step, replay, steps
from tests.support.pairs_of_models import float_graph
from tests.support.running import direct_sqnr, run_tensors

Array = npt.NDArray[Any]
Codes = npt.NDArray[np.int64]

GRAPHS = {
    "mobilenetv2/quant_qdq_minmax_pc": (1, 3, 224, 224),
    "ppocrv4_det/quant_qdq_minmax_pt": (1, 3, 640, 640),
    "ppocrv4_rec/quant_qdq_minmax_pc": (1, 3, 48, 320),
    "ultraface_rfb320/quant_qdq_minmax_pc": (1, 3, 240, 320),
    "winml_tiny_resnet/thirdparty_olive_w8a8_qdq_nhwc": (1, 3, 224, 224),
    "yolov5n/quant_qdq_minmax_pc_headfloat": (1, 3, 640, 640),
    "yolov5n/quant_qdq_minmax_pt": (1, 3, 640, 640),
    "yolov8n_doclaynet/quant_qdq_minmax_pc_headfloat": (1, 3, 1024, 1024),
    "yolox_nano/quant_qdq_a16w8_pc": (1, 3, 416, 416),
    "yolox_nano/quant_qdq_minmax_pc_headfloat": (1, 3, 416, 416),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_a_graph_s_encodings_make_it_again_bit_for_bit(case: str, zoo: Path) -> None:
    model, _, name = case.partition("/")
    floats = float_graph(zoo / model)
    quant_graph = load_graph(zoo / model / f"{name}.onnx")
    encodings = encodings_in_float_names(quant_graph, floats)
    content = Source(Path("q.encodings"), write_aimet(encodings))
    again = read_aimet(content)
    assert again.entries == encodings.entries
    made = apply_encodings(floats.proto, again, folder=floats.folder)
    high = 255 if model == "yolox_nano" else 1
    x = np.random.default_rng(0).uniform(0, high, GRAPHS[case]).astype(np.float32)
    twins = ((made.model, x), (quant_graph.proto, x.transpose(0, 2, 3, 1) if "nhwc" in name else x))
    results = [
        run_tensors(proto, {graph.inputs[0]: fed}, graph.outputs).values()
        for (proto, fed), graph in zip(twins, (floats, quant_graph), strict=True)
    ]
    for ours, theirs in zip(*results, strict=True):
        assert (ours == theirs).all()


TABLES = {
    "tpu_mlir/mobilenetv2/mobilenetv2_kl_cali_table": (64, 64),
    "tpu_mlir/mobilenetv2/mobilenetv2_max_cali_table": (64, 64),
    "tpu_mlir/mobilenetv2/mobilenetv2_mse_cali_table": (64, 64),
    "tpu_mlir/mobilenetv2/mobilenetv2_percentile9999_cali_table": (64, 64),
    "tpu_mlir/mobilenetv2/mobilenetv2_search_cali_table": (64, 64),
    "tpu_mlir/mobilenetv2/mobilenetv2_int8_tpu.mlir": (64, 64),
    "tpu_mlir/ppocrv4_det/ppocrv4_det_kl_cali_table": (210, 210),
    "tpu_mlir/ppocrv4_det/ppocrv4_det_max_cali_table": (210, 210),
    "tpu_mlir/ppocrv4_det/ppocrv4_det_int8_tpu.mlir": (207, 207),
    "tpu_mlir/yolov5n/yolov5n_max_cali_table": (186, 186),
    "tpu_mlir/yolov5n/yolov5n_percentile9999_cali_table": (186, 186),
    "aimet/mobilenetv2/mobilenetv2_aimet.encodings": (137, 137),
    "hmct/mobilenetv2/mobilenetv2_quant_info.json": (54, 54),
    "hmct/ppocrv4_det/ppocrv4_det_quant_info.json": (152, 146),
}


@pytest.mark.parametrize("file", TABLES)
def test_every_file_finds_its_places(file: str, zoo: Path) -> None:
    graph = float_graph(zoo / file.split("/")[1])
    made = load_quant(QuantRequest(zoo / "vendor" / file), graph)
    assert made.info is not None
    assert (made.info.entries, made.info.placed) == TABLES[file]
    onnx.checker.check_model(made.graph.proto)


def test_the_search_s_table_goes_with_its_quantization_table(zoo: Path) -> None:
    folder = zoo / "vendor" / "tpu_mlir" / "mobilenetv2"
    request = QuantRequest(
        folder / "mobilenetv2_search_cali_table", second=folder / "mobilenetv2_search_qtable"
    )
    made = load_quant(request, float_graph(zoo / "mobilenetv2"))
    assert made.info is not None
    assert (made.info.entries, made.info.placed) == (76, 76)


def tpu_mlir(zoo: Path, model: str) -> tuple[Graph, Source, Path]:
    folder = zoo / "vendor" / "tpu_mlir" / model
    graph = float_graph(zoo / model)
    return graph, Source.read(folder / f"{model}_int8_tpu.mlir"), folder


@pytest.mark.parametrize(("model", "differing"), [("mobilenetv2", 0), ("ppocrv4_det", 8)])
def test_the_table_is_what_was_lowered_but_for_a_few(model: str, differing: int, zoo: Path) -> None:
    graph, text, folder = tpu_mlir(zoo, model)
    table = read_cali_table(Source.read(folder / f"{model}_kl_cali_table"), Beside(graph))
    lowered = {e.name: e.encoding for e in read_lowered(text, Beside(graph)).entries}
    both = [(e.encoding, lowered[e.name]) for e in table.entries if e.name in lowered]
    wrong = [a for a, b in both if a.dtype != b.dtype or a.scale != pytest.approx(b.scale, 1e-5)]
    assert len(wrong) == differing


def test_the_lowered_text_beside_a_table_is_what_ran(zoo: Path) -> None:
    graph, text, folder = tpu_mlir(zoo, "ppocrv4_det")
    table = Source.read(folder / "ppocrv4_det_kl_cali_table")
    both = read_cali_table(table, Beside(graph, second=text))
    assert any(note.startswith("8 of 210 entries of the table are replaced") for note in both.notes)
    (output,) = [e for e in both.entries if e.name.endswith("_Sigmoid") and e.name[:4] == "sigm"]
    assert output.encoding == Encoding.linear("uint8", 1 / 255)


EXACT = {
    "mobilenetv2": {"Conv2D": 48, "Add": 10, "Pool2D": 1, "MatMul": 1},
    "ppocrv4_det": {"Conv2D": 21, "Add": 3, "Pool2D": 3, "Mul": 3},
}


@pytest.mark.parametrize("model", EXACT)
def test_tpu_mlir_s_codes_are_replayed_exactly(model: str, zoo: Path) -> None:
    """Each layer is fed the vendor's own codes."""
    graph, text, folder = tpu_mlir(zoo, model)
    encodings = read_lowered(text, Beside(graph))
    made = apply_encodings(graph.proto, encodings, RULES, graph.folder)
    twin = Graph(made.model, Path("twin"), "")
    tensors = np.load(folder / f"{model}_int8_tpu_outputs.npz")
    scales = {e.name: e.encoding.scale for e in encodings.entries}
    places = {p.entry.name: p.target for p in made.placements if p.target is not None}
    exact: Counter[str] = Counter()
    known = steps(text)
    cast = next((name for name in tensors.files if name.endswith("_si8")), "")

    def codes(name: str) -> Codes | None:
        # The text names the input's codes after the reader; the table has them as the input.
        stored, scale = (
            (cast, scales[graph.inputs[0]]) if name == cast else (name, scales.get(name))
        )
        if stored not in tensors.files or scale is None:
            return None
        whole: Codes = np.rint(tensors[stored].astype(np.float64) / scale).astype(np.int64)
        return whole

    for name, step in known.items():
        inputs = [found for operand in step.operands if (found := codes(operand)) is not None]
        wanted = codes(name)
        if wanted is None or not inputs:
            continue
        weight, bias = stored_codes(twin, places.get(name), step)
        result = replay(step, inputs, weight, bias)
        if result is not None:
            assert (result.ravel() == wanted.ravel()).all(), name
            exact[step.op] += 1
    assert dict(exact) == EXACT[model]


def stored_codes(twin: Graph, tensor: str | None, step: Step) -> tuple[Codes | None, Codes | None]:
    """Codes of the weight and the bias of the product that a tensor comes from."""
    if tensor is None or step.op not in ("Conv2D", "MatMul"):
        return None, None
    node = twin.producer[tensor]
    while node.op not in ("Conv", "Gemm", "MatMul"):
        node = twin.producer[node.inputs[0]]
    found: list[Codes | None] = []
    for name in (*node.inputs, "")[1:3]:
        value = twin.constant(name.replace("_DequantizeLinear_Output", "_quantized"))
        found.append(None if value is None else value.astype(np.int64))
    if step.op == "MatMul" and node.attributes.get("transB") and found[0] is not None:
        found[0] = found[0].T
    return found[0], found[1]


def unpacked(zoo: Path, tmp_path: Path) -> Path:
    """Horizon's calibrated MobileNetV2."""
    packed = zoo / "vendor/hmct/mobilenetv2/mobilenetv2_calibrated_model.onnx.xz"
    path = tmp_path / "calibrated.onnx"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return path


def test_the_calibrated_graph_is_horizon_s_to_the_last_bit(zoo: Path, tmp_path: Path) -> None:
    graph = load_graph(unpacked(zoo, tmp_path))
    folder = zoo / "vendor" / "hmct" / "mobilenetv2"
    truth = np.load(folder / "mobilenetv2_calibrated_model_tensors.npz")
    stored = np.load(zoo / "vendor/tpu_mlir/mobilenetv2/mobilenetv2_in_f32.npz")
    feeds = {"input": stored[stored.files[0]]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = run_tensors(expand(graph.proto, graph.folder), feeds, truth.files)
    assert len(truth.files) == 21
    assert all((made[name] == truth[name]).all() for name in truth.files)


def test_ascend_s_deploy_graph_runs(zoo: Path) -> None:
    """The right formulas leave 8 bits' error; a zero point counted twice would leave nothing."""
    made = read_graph(zoo / "mobilenetv2" / "thirdparty_ascend_ptq.onnx")
    stored = np.load(zoo / "vendor/tpu_mlir/mobilenetv2/mobilenetv2_in_f32.npz")
    feeds = {"input": stored[stored.files[0]]}
    theirs = run_tensors(made.graph.proto, feeds, ["output"])["output"]
    wanted = run_tensors(zoo / "mobilenetv2" / "float.onnx", feeds, ["output"])["output"]
    assert direct_sqnr(wanted, theirs) == pytest.approx(21.7, abs=0.3)


@pytest.mark.parametrize(("model", "layers"), [("mobilenetv2", 35), ("ppocrv4_det", 25)])
def test_horizon_s_codes_are_replayed_exactly(model: str, layers: int, zoo: Path) -> None:
    folder = zoo / "vendor" / "hmct" / model
    tensors = np.load(folder / f"{model}_quantized_model_tensors.npz")
    graph = load_graph(folder / f"{model}_quantized_model.onnx")
    exact = 0
    for node in graph.nodes:
        names = [name for name in node.inputs if name]
        values = {n: tensors[n] if n in tensors.files else graph.constant(n) for n in names}
        if node.outputs[0] not in tensors.files or any(v is None for v in values.values()):
            continue
        result = horizon.replay(node, {n: v for n, v in values.items() if v is not None})
        if result is not None:
            assert (result == tensors[node.outputs[0]]).all(), node.label
            exact += 1
    assert exact == layers
