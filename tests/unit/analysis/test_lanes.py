"""Threads that share samples: order, help, errors, endings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import wait

import pytest

from qdebug.analysis.what_if.changes import Alone, Change
from qdebug.analysis.what_if.lanes import Lanes, Trial, Urgency
from qdebug.errors import ModelError

NOTHING: Alone = {}


def test_the_most_urgent_work_is_taken_up_first() -> None:
    lanes, gate, order = Lanes(1), threading.Event(), list[str]()

    def noted(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    def held() -> None:
        gate.wait(10)

    futures = [lanes.submit(held, Urgency.ASKED)]
    for name, urgency in (
        ("ahead", Urgency.AHEAD),
        ("shared", Urgency.SHARED),
        ("asked", Urgency.ASKED),
        ("ahead too", Urgency.AHEAD),
    ):
        futures.append(lanes.submit(noted(name), urgency))
    gate.set()
    wait(futures, 10)
    assert order == ["asked", "shared", "ahead", "ahead too"]
    lanes.close()


def test_samples_are_shared_by_who_has_time() -> None:
    lanes, both, threads = Lanes(1), threading.Barrier(2, timeout=10), set[str]()

    def run(number: int) -> Alone:
        threads.add(threading.current_thread().name)
        if number < 2:
            both.wait()  # two threads are needed to get beyond
        return NOTHING

    trial = Trial(Change(), range(5), run)
    trial.finish(lanes)
    assert sorted(trial.found) == [0, 1, 2, 3, 4]
    assert len(threads) == 2
    lanes.close()


def test_alone_everything_is_run_in_order() -> None:
    ran: list[int] = []

    def run(number: int) -> Alone:
        ran.append(number)
        return NOTHING

    Trial(Change(), [2, 0, 1], run).finish(Lanes(0))
    assert ran == [2, 0, 1]


@pytest.mark.parametrize("lanes", [0, 1, 3])
def test_what_cannot_be_made_says_so_and_ends(lanes: int) -> None:
    ran: list[int] = []

    def run(number: int) -> Alone:
        ran.append(number)
        raise ModelError("no")

    shared = Lanes(lanes)
    trial = Trial(Change(), range(100), run)
    trial.finish(shared)
    assert trial.failed
    assert not trial.found
    assert len(ran) <= 1 + lanes
    shared.close()


@pytest.mark.parametrize("lanes", [0, 1])
def test_other_errors_reach_who_asked_and_no_sample_is_begun_after(lanes: int) -> None:
    ran: list[int] = []

    def run(number: int) -> Alone:
        ran.append(number)
        raise ZeroDivisionError

    shared = Lanes(lanes)
    trial = Trial(Change(), range(100), run)
    with pytest.raises(ZeroDivisionError):
        trial.finish(shared)
    shared.close()
    assert len(ran) <= 1 + lanes


def test_enough_is_enough() -> None:
    trial = Trial(Change(), range(10), lambda _: NOTHING, lambda found: len(found) == 3)
    trial.finish(Lanes(0))
    assert sorted(trial.found) == [0, 1, 2]


def test_what_was_begun_is_dropped_when_the_lanes_close() -> None:
    lanes, gate, ran = Lanes(1), threading.Event(), list[int]()

    def run(number: int) -> Alone:
        ran.append(number)
        gate.wait(10)
        return NOTHING

    trials = [Trial(Change(), [0, 1, 2], run) for _ in range(3)]
    for trial in trials:
        trial.begin(lanes, Urgency.AHEAD)
    for trial in trials:
        trial.stop()
    gate.set()
    lanes.close()
    assert len(ran) <= 1
