"""Pausing the garbage collector leaves it as it was."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from qdebug import collector


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(collector, "_is_kept", threading.Event())
    frozen = gc.get_freeze_count()
    yield
    if not frozen:
        gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_inside_and_it_goes_on_after() -> None:
    with collector.paused():
        assert not gc.isenabled()
        with collector.paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_stays_off_where_it_was_off() -> None:
    gc.disable()
    with collector.paused():
        pass
    assert not gc.isenabled()


def test_an_error_inside_switches_it_on_again_and_keeps_nothing() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(ZeroDivisionError), collector.paused(keep=True):
        raise ZeroDivisionError
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_what_is_kept_is_visited_no_more_before_collections_go_on() -> None:
    visited = []
    gc.callbacks.append(lambda phase, info: visited.append((phase, info["generation"])))
    try:
        with collector.paused(keep=True):
            kept = [[number] for number in range(100_000)]
        assert len(gc.get_objects()) < len(kept)
        assert gc.get_freeze_count() >= len(kept)
        assert visited == []
    finally:
        gc.callbacks.pop()


def test_what_was_made_inside_is_old_afterwards() -> None:
    gc.unfreeze()
    gc.collect()
    with collector.paused():
        kept = [[number] for number in range(10_000)]
    young = {id(item) for generation in (0, 1) for item in gc.get_objects(generation)}
    assert gc.get_freeze_count() == 0
    assert not young.intersection(map(id, kept))


def test_what_was_kept_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector.paused(keep=True):
        pass
    monkeypatch.setattr(gc, "get_freeze_count", lambda: pytest.fail("every object was counted"))
    with collector.paused():
        pass
    assert gc.isenabled()


def test_what_a_program_has_frozen_stays_so() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with collector.paused():
        pass
    assert gc.get_freeze_count() == frozen


def test_collections_go_on_inside_for_as_long_as_they_are_resumed() -> None:
    with collector.paused():
        with collector.resumed():
            assert gc.isenabled()
        assert not gc.isenabled()
    with collector.resumed():
        assert gc.isenabled()
    assert gc.isenabled()
