"""Real models: every layer's numbers against a direct ONNX Runtime run and plain numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import qdebug
from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from qdebug.preprocess import PreprocessSpec, prepare_file
from qdebug.run.model import Run
from qdebug.run.store import tensor_file
from tests.support.running import direct_cosine, direct_sqnr, run_tensors

Array = npt.NDArray[Any]

IMAGENET = "mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
CASES = {
    "mobilenetv2/quant_qdq_minmax_pc": (
        f"resize 256 | center-crop 224 | rgb | {IMAGENET} | nchw",
        "objects/ILSVRC2012_val_00000665.jpg",
    ),
    "ultraface_rfb320/quant_qop_minmax_pt": (
        "resize 320x240 | rgb | mean 127,127,127 std 128,128,128 | nchw",
        "street/zidane.jpg",
    ),
    "yolox_nano/quant_qdq_a16w8_pc": (
        "letterbox 416 top-left pad 114 | bgr | nchw",
        "street/bus.jpg",
    ),
    "yolox_nano/quant_fp16": ("letterbox 416 top-left pad 114 | bgr | nchw", "street/bus.jpg"),
}


def compared(zoo: Path, case: str, **options: Any) -> tuple[Run, dict[str, Array], Path, Path]:
    spec, picture = CASES[case]
    float_file = zoo / Path(case).parent / "float.onnx"
    quant_file = zoo / f"{case}.onnx"
    run = qdebug.compare(
        float_file, quant_file, zoo / "photos" / picture, preprocess=spec, local=False, **options
    )
    tensor = prepare_file(zoo / "photos" / picture, PreprocessSpec.parse(spec)).tensor
    return run, {load_graph(float_file).inputs[0]: tensor}, float_file, quant_file


def direct_values(
    float_file: Path, quant_file: Path, feeds: dict[str, Array]
) -> dict[str, tuple[Array, Array]]:
    """Float and quant value of every pair by float tensor, computed without qdebug's engine."""
    float_graph, quant_graph = load_graph(float_file), load_graph(quant_file)
    pairs = [p for p in pair_graphs(float_graph, quant_graph, None).pairs]
    made = [p for p in pairs if p.float_tensor in float_graph.producer]
    f = run_tensors(float_file, feeds, [p.float_tensor for p in made])
    reads = [p.read for p in made if p.read in quant_graph.producer]
    q = run_tensors(quant_file, feeds, reads)
    found = {}
    for pair in made:
        value = q[pair.read]
        quantizer = pair.read_form.quantizer
        if quantizer is not None:
            value = (value.astype(np.int64) - quantizer.zero_point) * quantizer.scale
        if pair.read_form.perm is not None:
            value = value.transpose(pair.read_form.perm)
        found[pair.float_tensor] = f[pair.float_tensor], value.astype(np.float32)
    return found


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> str:
    """A pair of the zoo; all tests of one pair come one after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def whole(zoo: Path, case: str) -> tuple[Run, dict[str, Array], Path, Path]:
    return compared(zoo, case)


def test_every_layer_agrees_with_a_direct_run(
    whole: tuple[Run, dict[str, Array], Path, Path], case: str
) -> None:
    run, feeds, float_file, quant_file = whole
    expected = direct_values(float_file, quant_file, feeds)
    checked = 0
    for layer in run.layers:
        if layer.float_tensor not in expected or layer.accumulated is None:
            continue
        f, q = expected[layer.float_tensor]
        assert layer.accumulated.cosine == pytest.approx(direct_cosine(f, q), abs=1e-5)
        # On CPUs the error of float16 is where ONNX Runtime casts back to float32, which depends
        # on the tensors that are read.
        if "fp16" not in case:
            assert layer.accumulated.sqnr_db == pytest.approx(direct_sqnr(f, q), abs=0.01)
        checked += 1
    assert checked >= 0.95 * len(expected) > 50


def test_every_float_tensor_is_paired_or_has_a_reason(
    whole: tuple[Run, dict[str, Array], Path, Path],
) -> None:
    run, _, float_file, _ = whole
    graph = load_graph(float_file)
    real = {
        name
        for node in graph.nodes
        for name in node.outputs
        if name and node.op != "Constant" and graph.type_of(name).dtype.startswith("float")
    }
    paired = {layer.float_tensor for layer in run.layers}
    reasons = {item.tensor: item.reason for item in run.unpaired.float}
    assert real <= paired | reasons.keys()
    without = [name for name in real - paired if not reasons[name]]
    assert without == []
    missing = [r for n, r in reasons.items() if n in real and "folded" not in r]
    assert len(missing) <= 0.05 * len(real), missing


def test_kept_tensors_are_the_direct_runs(zoo: Path, tmp_path: Path) -> None:
    case = "mobilenetv2/quant_qdq_minmax_pc"
    output = tmp_path / "kept.qdrun"
    run, feeds, float_file, quant_file = compared(zoo, case, keep_tensors="all", output=output)
    expected = direct_values(float_file, quant_file, feeds)
    kept = [layer for layer in run.layers if layer.kept]
    assert len(kept) == len(run.layers)
    for layer in kept:
        if layer.float_tensor not in expected:
            continue
        for side, value in zip(("float", "quant"), expected[layer.float_tensor], strict=True):
            stored = np.load(output / tensor_file(side, layer.index), mmap_mode="r")  # type: ignore[arg-type]
            assert isinstance(stored, np.memmap)
            np.testing.assert_allclose(stored, value, rtol=1e-5, atol=1e-5)
