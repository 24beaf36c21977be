"""Nothing that was to be taken out can be found in any report of the run."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import math
import re
import zipfile
from pathlib import Path

import pytest

from qdebug.errors import RunError, UsageError
from qdebug.plugins import load_plugin
from qdebug.run.model import CutInfo, Evidence, Run, Unpaired, UnpairedSides
from qdebug.run.redact import ANONYMOUS, KINDS, parse_kinds, redact
from qdebug.run.store import load_run, run_to_json
from qdebug.vendors.advice import FloatLayer, keep_in_float
from tests.support import synthetic_run

TEXT_FORMS = ("json", "csv", "markdown", "junit", "sarif", "model_explorer", "notebook", "svg")


def secret_run() -> Run:
    """A run whose names all contain the word "secret", in findings' texts too."""
    run = synthetic_run(60, samples=3, input_failed=True)
    layers = tuple(
        dataclasses.replace(
            layer,
            name=f"/secret.{layer.index // 3}/part{layer.index % 3}/{layer.op}",
            float_tensor=f"/secret.{layer.index}/out",
            quant_tensor=f"/secret.{layer.index}/out q [odd]",
            worst_sample="secret photo.png",
            weight=layer.weight
            and dataclasses.replace(layer.weight, tensor="secret.w", quant_tensor="secret.w_q"),
            sensitivity=layer.sensitivity
            and dataclasses.replace(
                layer.sensitivity, output="secret_out", per_output={"secret_out": 3.0}
            ),
        )
        for layer in run.layers
    )
    told = f"look at {layers[7].name}. Then {layers[8].quant_tensor}: `{layers[9].float_tensor}`"
    samples = tuple(
        dataclasses.replace(
            sample,
            name=f"secret photo{i or ''}.png",
            inputs=tuple(dataclasses.replace(x, name="secret_in") for x in sample.inputs),
        )
        for i, sample in enumerate(run.samples)
    )
    outputs = tuple(
        dataclasses.replace(x, name="secret_out", worst_sample="secret photo1.png")
        for x in run.outputs[:1]
    )
    models = dataclasses.replace(
        run.models,
        float=dataclasses.replace(run.models.float, file="secret.onnx"),
        quant=dataclasses.replace(run.models.quant, file="secret_int8.onnx"),
    )
    settings = keep_in_float([FloatLayer(x.name, x.op, x.float_tensor) for x in layers[5:9]])
    first = dataclasses.replace(
        run.findings[0],
        title=told,
        seen=told,
        advice=told,
        evidence=(*run.findings[0].evidence, *settings),
    )
    return dataclasses.replace(
        run,
        layers=layers,
        samples=samples,
        outputs=outputs,
        models=models,
        findings=(first, *run.findings[1:]),
        verdict=dataclasses.replace(run.verdict, reason=told),
        unpaired=UnpairedSides((Unpaired("secret_left", f"near {layers[7].name}"),), ()),
        command=("qdebug", "compare", "secret.onnx", "--html=secret.html", "-p", "secret/", "-v"),
        task=None,
    )


@pytest.fixture(scope="module")
def run() -> Run:
    return secret_run()


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("form", TEXT_FORMS)
def test_no_name_is_left_in_a_text_report(run: Run, form: str, structured: bool) -> None:
    assert "secret" in run_to_json(run)
    made = load_plugin("reporters", form).render(redact(run, KINDS, structured=structured))
    text = made if isinstance(made, str) else made.decode()
    assert "secret" not in text.lower()


@pytest.mark.parametrize("structured", [False, True])
def test_no_name_is_left_in_the_page_or_the_run_inside_it(run: Run, structured: bool) -> None:
    page = load_plugin("reporters", "html").render(redact(run, KINDS, structured=structured))
    packed = re.search(r'id="qdebug-run"[^>]*>([^<]*)<', page)
    assert packed is not None
    inside = gzip.decompress(base64.b64decode(packed[1])).decode()
    assert "secret" not in page.lower()
    assert "secret" not in inside.lower()


