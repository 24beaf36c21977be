"""Dumps that the vendors' own programs wrote, beside a model of another toolchain."""

from __future__ import annotations

import csv
import json
import math
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

import qdebug
from qdebug.board.merge import merged
from qdebug.comparison import board as board_module
from qdebug.metrics.moments import Moments
from qdebug.run.model import Finding, Run

SPEC = "rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"


def _compare(zoo: Path, dump: Path) -> Run:
    models = zoo / "mobilenetv2"
    photo = zoo / "vendor" / "tpu_mlir" / "mobilenetv2" / "test.png"
    return qdebug.compare(
        models / "float.onnx", models / "quant_qdq_minmax_pc.onnx", photo, preprocess=SPEC,
        board=dump, task="none",
    )  # fmt: skip


def _findings(run: Run) -> dict[str, Finding]:
    return {found.slug: found for found in run.findings if found.slug.startswith("board-")}


def _cosines(run: Run) -> dict[str, float]:
    """Board against float, by tensor of the float model."""
    return {
        layer.float_tensor: layer.board.against_float.cosine
        for layer in run.layers
        if layer.board is not None and layer.board.against_float is not None
    }


def _npz_tool_sqnr(against_float: Moments) -> float:
    """SQNR by the formula of TPU-MLIR's npz_tool (``TensorCompare.sqnr_similarity``), of our sums.

    Its signal is the first file's tensor, the int8 one ``q = f + e``; its noise ``q - f``. Both
    without their means.
    """
    sums = against_float.total()
    n, f, e, ff, fe, ee = (float(x[0]) for x in (sums.n, sums.f, sums.e, sums.ff, sums.fe, sums.ee))
    signal = ff + 2 * fe + ee - (f + e) ** 2 / n
    noise = ee - e**2 / n
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else math.inf


def _keep_moments(monkeypatch: pytest.MonkeyPatch) -> dict[int, Moments]:
    """The sums behind the numbers of a board against float, by layer, of the run that follows."""
    kept: dict[int, Moments] = {}

    def keeping(found: Any, *others: Any) -> Any:
        kept.update({at: against_float for at, (_, against_float) in found[0].moments.items()})
        return merged(found, *others)

    monkeypatch.setattr(board_module, "merged", keeping)
    return kept


