"""``qdebug tune``: what it repairs, what it refuses, and what bad requests lead to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import qdebug
from qdebug.comparison.quantize import calibrated_twin
from qdebug.comparison.tuning import start
from qdebug.comparison.tuning.apply import apply_draft
from qdebug.cure.proof import Proof
from qdebug.errors import UsageError
from qdebug.graph.load import load_graph
from qdebug.preprocess import prepare_file
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.run.draft import Draft
from qdebug.run.model import Run
from qdebug.run.tuning import Tuning
from tests.functional.conftest import Cli
from tests.support.graphs import SPEC

SAMPLES = Path(__file__).parents[2] / "sample_models"
DETECTOR = ("-p", "letterbox 320 pad 114 | rgb | /255 | nchw", "--threads", "1")
SCENES = [str(SAMPLES / f"pictures/scenes/scene_{number}.jpg") for number in range(1, 6)]
CLASSIFIER = SAMPLES / "classifier"
OBJECTS = (str(SAMPLES / "pictures/objects"), "--threads", "1")


def tuning_of(record: Path) -> Tuning:
    found = qdebug.load_run(record).tuning
    assert found is not None
    return found


def tiny(cli: Cli, *extra: str) -> Any:
    return cli("tune", "float.onnx", "quant.onnx", "shots", "-p", SPEC, "-o", "t.onnx", *extra)


def test_a_detector_that_finds_nothing_is_repaired(cli: Cli, tmp_path: Path) -> None:
    """Pixels and scores under one scale: nothing but more bits for the tensor that mixes them."""
    output = tmp_path / "tuned.onnx"
    models = [str(SAMPLES / "detector" / name) for name in ("float.onnx", "int8_naive.onnx")]
    result = cli("tune", *models, *SCENES, "-o", str(output), *DETECTOR)
    assert result.code == 0, result.err
    assert "Tuned" in result.out
    found = tuning_of(tmp_path / "tuned.qdtune")
    assert (found.outcome, found.task) == ("tuned", "f1")
    assert found.given.task == 0
    assert found.tuned.task is not None
    assert found.tuned.task > 0.9
    bits = next(cure for cure in found.cures if cure.kind == "bits" and cure.accepted)
    assert any("Concat" in unit for unit in bits.units)
    assert bits.macs < 0.05
    run = qdebug.compare(models[0], output, SCENES, preprocess=DETECTOR[1], threads=1)
    assert run.task is not None
    assert run.task.numbers["f1"] > 0.9
    kinds = {p.dtype for p in (layer.quant for layer in run.layers) if p is not None}
    assert "int16" in kinds  # signed, as the given codes are


@pytest.fixture
def repaired(shots: Path, cli: Cli) -> Run:
    """A record whose plan has something to switch."""
    assert tiny(cli, "--keep", "relu2").code in (0, 1)
    return qdebug.load_run(shots / "t.qdtune")


def outputs_of(model: Path) -> list[np.ndarray[Any, Any]]:
    session = ort.InferenceSession(str(model))
    shape = tuple(d if isinstance(d, int) else 1 for d in session.get_inputs()[0].shape)
    x = np.random.default_rng(0).random(shape, np.float32)
    return list(session.run(None, {session.get_inputs()[0].name: x}))


def test_the_plan_of_a_record_writes_its_model_again(repaired: Run, shots: Path) -> None:
    assert repaired.tuning is not None
    draft = Draft(repaired.tuning)
    made = apply_draft(repaired, draft, shots / "t.qdtune", shots / "again.onnx")
    for ours, theirs in zip(outputs_of(made), outputs_of(shots / "t.onnx"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_unit_switched_on_has_16_bits_in_the_model(repaired: Run, shots: Path) -> None:
    assert repaired.tuning is not None
    draft = Draft(repaired.tuning)
    before = draft.loss
    unit = next(at for at in draft.ranked() if at not in draft.wide)
    draft.switch_unit(unit)
    assert draft.loss < before
    made = apply_draft(repaired, draft, shots / "t.qdtune", shots / "more.onnx")
    run = qdebug.compare("float.onnx", made, "shots", preprocess=SPEC, threads=1)
    codes = set(repaired.tuning.units[unit].tensors)
    wide = [x for x in run.layers if x.quant is not None and x.quant.dtype.endswith("int16")]
    graph = load_graph(made)
    kept = {graph.producer[c].inputs[2] for c in codes}
    assert all(np.asarray(graph.constant(zero)).dtype.itemsize == 2 for zero in kept)
    assert wide


def test_a_plan_without_its_models_says_which_is_missing(
    repaired: Run, shots: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any
) -> None:
    assert repaired.tuning is not None
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UsageError, match=r"the float model, float.onnx, is not found"):
        apply_draft(repaired, Draft(repaired.tuning), None, shots / "never.onnx")
    assert not (shots / "never.onnx").exists()


def test_the_record_goes_wherever_a_run_goes(shots: Path, cli: Cli) -> None:
    assert tiny(cli).code in (0, 1)
    assert "Ways to choose ranges" in cli("show", "t.qdtune").out
    for name in ("r.html", "r.md", "r.json"):
        assert cli("report", "t.qdtune", "-o", name).code == 0
    assert "How it was tuned" in (shots / "r.html").read_text()
    assert "### Tuned" in (shots / "r.md").read_text()
    assert json.loads((shots / "r.json").read_text())["tuning"]["given"]["loss"] > 0
    assert qdebug.load_run(shots / "r.html").tuning == tuning_of(shots / "t.qdtune")
    assert cli("compare", "float.onnx", "quant.onnx", "shots", "-p", SPEC).code in (0, 1)
    assert cli("diff", "quant.qdrun", "t.qdtune").code in (0, 1)


def test_two_runs_give_the_same(shots: Path, cli: Cli) -> None:
    tiny(cli)
    first = tuning_of(shots / "t.qdtune"), (shots / "t.onnx").read_bytes()
    tiny(cli, "--force")
    assert (tuning_of(shots / "t.qdtune"), (shots / "t.onnx").read_bytes()) == first


def test_a_sound_model_has_nothing_to_win(cli: Cli, tmp_path: Path) -> None:
    models = [str(CLASSIFIER / name) for name in ("float.onnx", "int8.onnx")]
    output = tmp_path / "tuned.onnx"
    result = cli("tune", *models, *OBJECTS, "-o", str(output), "-q")
    assert result.code == 0
    assert "nothing to win" in " ".join(result.out.split())
    found = tuning_of(tmp_path / "tuned.qdtune")
    assert not [cure for cure in found.cures if cure.accepted]
    assert output.read_bytes() == Path(models[1]).read_bytes()


def test_wrong_weights_are_refused_by_name(cli: Cli, tmp_path: Path) -> None:
    models = [str(CLASSIFIER / name) for name in ("float.onnx", "int8_weight_rolled.onnx")]
    result = cli("tune", *models, *OBJECTS, "-o", str(tmp_path / "tuned.onnx"), "-q")
    assert result.code == 1
    told = " ".join(result.out.split())
    assert "the fault is not resolution; weight-mismatch says what it is" in told
    assert not (tmp_path / "tuned.onnx").exists()
    assert tuning_of(tmp_path / "tuned.qdtune").outcome == "not-resolution"


@pytest.fixture
def coarse(shots: Path) -> list[str]:
    """Weights all rounded to zero, and six inputs from dark to bright: no one output suits all."""
    twin = onnx.load("old.onnx")
    tensors = {t.name: t for t in twin.graph.initializer}
    for name in ("w1", "w2", "w3"):
        codes = onnx.numpy_helper.to_array(tensors[f"{name}_q"]).astype(np.float32)
        scale = onnx.numpy_helper.to_array(tensors[f"{name}_s"])
        coarse = np.float32(2.1 * scale * np.abs(codes).max())
        rounded = np.rint(codes * scale / coarse).astype(np.int8)
        tensors[f"{name}_q"].CopyFrom(onnx.numpy_helper.from_array(rounded, f"{name}_q"))
        tensors[f"{name}_s"].CopyFrom(onnx.numpy_helper.from_array(coarse, f"{name}_s"))
    onnx.save(twin, shots / "quant.onnx")
    files = [f"{number}.npy" for number in range(6)]
    for number, file in enumerate(files):
        rng = np.random.default_rng(number)
        np.save(file, (rng.random((1, 3, 16, 16)) * 4 * number).astype(np.float32))
    return ["tune", "float.onnx", "quant.onnx", *files, "-o", "t.onnx", "--task", "none"]


def test_weights_that_no_plan_helps(shots: Path, coarse: list[str], cli: Cli) -> None:
    """A toolchain that rounds weights itself: no width of the activations brings them back."""
    result = cli(*coarse, "--target", "openvino")
    assert result.code == 1, result.out
    found = tuning_of(shots / "t.qdtune")
    assert found.outcome == "out-of-reach"
    told = "not even 16 bits for all activations with these weights"
    assert told in " ".join(result.out.split())
    assert found.tuned.sqnr_db < 20
    onnx.checker.check_model("t.onnx")


def test_coarse_weights_are_rounded_anew(shots: Path, coarse: list[str], cli: Cli) -> None:
    cli(*coarse)
    found = tuning_of(shots / "t.qdtune")
    (cure,) = (cure for cure in found.cures if cure.kind == "weights")
    assert (cure.accepted, cure.float_equivalent) == (True, True)
    assert "rounded anew in 3 layers" in cure.title
    assert cure.measured_db > 10
    onnx.checker.check_model("t.onnx")
    codes = {t.name: t for t in onnx.load("t.onnx").graph.initializer}
    assert np.abs(onnx.numpy_helper.to_array(codes["w1_q_tuned"]).astype(int)).max() == 127
    run = qdebug.compare("float.onnx", "t.onnx", coarse[3:9], threads=1)
    assert "coarse-weights" not in {f.slug for f in run.findings if f.status in ("fail", "warn")}
    accumulated = run.outputs[0].accumulated
    assert accumulated is not None
    assert accumulated.sqnr_db is not None
    assert accumulated.sqnr_db > found.given.sqnr_db + 10


def test_methods_are_all_measured_when_asked(shots: Path, cli: Cli) -> None:
    tiny(cli, "--methods")
    found = tuning_of(shots / "t.qdtune").methods
    assert {"KL", "SYMKL", "JSD", "ADMM", "ACIQ Gauss", "MSE", "MAX", "G2"} <= {
        m.method for m in found
    }
    assert all(m.measured is not None for m in found)


def test_the_user_names_what_gets_more_bits(shots: Path, cli: Cli) -> None:
    tiny(cli, "--keep", "relu1", "--after", "pool", "--fallback", "float", "--budget", "0")
    (kept,) = [c for c in tuning_of(shots / "t.qdtune").cures if c.reason == "asked for"]
    assert set(kept.units) == {"relu1", "pool"}
    tensors = {node.input[0] for node in onnx.load("t.onnx").graph.node if "Quant" in node.op_type}
    assert "t5" not in tensors


@pytest.mark.parametrize("budget", ["0", "1", "macs=0%"])
def test_a_budget_is_kept(shots: Path, cli: Cli, budget: str) -> None:
    tiny(cli, "--budget", budget)
    curve = tuning_of(shots / "t.qdtune").curve
    (chosen,) = (point for point in curve if point.chosen)
    if budget.isdigit():
        assert chosen.added <= int(budget)
    else:
        assert chosen.macs == curve[0].macs


def test_ctrl_c_keeps_what_was_found_and_is_taken_up_again(
    shots: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = Proof._measure, []

    def interrupted(self: Proof, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return whole(self, *args)

    monkeypatch.setattr(Proof, "_measure", interrupted)
    result = tiny(cli)
    assert result.code == 130
    assert "t.qdtune hold what was found so far" in result.err
    assert tuning_of(shots / "t.qdtune").stopped == "interrupted"
    onnx.checker.check_model("t.onnx")
    done = len(calls) - 1
    monkeypatch.setattr(Proof, "_measure", whole)
    tiny(cli, "--force")
    again = tuning_of(shots / "t.qdtune")
    assert not again.stopped
    (shots / "t.onnx").unlink()
    tiny(cli, "--force")
    fresh = tuning_of(shots / "t.qdtune")
    assert fresh.cures == again.cures
    assert fresh.inferences is not None
    assert again.inferences is not None
    assert fresh.inferences["configured"] == again.inferences["configured"] + 2 * done


def test_time_ends_the_search(shots: Path, cli: Cli) -> None:
    tiny(cli, "--time", "0.001s")
    assert "time allowed" in tuning_of(shots / "t.qdtune").stopped
    assert (shots / "t.onnx").exists()


def test_a_user_measures_the_task(shots: Path, cli: Cli) -> None:
    (shots / "mine.py").write_text(
        "def measure(f, q):\n    return {'apart': float(abs(f['scores'] - q['scores']).max())}\n"
    )
    assert tiny(cli, "--task", "mine.py:measure").code in (0, 1)


def test_compared_at_a_tensor_inside(shots: Path, cli: Cli) -> None:
    tiny(cli, "--compare-at", "t4:2,scores")
    assert "t4, scores" in tuning_of(shots / "t.qdtune").loss


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--limit", "3"], "3 pictures are too few to tune on"),
        (["--compare-at", "nowhere"], "have no tensor 'nowhere' in common"),
        (["--keep", "conv9"], "the float model has no node 'conv9'"),
        (["--between", "pool:conv1"], "no way leads from 'pool' to 'conv1'"),
        (["--between", "pool"], "is not A:B"),
        (["--budget", "some"], "neither a number of units nor macs=2%"),
        (["--time", "soon"], "is not a time such as 60s"),
        (["--task", "juggling"], "there is no task 'juggling'"),
        (["-o", "t.tflite"], "the repaired model is ONNX"),
        (["-o", "quant.onnx", "--force"], "that is one of the models given"),
        (["-o", "old.onnx"], "old.onnx exists already"),
    ],
)
def test_bad_requests_get_one_sentence(
    shots: Path, cli: Cli, extra: list[str], message: str
) -> None:
    result = tiny(cli, *extra)
    assert result.code == 2
    assert message in result.err
    assert "hint:" in result.err or "usage:" in result.err
    assert "Traceback" not in result.err
    assert not list(shots.glob("*.qdtune"))


def test_pictures_without_signal_are_refused(shots: Path, cli: Cli) -> None:
    for number in range(5):
        np.save(f"same_{number}.npy", np.full((1, 3, 16, 16), 0.5, np.float32))
    files = [f"same_{number}.npy" for number in range(5)]
    result = cli("tune", "float.onnx", "quant.onnx", *files, "-o", "t.onnx")
    assert result.code == 2
    assert "they hold no signal" in result.err


@pytest.mark.parametrize(
    ("quant", "message"),
    [("dynamic.onnx", "found while it runs"), ("float.onnx", "it holds no quantizers")],
)
def test_models_without_switchable_quantizers(
    cli: Cli, tmp_path: Path, quant: str, message: str
) -> None:
    models = [str(SAMPLES / "detector" / name) for name in ("float.onnx", quant)]
    scenes = str(SAMPLES / "pictures/scenes")
    result = cli("tune", *models, scenes, "-o", str(tmp_path / "t.onnx"), *DETECTOR)
    assert result.code == 2
    assert message in result.err


def test_operators_on_codes_are_written_out(cli: Cli, tmp_path: Path) -> None:
    models = [str(SAMPLES / "detector" / name) for name in ("float.onnx", "int8_qoperator.onnx")]
    output = tmp_path / "t.onnx"
    keep = next(n.name for n in onnx.load(models[0]).graph.node if n.op_type == "Conv")
    result = cli("tune", *models, *SCENES, "-o", str(output), *DETECTOR, "--keep", keep)
    assert result.code == 0, result.err
    assert "written out as QDQ" in result.out
    kinds = {node.op_type for node in onnx.load(output).graph.node}
    assert "QuantizeLinear" in kinds
    assert not any(kind.startswith("QLinear") for kind in kinds)


SPEC_OF_CLASSIFIER = (
    "resize 96x96 | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
)


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory with a calibration table of the classifier, made of its own twin."""
    monkeypatch.chdir(tmp_path)
    float_model, twin = CLASSIFIER / "float.onnx", CLASSIFIER / "int8.onnx"
    qdebug.export(twin, "tpu_mlir", "begun_cali_table", float_model=float_model)
    return tmp_path


