"""Single tensors on demand: how many sessions that takes, and that they are the graph's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qdebug.capture import fetch
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import SessionSettings
from tests.support.pairs_of_models import LoadedPair, detector
from tests.support.running import run_tensors


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return detector("int8")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of tensors of each session that is opened."""
    found: list[int] = []
    real = Fetcher._open

    def counted(fetcher: Fetcher, tensors: tuple[str, ...]) -> Any:
        found.append(len(tensors))
        return real(fetcher, tensors)

    monkeypatch.setattr(Fetcher, "_open", counted)
    return found


def tensors(pair: LoadedPair, count: int) -> list[str]:
    return list(pair.float_graph.producer)[:count]


def test_tensors_are_fetched_so_many_at_once(pair: LoadedPair, opened: list[int]) -> None:
    names = tensors(pair, 150)
    found = Fetcher(pair.float_graph, SessionSettings()).values(names, pair.feeds[0])
    assert opened == [fetch.CHUNK, fetch.CHUNK, 150 - 2 * fetch.CHUNK]
    again = Fetcher(pair.float_graph, SessionSettings(), 200).values(names, pair.feeds[0])
    assert opened[3:] == [150]
    expected = run_tensors(pair.float_graph.path, pair.feeds[0], names)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)
        np.testing.assert_allclose(again[name], value, atol=1e-4)


def test_what_is_asked_for_one_after_the_other_is_run_when_it_comes_to_it(
    pair: LoadedPair, opened: list[int]
) -> None:
    names = tensors(pair, fetch.CHUNK + 1)
    fetcher, (given,) = Fetcher(pair.float_graph, SessionSettings()), pair.feeds[0]
    found = fetcher.each([given, *names], pair.feeds[0])
    assert next(found)[0] == given and not opened
    assert [next(found)[0] for _ in range(fetch.CHUNK)] == names[:-1]
    assert opened == [fetch.CHUNK]
    assert [name for name, _ in found] == names[-1:]


def test_the_sessions_of_the_last_calls_are_kept(pair: LoadedPair, opened: list[int]) -> None:
    fetcher = Fetcher(pair.float_graph, SessionSettings())
    first, second, third = ([name] for name in tensors(pair, 3))
    for names in (first, second, first, second, third, second, first):
        fetcher.values(names, pair.feeds[0])
    assert opened == [1] * 4  # the first one's was given up for the third