def test_tpu_mlir(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _keep_moments(monkeypatch)
    folder = zoo / "vendor" / "tpu_mlir" / "mobilenetv2"
    run = _compare(zoo, folder / "mobilenetv2_int8_tpu_outputs.npz")
    assert run.board is not None
    assert (run.board.mapped, run.board.tensors) == (63, 65)
    with (folder / "mobilenetv2_compare.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    theirs = {row["name"].rpartition("_")[0]: float(row["sim_cos"]) for row in rows}
    ours = _cosines(run)
    both = set(ours) & set(theirs)
    assert len(both) > 50
    assert {name: ours[name] for name in both} == pytest.approx(
        {name: theirs[name] for name in both}, abs=2e-5
    )
    told = {row["name"].rpartition("_")[0]: float(row["sqnr"]) for row in rows}
    sqnr = {layer.float_tensor: _npz_tool_sqnr(kept[layer.index]) for layer in run.layers
            if layer.index in kept}  # fmt: skip
    known = [name for name in both if math.isfinite(told[name])]
    assert len(known) > 50
    assert {name: sqnr[name] for name in known} == pytest.approx(
        {name: told[name] for name in known}, abs=1e-3
    )
    finding = _findings(run)
    assert (
        finding["board-build"].title == "The board was built from other ranges than the simulation"
    )
    assert finding["board-layer"].status == "not_applicable"


def test_rknn(zoo: Path, tmp_path: Path) -> None:
    folder = zoo / "vendor" / "rknn" / "mobilenetv2"
    with tarfile.open(folder / "snapshot.tar.xz") as archive:
        for member in archive.getmembers():
            if member.isfile():
                place = tmp_path / member.name
                place.parent.mkdir(parents=True, exist_ok=True)
                stream = archive.extractfile(member)
                assert stream is not None
                place.write_bytes(stream.read())
    name = "map_name_to_file.txt"
    (tmp_path / "snapshot" / name).write_bytes((folder / name).read_bytes())
    run = _compare(zoo, tmp_path / "snapshot")
    assert run.board is not None
    assert (run.board.title, run.board.mapped) == ("RKNN snapshot, simulator", 25)
    assert run.board.tensors == 29
    assert _cosines(run)["317"] == pytest.approx(0.99996, abs=1e-5)
    assert not [found for found in _findings(run).values() if found.status == "fail"]


def test_horizon(zoo: Path) -> None:
    folder = zoo / "vendor" / "hmct" / "mobilenetv2"
    run = _compare(zoo, folder / "mobilenetv2_quantized_model_tensors.npz")
    assert run.board is not None
    assert run.board.mapped == 41
    layouts = {x.board.layout[:4] for x in run.layers if x.board is not None and x.board.scale}
    assert layouts == {"NHWC", "NCHW"}
    assert not [found for found in _findings(run).values() if found.status == "fail"]


def test_ncnn_blobs_are_told_by_their_values(zoo: Path) -> None:
    run = _compare(zoo, zoo / "vendor" / "ncnn" / "mobilenetv2" / "mobilenetv2_int8_blobs.npz")
    assert run.board is not None
    assert run.board.mapped >= 30
    assert not [found for found in _findings(run).values() if found.status == "fail"]


def test_ncnn_runs_its_int8_net_here(zoo: Path) -> None:
    """Beside the table that the net was quantized with: nothing but the table's own error."""
    pytest.importorskip("ncnn")
    folder = zoo / "vendor" / "ncnn" / "mobilenetv2"
    run = qdebug.compare(
        zoo / "mobilenetv2" / "float.onnx", folder / "mobilenetv2.kl.table", folder / "test.png",
        preprocess=SPEC, board=folder / "mobilenetv2.int8.param", task="none",
    )  # fmt: skip
    assert run.board is not None
    assert run.board.title == "ncnn, run here, int8 in 53 layers"
    assert run.board.mapped >= 60
    found = _findings(run)
    assert {slug for slug, f in found.items() if f.status in ("fail", "warn")} == set()
    assert found["board-drift"].title == "The board is as good as the simulation"


def _float16(zoo: Path, folder: Path) -> Path:
    """The float net of the zoo, its weights as pnnx stores them: float16, biases float32."""
    made = zoo / "vendor" / "ncnn" / "mobilenetv2"
    tensors = json.loads((made / "mobilenetv2_blob_to_onnx.json").read_text(encoding="utf-8"))
    graph = onnx.load(str(zoo / "mobilenetv2" / "float.onnx")).graph
    held = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}
    text = (made / "mobilenetv2.ncnn.param").read_text(encoding="utf-8")
    (folder / "net.param").write_text(text, encoding="utf-8")
    with (folder / "net.bin").open("wb") as stream:
        for words in map(str.split, text.splitlines()[2:]):
            if words[0] not in ("Convolution", "ConvolutionDepthWise", "InnerProduct"):
                continue
            node = producer[tensors[words[4 + int(words[2])]][-1]]
            weight, offset = _weights_of(node, producer, held)
            stream.write(struct.pack("<I", 0x01306B47))
            stored = np.ascontiguousarray(weight, np.float16).tobytes()
            stream.write(stored + bytes(-len(stored) % 4))
            stream.write(np.ascontiguousarray(offset, np.float32).tobytes())
    return folder / "net.param"


def _weights_of(
    node: onnx.NodeProto, producer: dict[str, onnx.NodeProto], held: dict[str, npt.NDArray[Any]]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Weight and bias of the product that a tensor is made by, perhaps with a Clip behind it."""
    if node.op_type == "Clip":
        node = producer[node.input[0]]
    if node.op_type == "Conv":
        return held[node.input[1]], held[node.input[2]]
    product = next(producer[name] for name in node.input if name in producer)
    bias = next(held[name] for name in node.input if name in held)
    return held[product.input[1]].T, bias


def test_pnnx_float16_weights(zoo: Path, tmp_path: Path) -> None:
    """Its float16 weights cost MobileNetV2 next to nothing, and the run says what they are."""
    pytest.importorskip("ncnn")
    run = qdebug.compare(
        zoo / "mobilenetv2" / "float.onnx", zoo / "mobilenetv2" / "float.onnx",
        zoo / "vendor" / "ncnn" / "mobilenetv2" / "test.png",
        preprocess=SPEC, board=_float16(zoo, tmp_path), task="none",
    )  # fmt: skip
    assert run.board is not None
    assert "float16" in " ".join(run.board.notes)
    assert run.board.mapped >= 60
    found = _findings(run)
    output = next(x for x in run.layers if x.float_tensor == "output")
    assert output.board is not None
    assert output.board.against_float is not None
    assert output.board.against_float.sqnr_db > 40
    assert {slug for slug, f in found.items() if f.status in ("fail", "warn")} == set()


@pytest.mark.parametrize(
    ("table", "dump"),
    [
        (
            "tpu_mlir/mobilenetv2/mobilenetv2_kl_cali_table",
            "tpu_mlir/mobilenetv2/mobilenetv2_int8_tpu_outputs.npz",
        ),
        (
            "hmct/mobilenetv2/mobilenetv2_quant_info.json",
            "hmct/mobilenetv2/mobilenetv2_calibrated_model_tensors.npz",
        ),
    ],
)
def test_a_sound_board_beside_its_own_table_is_not_accused(
    table: str, dump: str, zoo: Path
) -> None:
    vendor = zoo / "vendor"
    run = qdebug.compare(
        zoo / "mobilenetv2" / "float.onnx", vendor / table, (vendor / dump).with_name("test.png"),
        preprocess=SPEC, board=vendor / dump, task="none",
    )  # fmt: skip
    found = _findings(run)
    assert {slug for slug, f in found.items() if f.status in ("fail", "warn")} == set()
    assert found["board-drift"].title == "The board is as good as the simulation"
