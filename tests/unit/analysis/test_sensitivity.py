"""Sensitivity against the direct way: a float graph with one tensor replaced."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from qdebug.analysis import sensitivity
from qdebug.analysis.journal import Journal
from qdebug.analysis.sensitivity import measure_sensitivity
from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.errors import RunError
from qdebug.metrics.moments import measure
from qdebug.run.model import Sensitivity
from tests.support.pairs_of_models import LoadedPair, detector, load_pair
from tests.support.running import direct_sqnr, run_tensors

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return detector("int8_naive")


@pytest.fixture(scope="module")
def measured(pair: LoadedPair) -> dict[int, Sensitivity]:
    return run(pair)


def run(pair: LoadedPair, journal: Journal | None = None) -> dict[int, Sensitivity]:
    return measure_sensitivity(
        (pair.float_graph, pair.quant_graph),
        pair.pairing.pairs,
        [(feeds, feeds) for feeds in pair.feeds],
        CaptureSettings(),
        count=len(pair.feeds),
        journal=journal,
    )


def local_values(pair: LoadedPair) -> dict[int, Array]:
    found: dict[int, Array] = {}

    def keep(_positions: Any, _reached: Any, _floats: Any, local: Any) -> None:
        found.update({at: value.copy() for at, value in local.items()})

    feeds = pair.feeds[0]
    graphs = pair.float_graph, pair.quant_graph
    with Capture(
        *graphs, pair.pairing.pairs, (feeds, feeds), 1, CaptureSettings(), observer=keep
    ) as capture:
        capture.add_sample(feeds, feeds)
    return found


def test_every_tenth_layer_equals_a_graph_with_that_tensor_replaced(
    pair: LoadedPair, measured: dict[int, Sensitivity]
) -> None:
    local = local_values(pair)
    reference = run_tensors(pair.float_graph.path, pair.feeds[0], ["output0"])["output0"]
    for at in sorted(measured)[::10]:
        tensor = pair.pairing.pairs[at].float_tensor
        proto = onnx.load(str(pair.float_graph.path))
        for node in proto.graph.node:
            for slot, name in enumerate(node.input):
                if name == tensor:
                    node.input[slot] = "replaced"
        proto.graph.input.append(onnx.helper.make_tensor_value_info("replaced", 1, None))
        feeds = {**pair.feeds[0], "replaced": local[at]}
        value = run_tensors(proto, feeds, ["output0"])["output0"]
        expected = direct_sqnr(reference, value)
        if expected > 100:  # beyond what float32 kernels agree to among themselves
            assert measured[at].sqnr_db > 95
        else:
            assert measured[at].sqnr_db == pytest.approx(expected, abs=0.05)


def chain(quantized: bool) -> onnx.ModelProto:
    """Twice as many Tanh as there are groups; the first one's value is an output as well."""
    nodes, tensor = [], "x"
    for number in range(2 * sensitivity.GROUPS):
        name = f"t{number}"
        nodes.append(onnx.helper.make_node("Tanh", [tensor], [name], name))
        tensor = name
        if quantized:
            codes, tensor = f"{name}_q", f"{name}_d"
            scale = [name, "scale", "zero"], [codes, "scale", "zero"]
            nodes.append(onnx.helper.make_node("QuantizeLinear", scale[0], [codes]))
            nodes.append(onnx.helper.make_node("DequantizeLinear", scale[1], [tensor]))
    shape = [1, 64]
    value = onnx.helper.make_tensor_value_info
    first = "t0_d" if quantized else "t0"
    constants = {"scale": np.float32(1 / 127), "zero": np.int8(0)} if quantized else {}
    graph = onnx.helper.make_graph(
        nodes,
        "chain",
        [value("x", 1, shape)],
        [value(first, 1, shape), value(tensor, 1, shape)],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opset = onnx.helper.make_opsetid("", 13)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)


