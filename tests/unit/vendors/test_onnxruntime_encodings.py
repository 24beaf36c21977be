"""ONNX Runtime: what its own writers wrote is read, and its quantizer takes what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization.calibrate import (
    CalibrationCacheEncoder,
    CalibrationMethod,
    TensorData,
    TensorsData,
)

from qdebug.comparison.export import of_graph
from qdebug.encodings import Encoding
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError, UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.advice import BetterRange, FloatLayer
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.onnxruntime.encodings import (
    is_calibration_cache,
    is_calibration_json,
    is_overrides,
    read_calibration_cache,
    read_calibration_json,
    read_overrides,
)
from qdebug.vendors.onnxruntime.writing import write_script
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_model import QuantRequest
from tests.support.graphs import SIDE, write_pair

RANGES = {"images": (0.0, 1.0), "t2": (0.0, 4.0), "t4": (0.0, 3.0), "scores": (-2.0, 3.0)}


def source(content: str) -> Source:
    return Source(Path("calibration"), content.encode())


def tensors_data() -> TensorsData:
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in RANGES.items()
    }
    return TensorsData(CalibrationMethod.MinMax, data)


@pytest.fixture
def graphs(tmp_path: Path) -> tuple[Graph, Graph]:
    float_file, quant_file = write_pair(tmp_path)
    return load_graph(float_file), load_graph(quant_file)


def test_both_forms_of_the_calibration_json_are_read(graphs: tuple[Graph, Graph]) -> None:
    table = tensors_data()
    forms = (table.to_dict(), {name: data.to_dict() for name, data in table.items()})
    for content in forms:
        text = source(json.dumps(content, cls=CalibrationCacheEncoder))
        assert is_calibration_json(text)
        found = {e.name: e.encoding for e in read_calibration_json(text, Beside(graphs[0])).entries}
        assert found["t2"] == Encoding.linear("uint8", np.float32(4 / 255), 0)
        assert found["scores"] == Encoding.linear("uint8", np.float32(5 / 255), 102)


def test_the_table_makes_a_twin_as_quantize_static_does(
    graphs: tuple[Graph, Graph], tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(tensors_data().to_dict(), cls=CalibrationCacheEncoder))
    made = load_quant(QuantRequest(path), graphs[0])
    assert made.info is not None
    assert (made.info.form, made.info.placed) == ("ONNX Runtime calibration table (JSON)", 4)
    assert {"w1_quantized", "b1_quantized"} <= made.graph.initializers.keys()
    assert made.graph.type_of("w1_scale").shape == ()


def test_the_cache_has_magnitudes(graphs: tuple[Graph, Graph]) -> None:
    text = source("images 1.0\nt2 4.0\n")
    assert is_calibration_cache(text)
    assert not is_calibration_cache(source("conv_param_0 1.0\nconv 4.0\n"))
    first, second = read_calibration_cache(text, Beside(graphs[0])).entries
    assert second.encoding == Encoding.linear("int8", 4 / 127)
    assert (first.line, second.line) == (1, 2)
    with pytest.raises(EncodingsError, match=r"line 2: the value of 't2' is -0\.5") as caught:
        read_calibration_cache(source("images 1.0\nt2 -0.5\n"), Beside(graphs[0]))
    assert "calibration.json" in str(caught.value.hint)


def test_overrides_are_read(graphs: tuple[Graph, Graph]) -> None:
    content = {
        "t2": [{"scale": 0.02, "zero_point": 128}],
        "w1": [{"scale": 0.1 * i, "zero_point": 0, "axis": 0} for i in range(1, 4)],
        "t4": [{"scale": 1e-4, "zero_point": 5, "quant_type": "QuantType.QUInt16"}],
    }
    text = source(json.dumps(content))
    assert is_overrides(text)
    found = {e.name: e.encoding for e in read_overrides(text, Beside(graphs[0])).entries}
    assert found["t2"] == Encoding.linear("uint8", 0.02, 128)
    assert found["w1"] == Encoding.linear("uint8", [0.1, 0.2, np.float32(0.1 * 3)], 0, 0)
    assert found["t4"].dtype == "uint16"
    with pytest.raises(EncodingsError, match="the zero point of 't2' is 300; uint8"):
        bad = {"t2": [{"scale": 0.02, "zero_point": 300}]}
        read_overrides(source(json.dumps(bad)), Beside(graphs[0]))


def run_script(text: bytes, folder: Path) -> onnx.ModelProto:
    (folder / "quantize.py").write_bytes(text)
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    np.savez(folder / "one.npz", images=images)
    command = [sys.executable, "quantize.py", "float.onnx", "made.onnx", "one.npz"]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    return onnx.load(str(folder / "made.onnx"))


@pytest.mark.slow
def test_the_script_gives_the_same_quantization_again(
    graphs: tuple[Graph, Graph], tmp_path: Path
) -> None:
    change = of_graph(graphs[1])
    made = run_script(write_script(change).content, tmp_path)
    again = of_graph(load_graph(tmp_path / "made.onnx")).encodings.of_kind("tensor")
    wanted = change.encodings.of_kind("tensor")
    assert wanted.keys() <= again.keys()
    assert {name: again[name].encoding for name in wanted} == {
        name: entry.encoding for name, entry in wanted.items()
    }
    assert made.graph.node


@pytest.mark.slow
def test_the_script_keeps_layers_in_float_and_widens_ranges(
    graphs: tuple[Graph, Graph], tmp_path: Path
) -> None:
    layer = FloatLayer("relu1", "Relu", "t2")
    base = of_graph(graphs[1])
    keep = (FloatLayer("fc", "Gemm", "scores"),)
    ranges = (BetterRange(layer, 0.0, 5.1, clips=True),)
    change = Change(base.encodings, base.layers, keep, ranges)
    made = run_script(write_script(change).content, tmp_path)
    scales = {t.name: t for t in made.graph.initializer}
    scale = onnx.numpy_helper.to_array(scales["t2_scale"])
    assert float(scale) == pytest.approx(5.1 / 255)
    assert "w3" in scales
    assert "w1" not in scales


def test_hostile_names_stay_names(graphs: tuple[Graph, Graph]) -> None:
    name = 'a"; import os #\u202e\n'
    layer = FloatLayer(name, "Conv", name)
    base = of_graph(graphs[1])
    text = write_script(Change(base.encodings, base.layers, (layer,))).content.decode()
    compiled: dict[str, object] = {"__name__": "script"}
    exec(compile(text, "script", "exec"), compiled)
    assert compiled["NODES_TO_EXCLUDE"] == [name]
    assert "\u202e" not in text


def test_nothing_to_say_is_refused(graphs: tuple[Graph, Graph]) -> None:
    base = of_graph(graphs[0])
    with pytest.raises(UsageError, match="nothing"):
        write_script(Change(base.encodings, base.layers))