def classified(cli: Cli, *words: str) -> Any:
    """``qdebug tune`` of the classifier."""
    return cli("tune", str(CLASSIFIER / "float.onnx"), *words, *OBJECTS, "-p", SPEC_OF_CLASSIFIER)


def test_a_toolchains_files_are_written_beside_the_model(begun: Path, cli: Cli) -> None:
    keep = onnx.load(CLASSIFIER / "float.onnx").graph.node[3].name
    words = ("begun_cali_table", "-o", "tuned.onnx", "--vendor", "tpu-mlir", "--keep", keep)
    result = classified(cli, *words)
    assert result.code == 0, result.err
    record = tuning_of(begun / "tuned.qdtune")
    assert record.files == {
        "model": "tuned.onnx", "cali_table": "tuned_cali_table", "qtable": "tuned_qtable",
    }  # fmt: skip
    rows = (begun / "tuned_qtable").read_text().splitlines()[1:]
    assert record.kept
    assert all(row.endswith(" F16") for row in rows)
    assert {row.rsplit("_", 1)[0] for row in rows} <= set(record.kept)
    assert "tuned_qtable" in result.out
    again = cli("export", "tuned.qdtune", "--vendor", "tpu-mlir", "--float",
                str(CLASSIFIER / "float.onnx"), "-o", "other_qtable")  # fmt: skip
    assert again.code == 0, again.err
    assert (begun / "other_qtable").read_bytes() == (begun / "tuned_qtable").read_bytes()
    refused = classified(cli, *words[:2], "new.onnx", "--vendor", "tpu-mlir")
    assert refused.code == 0
    (begun / "late_qtable").write_text("mine")
    refused = classified(cli, *words[:2], "late.onnx", "--vendor", "tpu-mlir")
    assert refused.code == 2
    assert "late_qtable exists already" in refused.err