def test_an_output_ready_before_others_is_not_reached_by_what_comes_later(tmp_path: Path) -> None:
    files = tmp_path / "float.onnx", tmp_path / "quant.onnx"
    for file, quantized in zip(files, (False, True), strict=True):
        onnx.save(chain(quantized), str(file))
    feeds = {"x": np.linspace(-2, 2, 64, dtype=np.float32)[None]}
    loaded = load_pair(*files, [feeds])
    found = run(loaded)
    places = {p.float_tensor: at for at, p in enumerate(loaded.pairing.pairs)}
    assert 20 < found[places["t0"]].per_output["t0"] < 60
    for number in range(1, 2 * sensitivity.GROUPS):
        per_output = found[places[f"t{number}"]].per_output
        assert per_output["t0"] > 120
        assert 20 < per_output[f"t{2 * sensitivity.GROUPS - 1}"] < 60


def test_every_layer_but_the_input_is_measured(
    pair: LoadedPair, measured: dict[int, Sensitivity]
) -> None:
    inputs = {at for at, p in enumerate(pair.pairing.pairs) if p.float_tensor == "images"}
    assert set(measured) == set(range(len(pair.pairing.pairs))) - inputs


def test_an_interrupted_measurement_is_taken_up_again(
    pair: LoadedPair,
    measured: dict[int, Sensitivity],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "journal"
    done = 0

    def interrupt(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 40:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(sensitivity, "measure", interrupt)
    with pytest.raises(KeyboardInterrupt), Journal(file, "key") as journal:
        run(pair, journal)
    monkeypatch.undo()

    with Journal(file, "key") as journal:
        assert 0 < len(journal.done) < len(measured)
        again = {at: s.sqnr_db for at, s in run(pair, journal).items()}
        assert again == pytest.approx({at: s.sqnr_db for at, s in measured.items()})
        journal.finish()
    assert not file.exists()


@pytest.mark.parametrize(
    "damage",
    [
        b"{}",
        b"[0]",
        b"[0, 1, []]",
        b'[0, 1, {"y": {}}]',
        b"\xff\xfe",
        b"[" * 9999,
        b"[null, 1, {}]",
    ],
)
def test_damaged_lines_of_a_journal_are_measured_again(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "journal"
    with Journal(file, "key") as journal:
        journal.add(0, 1, {})
        journal.add(0, 2, {})
    first, one, two = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([first, one, damage, two]))
    with Journal(file, "key") as journal:
        assert sorted(journal.done) == [(0, 1), (0, 2)]
        journal.add(0, 3, {})
    with Journal(file, "key") as journal:
        assert sorted(journal.done) == [(0, 1), (0, 2), (0, 3)]


def test_a_journal_is_not_written_through_a_link(tmp_path: Path) -> None:
    precious, file = tmp_path / "precious", tmp_path / "journal"
    precious.write_text("mine")
    file.symlink_to(precious)
    with pytest.raises(RunError, match="is not a plain file") as caught:
        Journal(file, "key")
    assert "remove it" in (caught.value.hint or "")
    assert precious.read_text() == "mine"


def test_a_journal_of_another_request_is_discarded(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    ones = np.ones(3, np.float32)
    with Journal(file, "one") as journal:
        journal.add(0, 0, {"out": measure(ones, ones)})
    with Journal(file, "two") as journal:
        assert journal.done == {}


def test_a_journal_cut_short_by_a_kill_keeps_its_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    ones = np.ones(3, np.float32)
    with Journal(file, "key") as journal:
        for layer in range(3):
            journal.add(0, layer, {"out": measure(ones, 2 * ones)})
    text = file.read_text(encoding="utf-8")
    file.write_text(text[:-40], encoding="utf-8")
    with Journal(file, "key") as restored:
        pass
    assert sorted(restored.done) == [(0, 0), (0, 1)]
    assert math.isclose(restored.done[0, 1]["out"].ee[0], 3)
