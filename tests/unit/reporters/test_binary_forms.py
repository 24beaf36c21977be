"""Zip, pictures and the annotated model."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from qdebug.errors import ModelError, UsageError
from qdebug.reporters.annotated_onnx import onnx_model
from qdebug.reporters.archive import zip as zip_reporter
from qdebug.reporters.plots import draw, png, svg
from qdebug.run.clean import cleaned
from qdebug.run.model import Run
from qdebug.run.store import load_run, run_to_json
from tests.support import synthetic_run


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(60, samples=4)


class TestZip:
    def test_loads_as_the_run_with_all_its_files(self, run: Run, tmp_path: Path) -> None:
        path = zip_reporter.write(run, tmp_path / "net.zip")
        loaded = load_run(path)
        assert run_to_json(loaded) == run_to_json(run)
        for name in run.files.names():
            assert loaded.files.read(name) == run.files.read(name)
        kept = next(layer for layer in loaded.layers if layer.kept)
        assert loaded.files.array(f"tensors/quant/{kept.index:04}.npy").shape == kept.shape

    def test_same_bytes_every_time(self, run: Run) -> None:
        assert zip_reporter.render(run) == zip_reporter.render(synthetic_run(60, samples=4))

    def test_only_text_is_compressed(self, run: Run) -> None:
        with zipfile.ZipFile(io.BytesIO(zip_reporter.render(run))) as archive:
            assert archive.testzip() is None
            packed = {item.filename for item in archive.infolist() if item.compress_type}
        assert packed == {"run.json"}


class TestPlots:
    def test_png_is_a_picture(self, run: Run) -> None:
        with Image.open(io.BytesIO(png.render(run))) as image:
            assert image.format == "PNG"
            assert image.width > 1000
            assert np.asarray(image.convert("RGB")).std() > 10

    def test_svg_is_xml_without_a_date(self, run: Run) -> None:
        text = svg.render(run)
        root = ET.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert b"dc:date" not in text

    def test_same_bytes_every_time(self, run: Run) -> None:
        again = synthetic_run(60, samples=4)
        assert svg.render(run) == svg.render(again)
        assert png.render(run) == png.render(again)

    def test_the_lines_are_the_layers_numbers(self, run: Run) -> None:
        axes = draw(run).axes[0]
        lines = {str(line.get_label()): line for line in axes.get_lines()}
        last = run.layers[-1]
        assert last.local is not None
        assert np.asarray(lines["local"].get_ydata())[-1] == last.local.sqnr_db
        assert {"accumulated", "local", "sensitivity", "limit 20.0 dB", "source"} == set(lines)

    def test_hostile_names_and_a_single_layer(self) -> None:
        worst = synthetic_run(30, samples=2, hostile_names=True)
        assert svg.render(worst)
        assert svg.render(synthetic_run(1, samples=1, local=False, sensitivity=False))


def float_model(run: Run) -> onnx.ModelProto:
    """A chain of Relu nodes that makes the run's float tensors."""
    names = ["images", *(layer.float_tensor for layer in run.layers)]
    nodes = [
        helper.make_node("Relu", [names[i]], [names[i + 1]], name=layer.name)
        for i, layer in enumerate(run.layers)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
        for name in (names[0], names[-1])
    ]
    graph = helper.make_graph([*nodes, helper.make_node("Relu", ["images"], ["unpaired"])], "g",
                              ends[:1], ends[1:])  # fmt: skip
    return helper.make_model(graph)


class TestAnnotatedModel:
    @pytest.fixture
    def pair(self, tmp_path: Path) -> tuple[Run, Path]:
        run = synthetic_run(5, samples=1)
        path = tmp_path / "float.onnx"
        onnx.save(float_model(run), path)
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        info = dataclasses.replace(run.models.float, sha256=sha)
        return dataclasses.replace(run, models=dataclasses.replace(run.models, float=info)), path

    def test_nodes_carry_the_metrics(self, pair: tuple[Run, Path], tmp_path: Path) -> None:
        run, path = pair
        onnx_model.write_with_model(run, tmp_path / "out.onnx", path)
        made = onnx.load(tmp_path / "out.onnx")
        onnx.checker.check_model(made)
        told = [{prop.key: prop.value for prop in node.metadata_props} for node in made.graph.node]
        assert [item.get("qdebug.layer") for item in told] == ["0", "1", "2", "3", "4", None]
        assert told[4]["qdebug.role"] == "source"
        assert told[4]["qdebug.local_sqnr_db"] == "7.9"
        assert {p.key: p.value for p in made.metadata_props}["qdebug.verdict"] == "fail"
        del made.metadata_props[:]
        for node in made.graph.node:
            del node.metadata_props[:]
        assert made == onnx.load(path)

    def test_names_that_are_shown_otherwise_are_found(
        self, pair: tuple[Run, Path], tmp_path: Path
    ) -> None:
        run, path = pair
        hostile = [
            dataclasses.replace(layer, float_tensor=f"{layer.float_tensor}\x1b[2J\u202e")
            for layer in run.layers
        ]
        run = dataclasses.replace(run, layers=tuple(hostile))
        model = float_model(run)
        onnx.save(model, path)
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        info = dataclasses.replace(run.models.float, sha256=sha)
        run = dataclasses.replace(run, models=dataclasses.replace(run.models, float=info))
        for told in (run, cleaned(run)):
            onnx_model.write_with_model(told, tmp_path / "out.onnx", path, force=True)
            nodes = onnx.load(tmp_path / "out.onnx").graph.node
            assert sum(bool(node.metadata_props) for node in nodes) == 5

    def test_another_model_is_refused(self, pair: tuple[Run, Path], tmp_path: Path) -> None:
        run, path = pair
        other = tmp_path / "other.onnx"
        model = onnx.load(path)
        model.producer_name = "someone else"
        onnx.save(model, other)
        with pytest.raises(ModelError, match="is not the float model of this run"):
            onnx_model.write_with_model(run, tmp_path / "out.onnx", other)

    @pytest.mark.parametrize("data", [None, b"not a model \xff\xff"])
    def test_an_unreadable_model(
        self, pair: tuple[Run, Path], tmp_path: Path, data: bytes | None
    ) -> None:
        broken = tmp_path / "broken.onnx"
        if data is not None:
            broken.write_bytes(data)
        with pytest.raises(ModelError, match=r"broken\.onnx"):
            onnx_model.write_with_model(pair[0], tmp_path / "out.onnx", broken)

    def test_a_run_alone_is_not_enough(self, run: Run, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="needs the float model") as caught:
            onnx_model.write(run, tmp_path / "x.onnx")
        assert "--model yolo.onnx" in (caught.value.hint or "")
