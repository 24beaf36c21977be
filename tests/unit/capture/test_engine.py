"""What is captured, against direct runs of ONNX Runtime and plain numpy."""

from __future__ import annotations

import threading
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import pytest

import qdebug
from qdebug.capture import engine
from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.capture.measuring import SampleParts
from qdebug.capture.session import Session, SessionSettings
from qdebug.capture.stages import Stages, TappedGraph
from qdebug.errors import ModelError
from qdebug.metrics.metric import cosine, sqnr_db
from tests.support.pairs_of_models import LoadedPair, detector
from tests.support.running import direct_cosine, direct_sqnr, run_tensors

Array = npt.NDArray[Any]

BESIDE: dict[str, Any] = {
    "float_session": SessionSettings(threads=2),
    "quant_session": SessionSettings(threads=2),
}
"""Both sides are run at the same time, on however few processors."""


def capture(
    pair: LoadedPair, sink: Any = None, *, segments: Any = None, **settings: Any
) -> Capture:
    found = Capture(
        pair.float_graph,
        pair.quant_graph,
        pair.pairing.pairs,
        (pair.feeds[0], pair.feeds[0]),
        len(pair.feeds),
        CaptureSettings(**settings),
        segments=segments,
    )
    with found:
        for feeds in pair.feeds:
            found.add_sample(feeds, feeds, sink)
    return found


def real_value(pair: LoadedPair, values: dict[str, Array], at: int) -> Array:
    """A pair's quant value in float64-exact terms: codes dequantized by hand."""
    item = pair.pairing.pairs[at]
    value = values[item.read]
    quantizer = item.read_form.quantizer
    if quantizer is not None:
        value = (value.astype(np.float32) - np.float32(quantizer.zero_point)) * quantizer.scale
    if item.read_form.perm is not None:
        value = value.transpose(item.read_form.perm)
    return value.astype(np.float32)


@pytest.mark.parametrize("twin", ["int8", "int8_naive", "int8_qoperator", "dynamic"])
def test_every_layer_agrees_with_a_direct_run(twin: str) -> None:
    pair = detector(twin)
    found = capture(pair)
    pairs = pair.pairing.pairs
    float_file, quant_file = pair.float_graph.path, pair.quant_graph.path
    names = [p.float_tensor for p in pairs if p.float_tensor in pair.float_graph.producer]
    f = {**run_tensors(float_file, pair.feeds[0], names), **pair.feeds[0]}
    reads = [p.read for p in pairs if p.read in pair.quant_graph.producer]
    q = {**run_tensors(quant_file, pair.feeds[0], reads), **pair.feeds[0]}
    assert len(pairs) > 200
    for at, item in enumerate(pairs):
        moments = found.stats[at].accumulated
        assert moments is not None, item.float_tensor
        expected = f[item.float_tensor], real_value(pair, q, at).reshape(f[item.float_tensor].shape)
        total = moments.total()
        assert float(cosine(total)[0]) == pytest.approx(direct_cosine(*expected), abs=1e-5)
        assert float(sqnr_db(total)[0]) == pytest.approx(direct_sqnr(*expected), abs=0.01)


