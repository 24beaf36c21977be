"""The synthetic run keeps its promises to the tests built on it."""

from __future__ import annotations

import json
from typing import Any, get_args

import jsonschema
import pytest

from qdebug.run.model import EvidenceKind, FindingStatus, State
from qdebug.run.schema import run_schema
from qdebug.run.store import run_from_json, run_to_json
from tests.support import HOSTILE_NAMES, synthetic_run


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"input_failed": True},
        {"hostile_names": True},
        {"sound": True},
        {"layers": 1, "samples": 1},
        {"local": False, "sensitivity": False, "kept": 0},
    ],
)
def test_is_deterministic_valid_and_round_trips(options: dict[str, Any]) -> None:
    run = synthetic_run(**options)
    text = run_to_json(run)
    assert text == run_to_json(synthetic_run(**options))
    jsonschema.validate(json.loads(text), run_schema())
    assert run_to_json(run_from_json(text, run.files)) == text


def test_holds_every_state_status_and_evidence_kind() -> None:
    run = synthetic_run(input_failed=True)
    assert {layer.state for layer in run.layers} == set(get_args(State))
    assert {finding.status for finding in run.findings} == set(get_args(FindingStatus))
    kinds = {evidence.kind for finding in run.findings for evidence in finding.evidence}
    assert kinds == set(get_args(EvidenceKind))


def test_files_named_in_the_run_are_there() -> None:
    run = synthetic_run(input_failed=True, kept=3)
    kept = [layer for layer in run.layers if layer.kept]
    assert len(kept) == 3
    for layer in kept:
        assert run.files.array(f"tensors/quant/{layer.index:04}.npy").shape == layer.shape
    for sample in run.samples:
        for name in (sample.thumb, sample.thumb_quant, sample.source):
            assert name is not None
            assert run.files.read(name).startswith(b"\x89PNG")


def test_arrays_cover_the_layers() -> None:
    run = synthetic_run()
    arrays = run.arrays
    last = run.layers[-1]
    histogram = arrays.histogram(last.index)
    assert histogram is not None
    assert histogram.float.sum() > 0
    sqnr, absmax = arrays.channels(last.index)
    assert len(sqnr) == len(absmax) == last.shape[1]


def test_graph_links_agree() -> None:
    run = synthetic_run(60)
    for layer in run.layers:
        assert all(layer.index in run.layers[i].outputs for i in layer.inputs)


def test_hostile_names_reach_every_kind_of_name() -> None:
    run = synthetic_run(hostile_names=True, samples=40)
    names = {layer.name for layer in run.layers}
    assert names >= set(HOSTILE_NAMES)
    assert {sample.name for sample in run.samples} >= set(HOSTILE_NAMES)
