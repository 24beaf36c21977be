"""Which layers a run keeps a few values of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qdebug.capture.crop import MAX_VALUES
from qdebug.comparison.crops import MAX_CROPS, crop_layers, with_crops
from qdebug.run.crops import CROPS_NPZ, read_crop
from qdebug.run.model import Finding, FindingStatus, Layer, Run, WorstChannel
from qdebug.run.store import MemoryWriter
from tests.support import synthetic_run

Receive = Callable[[int, int, str, Any], None]


def finding(status: FindingStatus, *layers: int, gate: Any = "int8") -> Finding:
    return Finding("QD1", "slug", status, "error", "t", "s", "a", layers=layers, gate=gate)


def plain(count: int) -> list[Layer]:
    layers = [x for x in synthetic_run(120, samples=2).layers if x.state == "ok"][:count]
    return [
        dataclasses.replace(x, index=at, worst_channel=WorstChannel(0, 30.0), worst_sample="b")
        for at, x in enumerate(layers)
    ]


class TestTheChoice:
    def test_of_each_finding_the_first_and_the_worst(self) -> None:
        layers = plain(20)
        layers[7] = dataclasses.replace(layers[7], worst_channel=WorstChannel(4, 0.0))
        assert crop_layers(layers, [finding("fail", 3, 5, 7)]) == [3, 7]

    def test_failed_before_warnings_and_nothing_of_what_passed(self) -> None:
        found = [finding("warn", 1), finding("pass", 9), finding("info", 8), finding("fail", 2)]
        assert crop_layers(plain(20), found) == [2, 1]

    def test_a_few(self) -> None:
        many = [finding("fail", at, at + 1) for at in range(18)]
        assert len(crop_layers(plain(20), many)) == MAX_CROPS

    def test_what_was_not_compared_or_is_of_the_board_has_none(self) -> None:
        layers = plain(5)
        layers[2] = dataclasses.replace(layers[2], state="not_compared")
        found = [finding("fail", 2, 99), finding("fail", 3, gate="board")]
        assert crop_layers(layers, found) == []


def test_values_of_the_worst_sample_are_taken_and_no_more_than_allowed() -> None:
    layers, rng = plain(4), np.random.default_rng(2)
    values = {at: rng.normal(size=(1, 3, 90, 90)).astype(np.float32) for at in (1, 2)}
    asked: list[tuple[int, Sequence[int]]] = []

    def recapture(sample: int) -> Any:
        def run(positions: Sequence[int], receive: Receive) -> None:
            asked.append((sample, positions))
            for at in positions:
                receive(0, at, "float", values[at])
                receive(0, at, "quant", values[at] * np.float32(0.5) if at == 1 else values[at][0])

        return run

    writer = MemoryWriter()
    found = with_crops(layers, [finding("fail", 1, 2)], ["a", "b"], recapture, writer)
    assert asked == [(1, [1, 2])]
    crop = found[1].crop
    assert crop is not None
    assert crop.sample == "b"
    assert np.prod(crop.size) == MAX_VALUES
    stored = read_crop(writer._files, 1)
    place = tuple(slice(a, a + n) for a, n in zip(crop.start, crop.size, strict=True))
    assert np.array_equal(stored.float, values[1][place].reshape(64, 64))
    assert np.array_equal(stored.quant, stored.float / 2)
    # A leading axis of 1 is no other shape.
    assert found[2].crop is not None
    assert found[3].crop is None


def test_sides_of_two_shapes_have_none() -> None:
    def recapture(_: int) -> Any:
        def run(positions: Sequence[int], receive: Receive) -> None:
            receive(0, 1, "float", np.zeros((1, 4, 5), np.float32))
            receive(0, 1, "quant", np.zeros((1, 5, 4), np.float32))

        return run

    writer = MemoryWriter()
    found = with_crops(plain(3), [finding("fail", 1)], ["b"], recapture, writer)
    assert all(layer.crop is None for layer in found)
    assert CROPS_NPZ not in writer._files.names()


def test_nothing_is_run_again_for_a_sound_model() -> None:
    def recapture(_: int) -> Any:
        raise AssertionError("nobody asked")

    run: Run = synthetic_run(30, samples=2, sound=True)
    layers = with_crops(run.layers, [finding("pass", 1)], ["a"], recapture, MemoryWriter())
    assert layers == list(run.layers)