@pytest.mark.parametrize("vendor", ["ncnn", "rknn", "horizon", "aimet", "tidl"])
def test_what_a_toolchain_cannot_be_told_is_a_note(begun: Path, cli: Cli, vendor: str) -> None:
    """Whatever it takes: the model is written, and no file of another toolchain breaks that."""
    keep = onnx.load(CLASSIFIER / "float.onnx").graph.node[3].name
    words = ("begun_cali_table", "-o", "t.onnx", "--vendor", vendor, "--keep", keep)
    result = classified(cli, *words, "--time", "0.1s")
    assert result.code == 0, result.err
    record = tuning_of(begun / "t.qdtune")
    files = set(record.files or {}) - {"model"}
    assert files or any(" is written: " in note for note in record.notes)
    assert all((begun / name).is_file() for name in (record.files or {}).values())


def test_the_two_tables_of_a_toolchain(begun: Path, cli: Cli) -> None:
    """What the second table keeps in float has no quantized weight in the twin."""
    kept = next(n for n in onnx.load(CLASSIFIER / "float.onnx").graph.node if n.op_type == "Conv")
    (begun / "q").write_text(f"# op_name quantize_mode\n{kept.output[0]}_Conv F16\n")
    assert classified(cli, "begun_cali_table", "-o", "t.onnx").code == 0
    assert classified(cli, "begun_cali_table", "-o", "u.onnx", "--qtable", "q").code == 0
    kinds = [[n.op_type for n in onnx.load(name).graph.node] for name in ("t.onnx", "u.onnx")]
    assert kinds[0].count("DequantizeLinear") > kinds[1].count("DequantizeLinear")