def test_no_name_is_left_in_the_zip(run: Run) -> None:
    data = load_plugin("reporters", "zip").render(redact(run, KINDS))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["run.json", "hist.npz"]
        assert b"secret" not in archive.read("run.json").lower()


class TestNames:
    def test_aliases_say_which_layer(self, run: Run) -> None:
        layer = redact(run, ["names"]).layers[7]
        assert layer.name == "layer-7"
        assert (layer.float_tensor, layer.quant_tensor) == ("layer-7.float", "layer-7.quant")
        assert layer.op == run.layers[7].op

    def test_texts_use_the_same_aliases(self, run: Run) -> None:
        made = redact(run, ["names"])
        assert made.findings[0].seen == "look at layer-7. Then layer-8.quant: `layer-9.float`"
        assert made.verdict.reason == made.findings[0].seen
        assert made.unpaired.float[0].reason == "near layer-7"
        assert made.outputs[0].name == "output-0"

    def test_structure_stays_where_it_is_asked_for(self, run: Run) -> None:
        made = redact(run, ["names"], structured=True)
        parts = [layer.name.split("/") for layer in made.layers[6:9]]
        assert parts[0][1] == parts[1][1] == parts[2][1]
        assert len({part[2] for part in parts}) == 3
        assert len({layer.float_tensor for layer in made.layers}) == 60
        assert made.layers[7].name in made.findings[0].seen

    def test_file_names_are_another_kind(self, run: Run) -> None:
        made = redact(run, ["names"])
        assert made.models.float.file == "secret.onnx"
        assert made.samples[0].name == "secret photo.png"

    def test_numbers_in_sentences_are_not_taken_for_names(self) -> None:
        run = synthetic_run(5, samples=2)
        layer = dataclasses.replace(run.layers[2], name="8", float_tensor="12", quant_tensor="x")
        finding = dataclasses.replace(run.findings[0], seen="8 of 12 boxes; max of x is 3")
        odd = dataclasses.replace(
            run, layers=(*run.layers[:2], layer, *run.layers[3:]), findings=(finding,)
        )
        made = redact(odd, ["names"])
        assert made.layers[2].name == "layer-2"
        assert made.findings[0].seen == "8 of 12 boxes; max of layer-2.quant is 3"

    def test_words_of_the_model_are_no_names(self) -> None:
        run = synthetic_run(5, samples=2)
        layer = dataclasses.replace(run.layers[2], name=run.layers[2].op, float_tensor="ok")
        odd = dataclasses.replace(run, layers=(*run.layers[:2], layer, *run.layers[3:]))
        made = redact(odd, ["names"])
        assert made.layers[2].op == layer.op
        assert made.layers[2].state == "ok"
        assert made.layers[2].name == "layer-2"


class TestPaths:
    def test_files_and_the_command(self, run: Run) -> None:
        made = redact(run, ["paths"])
        assert (made.models.float.file, made.models.quant.file) == ("float.onnx", "quant.onnx")
        assert [sample.name for sample in made.samples] == [
            "sample-000",
            "sample-001",
            "sample-002",
        ]
        assert made.layers[0].worst_sample == "sample-000"
        assert made.outputs[0].worst_sample == "sample-001"
        assert made.command == (
            "qdebug", "compare", "(removed)", "--html=(removed)", "-p", "(removed)", "-v",
        )  # fmt: skip
        assert made.layers[7].name == run.layers[7].name

    def test_the_specification_of_the_input_is_no_path(self) -> None:
        run = synthetic_run(3, samples=1)
        spec = run.preprocess.float.spec
        made = redact(
            dataclasses.replace(run, command=("qdebug", "compare", "-p", spec)), ["paths"]
        )
        assert made.command == ("qdebug", "compare", "-p", spec)