@pytest.mark.parametrize("twin", ["int8_naive", "int8_qoperator", "dynamic"])
def test_the_memory_cap_changes_no_number(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PIECE", 1 << 30)
    pair = detector(twin, pictures=2)
    whole = capture(pair)
    capped = capture(pair, max_memory=7 << 20)
    assert len(whole.plan.segments) == 1
    assert len(capped.plan.segments) >= 3
    assert capped.plan.peak <= 7 << 20 or "exceeds" in capped.plan.describe()
    for a, b in zip(whole.stats, capped.stats, strict=True):
        for one, other in ((a.accumulated, b.accumulated), (a.local, b.local)):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                np.testing.assert_array_equal(one.ee, other.ee)
                np.testing.assert_array_equal(one.ff, other.ff)


@pytest.mark.parametrize("pictures", [2, 6])
def test_what_many_samples_change_is_no_number(
    pictures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are counted later, and the quant side of a segment is run in two parts."""
    pair = detector("int8_naive", pictures=pictures)
    monkeypatch.setattr(engine, "PIECE", 8 << 20)
    parts: list[int] = []
    build = Stages._build

    def counted(self: Stages, positions: range) -> Any:
        stage = build(self, positions)
        parts.append(len(stage.quant_sides))
        return stage

    monkeypatch.setattr(Stages, "_build", counted)
    found = []
    for least in (1, 100):
        monkeypatch.setattr(engine, "KEPT_FROM", least)
        found.append(capture(pair, **BESIDE))
    segments = len(found[0].plan.segments)
    assert segments > 2
    assert (set(parts[:segments]), set(parts[segments:])) == ({1, 2}, {1})  # one layer has no two
    for one, other in zip(*(c.stats for c in found), strict=True):
        assert one.accumulated is not None and other.accumulated is not None
        np.testing.assert_array_equal(one.accumulated.table, other.accumulated.table)
        np.testing.assert_array_equal(one.histogram.quant, other.histogram.quant)
        np.testing.assert_array_equal(one.codes, other.codes)
        assert len(one.per_sample) == len(other.per_sample) == pictures


@pytest.mark.parametrize("which", [1, 2])
def test_a_part_that_fails_ends_the_sample_and_leaves_nothing_running(
    which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = detector("int8_naive", pictures=4)
    running: list[int] = []
    done: list[int] = []
    run = Session.run

    def failing(self: Session, *given: Any, **named: Any) -> Any:
        if self._graph is not pair.quant_graph:
            return run(self, *given, **named)
        running.append(0)
        try:
            if len(running) >= which:
                raise ModelError("no memory")
            return run(self, *given, **named)
        finally:
            done.append(0)

    monkeypatch.setattr(Session, "run", failing)
    with pytest.raises(ModelError, match="no memory"):
        capture(pair, local=False, **BESIDE)
    assert len(running) == len(done)
    assert not [t for t in threading.enumerate() if t.name.startswith("qdebug-capture")]


SPLIT = """<ir_version: 8, opset_import: ["": 17]>
split (float[1, 4, 3, 3] x) => (float[1, 2, 3, 3] c, float[1, 2, 3, 3] b) {
    a, b = Split<axis: int = 1>(x)
    c = Relu(a)
}"""
"""Its second output is read by nobody and stands behind the first among the pairs."""
SPLIT_TWIN = """<ir_version: 8, opset_import: ["": 17]>
twin (float[1, 4, 3, 3] x) => (float[1, 2, 3, 3] c, float[1, 2, 3, 3] b)
<float step = {0.1}, uint8 zero = {128}> {
    codes = QuantizeLinear(x, step, zero)
    real = DequantizeLinear(codes, step, zero)
    a, b = Split<axis: int = 1>(real)
    c = Relu(a)
}"""


def test_an_output_that_nobody_reads_is_measured_in_a_later_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_PAIRS", 1)
    for name, text in (("float", SPLIT), ("quant", SPLIT_TWIN)):
        onnx.save(onnx.parser.parse_model(text), tmp_path / f"{name}.onnx")
    x = np.random.default_rng(0).normal(0, 1, (1, 4, 3, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    paths = tmp_path / "float.onnx", tmp_path / "quant.onnx"
    run = qdebug.compare(*paths, [tmp_path / "x.npy"], task="none")
    (layer,) = (layer for layer in run.layers if layer.float_tensor == "b")
    q = np.clip(np.rint(x / np.float32(0.1)), -128, 127) * 0.1
    assert layer.accumulated is not None
    assert layer.accumulated.sqnr_db == pytest.approx(direct_sqnr(x[:, 2:], q[:, 2:]), abs=0.01)


def test_cutting_anywhere_gives_the_same_values() -> None:
    pair = detector("int8_naive")
    count = len(pair.pairing.pairs)
    edges = [0, 1, 2, *range(7, count, 23), count]
    pieces = [range(start, stop) for start, stop in pairwise(edges)]
    values: dict[tuple[int, str], Array] = {}

    def keep(at: int, side: str, value: Array) -> None:
        values[at, side] = value.copy()

    def compare(at: int, side: str, value: Array) -> None:
        np.testing.assert_array_equal(values[at, side], value)

    capture(pair, keep, local=False)
    capture(pair, compare, local=False, segments=pieces)
    assert len(values) == 2 * count


def test_local_error_equals_one_layer_at_a_time() -> None:
    """The slow way: for each layer, the quant graph with every tensor upstream replaced."""
    pair = detector("int8_naive")
    found = capture(pair)
    pairs = pair.pairing.pairs
    float_values = run_tensors(
        pair.float_graph.path,
        pair.feeds[0],
        [p.float_tensor for p in pairs if p.float_tensor in pair.float_graph.producer],
    )
    by_raw = {p.raw: p for p in pairs if p.raw in pair.quant_graph.producer}
    checked = [at for at in range(1, len(pairs), 9) if pairs[at].raw in by_raw]
    for at in checked:
        value = slow_local(pair, at, by_raw, float_values)
        expected = float_values[pairs[at].float_tensor]
        local = found.stats[at].local
        assert local is not None
        error = value.astype(np.float64) - expected
        assert local.ee[0] == pytest.approx(float((error**2).sum()), rel=1e-5, abs=1e-12)
    assert len(checked) > 20


def slow_local(
    pair: LoadedPair, at: int, by_raw: dict[str, Any], float_values: dict[str, Array]
) -> Array:
    """One quant layer fed with float values: its inputs' raw tensors are made graph inputs."""
    proto = onnx.load(str(pair.quant_graph.path))
    target = pair.pairing.pairs[at]
    feeds = dict(pair.feeds[0])
    fed: dict[str, str] = {}
    for raw, other in by_raw.items():
        if raw != target.raw:
            fed[raw] = f"fed_{len(fed)}"
            feeds[fed[raw]] = float_values[other.float_tensor]
    for node in proto.graph.node:
        for slot, name in enumerate(node.input):
            if name in fed:
                node.input[slot] = fed[name]
    used = {name for node in proto.graph.node for name in node.input}
    for name in fed.values():
        if name in used:
            proto.graph.input.append(onnx.helper.make_tensor_value_info(name, 1, None))
    known = {i.name for i in proto.graph.input}
    found = run_tensors(proto, {n: v for n, v in feeds.items() if n in known}, [target.read])
    return found[target.read]


def test_clipped_share_is_counted_on_the_float_values() -> None:
    pair = detector("int8_naive")
    found = capture(pair, local=False)
    names = [p.float_tensor for p in pair.pairing.pairs]
    values = run_tensors(
        pair.float_graph.path, pair.feeds[0], [n for n in names if n in pair.float_graph.producer]
    )
    clipped = 0
    for at, item in enumerate(pair.pairing.pairs):
        limits = found.stats[at].range
        if limits is None or item.float_tensor not in values:
            continue
        value = values[item.float_tensor].astype(np.float64)
        beyond = (value > limits.high + limits.step / 2) | (value < limits.low - limits.step / 2)
        assert found.stats[at].clipped == int(beyond.sum())
        clipped += int(beyond.sum())
    assert clipped > 0


def test_codes_used_are_counted_exactly_on_small_tensors() -> None:
    pair = detector("int8_naive")
    seen: dict[int, Array] = {}

    def keep(at: int, side: str, value: Array) -> None:
        if side == "quant" and value.size <= 4096:
            seen[at] = value.copy()

    found = capture(pair, keep, local=False)
    for at, value in seen.items():
        if found.stats[at].range is not None:
            assert found.stats[at].codes.sum() == len(np.unique(value))
    assert seen


@pytest.mark.parametrize("twin", ["int8", "int8_naive"])
def test_no_value_is_read_from_memory_that_the_next_run_gets(
    twin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is spoilt before it is given out again: what still pointed there would show it."""
    pair = detector(twin, pictures=2)
    plain = capture(pair, max_memory=7 << 20)
    give = engine.Scratch.buffers

    def spoilt(self: engine.Scratch, shapes: Any) -> dict[str, Array]:
        self._memory[:] = np.nan
        return give(self, shapes)

    monkeypatch.setattr(engine.Scratch, "buffers", spoilt)
    again = capture(pair, max_memory=7 << 20)
    assert len(plain.plan.segments) >= 3
    for one, other in zip(plain.stats, again.stats, strict=True):
        for kind in ("accumulated", "local"):
            a, b = getattr(one, kind), getattr(other, kind)
            assert (a is None) == (b is None)
            assert a is None or a.table.tobytes() == b.table.tobytes()


def test_the_last_sample_s_sessions_are_closed_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what comes nevertheless has the same numbers."""
    monkeypatch.setattr(engine, "MOST_PAIRS", 50)
    pair = detector("int8_naive")
    opened: weakref.WeakSet[Session] = weakref.WeakSet()
    most: list[int] = []
    real = TappedGraph.open

    def counted(*given: Any) -> Any:
        found = real(*given)
        if found.session is not None:
            opened.add(found.session)
            most.append(len(opened))
        return found

    monkeypatch.setattr(TappedGraph, "open", counted)
    (feeds,) = pair.feeds
    parts = SampleParts(), SampleParts()
    graphs = pair.float_graph, pair.quant_graph
    with Capture(*graphs, pair.pairing.pairs, (feeds, feeds), 2, CaptureSettings()) as found:
        assert len(found.plan.segments) > 4
        found.add_sample(feeds, feeds, parts=parts[0], last=True)
        assert not opened
        assert max(most) <= 3 * 4  # a segment, the next one, and one that is being opened
        found.add_sample(feeds, feeds, parts=parts[1])
        assert opened
    for at, part in parts[0].accumulated.items():
        again = parts[1].accumulated[at]
        assert part.moments is not None
        assert again.moments is not None
        np.testing.assert_array_equal(part.moments.table, again.moments.table)