def test_a_table_may_be_named_txt(begun: Path, cli: Cli) -> None:
    (begun / "begun_cali_table").rename("table.txt")
    assert classified(cli, "table.txt", "-o", "t.onnx").code == 0
    pictures = sorted((SAMPLES / "pictures/objects").glob("*"))
    (begun / "list.txt").write_text("\n".join(map(str, pictures)))
    listed = cli("tune", str(CLASSIFIER / "float.onnx"), "list.txt", "-p", SPEC_OF_CLASSIFIER,
                 "-o", "u.onnx", "--threads", "1")  # fmt: skip
    assert listed.code == 0, listed.err
    record = qdebug.load_run(begun / "u.qdtune")
    assert record.models.quant.file == "u.onnx"
    assert len(tuning_of(begun / "u.qdtune").tried) >= 2


def test_pictures_that_decide_are_not_calibrated_on(
    shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    whole = calibrated_twin

    def noted(graph: Any, feeds: Any, *rest: Any) -> Any:
        seen.extend(feeds)
        return whole(graph, feeds, *rest)

    monkeypatch.setattr(start, "calibrated_twin", noted)
    qdebug.tune("float.onnx", "shots", "t.onnx", preprocess=SPEC)
    held_out = {2, 5}
    assert len(seen) == 4
    for at in range(6):
        picture = prepare_file(shots / "shots" / f"{at}.png", PreprocessSpec.parse(SPEC)).tensor
        is_seen = any(np.array_equal(f["images"], picture) for f in seen)
        assert is_seen == (at not in held_out)


def test_what_the_target_cannot_express_is_not_proposed(shots: Path, cli: Cli) -> None:
    result = tiny(cli, "--target", "esp-ppq")
    assert result.code in (0, 1), result.err
    record = tuning_of(shots / "t.qdtune")
    assert any("ranges are not searched" in note for note in record.notes)
    assert not record.methods
    assert record.cures[0].title == "ranges as the target can express them"
    constants = {
        t.name: onnx.numpy_helper.to_array(t) for t in onnx.load("t.onnx").graph.initializer
    }
    scales = [
        constants[node.input[1]]
        for node in onnx.load("t.onnx").graph.node
        if node.op_type == "QuantizeLinear"
    ]
    assert scales
    assert all(np.log2(scale).is_integer() for scale in map(float, scales))


def test_the_float_model_with_corrected_biases(shots: Path, cli: Cli) -> None:
    """It has the corrections of the repaired model, and says that it is changed."""
    twin = onnx.load("old.onnx")
    for tensor in twin.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1:  # all rounded down
            value = onnx.numpy_helper.to_array(tensor).astype(np.int16) - 1
            lowered = np.clip(value, -127, 127).astype(np.int8)
            tensor.CopyFrom(onnx.numpy_helper.from_array(lowered, tensor.name))
    onnx.save(twin, "quant.onnx")
    result = tiny(cli, "--float-out", "fixed.onnx")
    found = tuning_of(shots / "t.qdtune")
    assert [c.accepted for c in found.cures if c.kind == "bias"] == [True]
    assert found.files == {"model": "t.onnx", "float": "fixed.onnx"}
    assert "not equivalent to the float model" in " ".join(result.out.split())
    before, after = (
        {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(name).graph.initializer}
        for name in ("float.onnx", "fixed.onnx")
    )
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"b1", "b2", "b3"}
    refused = tiny(cli, "--force", "--float-out", "float.onnx")
    assert refused.code == 2
    assert "that is another of the models" in refused.err
    named = tiny(cli, "--force", "--float-out", "fixed.pt")
    assert (named.code, "name it NAME.onnx" in named.err) == (2, True)


def test_a_target_of_which_nothing_is_known(shots: Path, cli: Cli) -> None:
    for extra, message in (
        (["--target", "abacus"], "there is no toolchain 'abacus'"),
        (["--target", "tpu-mlir", "--fallback", "16"], "not 16"),
    ):
        result = tiny(cli, *extra)
        assert result.code == 2
        assert message in result.err
        assert "hint:" in result.err
        assert not Path("t.onnx").exists()