class TestImages:
    def test_pictures_are_gone_and_said_to_be(self, run: Run) -> None:
        made = redact(run, ["images"])
        assert all(sample.thumb is sample.source is None for sample in made.samples)
        assert not [name for name in made.files.names() if name.startswith("thumbs/")]
        with pytest.raises(RunError, match="was removed"):
            made.files.read("thumbs/0000.png")
        assert made.findings[0].evidence[0].data == {"text": "removed from this report"}
        page = load_plugin("reporters", "html").render(made)
        assert "data:image" not in page
        assert made.arrays.to_bytes() == run.arrays.to_bytes()


class TestValues:
    def test_tensors_histograms_and_ranges_are_gone(self, run: Run) -> None:
        kept = next(layer for layer in run.layers if layer.kept)
        made = redact(run, ["values"])
        assert not any(layer.kept or layer.range_float for layer in made.layers)
        assert made.arrays.histogram(kept.index) is None
        with pytest.raises(RunError, match="was removed"):
            made.files.array(f"tensors/float/{kept.index:04}.npy")
        assert math.isnan(made.samples[0].inputs[0].mean)
        assert made.layers[7].accumulated == run.layers[7].accumulated
        assert made.arrays.channels(5)[0].tolist() == run.arrays.channels(5)[0].tolist()
        assert all(math.isnan(value) for value in made.arrays.channels(5)[1])
        assert all(item.kind != "histogram" for f in made.findings for item in f.evidence)

    def test_measured_columns_of_a_table_are_empty(self, run: Run) -> None:
        data = {"columns": ["part", "min", "max", "codes"], "rows": [["a", -1.5, 2.5, 7]]}
        table = Evidence("table", "Parts", data)
        finding = dataclasses.replace(run.findings[0], evidence=(table,))
        made = redact(dataclasses.replace(run, findings=(finding,)), ["values"])
        assert made.findings[0].evidence[0].data["rows"] == [["a", None, None, 7]]


def test_nothing_asked_for_changes_nothing(run: Run) -> None:
    made = redact(run, [])
    assert run_to_json(made) == run_to_json(run)  # NaN is not equal to itself
    assert made.files.names() == [name for name in run.files.names() if name != "run.json"]


def test_the_run_says_that_it_was_redacted(run: Run) -> None:
    assert redact(run, ["values", "names"]).notes[-1] == "redacted: names, values"


def test_a_redacted_run_can_be_stored_and_redacted_again(run: Run, tmp_path: Path) -> None:
    made = redact(run, ANONYMOUS, structured=True)
    path = load_plugin("reporters", "zip").write(made, tmp_path / "r.zip")
    loaded = load_run(path)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in made.layers]
    again = redact(loaded, ANONYMOUS, structured=True)
    assert len({layer.name for layer in again.layers}) == len({x.name for x in made.layers})


def test_names_of_what_was_cut_off_go_too(run: Run) -> None:
    cut = CutInfo(("secret_scores",), ("DetectionOutput",), 3, 0, ("secret_info",))
    model = dataclasses.replace(run.models.float, cut=cut)
    given = dataclasses.replace(run, models=dataclasses.replace(run.models, float=model))
    assert "secret_scores" in run_to_json(given)
    text = run_to_json(redact(given, parse_kinds("names")))
    assert "secret_scores" not in text
    assert "secret_info" not in text


def test_hostile_names_go_too() -> None:
    run = synthetic_run(60, samples=26, hostile_names=True)
    made = run_to_json(redact(run, KINDS))
    for name in (run.layers[-1].name, run.samples[3].name, run.models.float.file):
        assert name not in made


def test_kinds_from_the_command_line() -> None:
    assert parse_kinds("images, names") == ("names", "images")
    assert parse_kinds("") == ()
    with pytest.raises(UsageError, match="cannot redact 'faces'") as caught:
        parse_kinds("names,faces")
    assert caught.value.hint == "choose from names, paths, images, values"
