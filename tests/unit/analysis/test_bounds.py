"""What a change can win at most, against what it wins."""

from __future__ import annotations

import numpy as np

from qdebug.analysis.what_if import Gain, Outcome, Part
from qdebug.analysis.what_if.bounds import Hope
from qdebug.analysis.what_if.changes import Alone, gain_at
from qdebug.metrics.moments import Moments, include, measure

PARTS = [Part("a"), Part("b", (0, 2)), Part("b", (1,))]


def _outcome(alone: list[Alone]) -> Outcome:
    moments: dict[str, Moments] = {}
    for parts in alone:
        for name, part in parts.items():
            include(moments, name, part)
    return Outcome(moments, tuple(alone))


def _sample(rng: np.random.Generator, scale: float, *, broken: bool = False) -> Alone:
    found = {}
    for name in ("a", "b"):
        f = np.random.default_rng(1).normal(size=(1, 3, 20)).astype(np.float32)
        q = f + rng.normal(0, scale * rng.uniform(0.5, 2), f.shape).astype(np.float32)
        q[0, 0, 0] = np.nan if broken else q[0, 0, 0]
        found[name] = measure(f, q, 1)
    return found


def test_what_is_ruled_out_does_not_come() -> None:
    """Whatever the samples, their order, the limit, and values that are not finite."""
    for seed in range(200):  # in one test: to begin one takes longer than this does
        assert _is_never_wrong(seed), f"seed {seed}"


def _is_never_wrong(seed: int) -> bool:
    rng = np.random.default_rng(seed)
    count, limit = int(rng.integers(1, 5)), float(rng.uniform(0, 6))
    kinds = [(before, float(rng.random() < 0.05)) for before in rng.uniform(0.1, 3, count)]
    before = _outcome([_sample(rng, at, broken=bool(nan)) for at, nan in kinds])
    factor = rng.uniform(0.3, 1.5)
    alone = [_sample(rng, at * factor, broken=rng.random() < 0.05) for at, _ in kinds]
    after = _outcome(alone)

    def matters(gain: Gain) -> bool:
        return gain.db >= limit

    hope = Hope(before, PARTS, matters)
    order = hope.in_order(range(count))
    assert sorted(order) == list(range(count))
    gone = [hope.is_gone({at: alone[at] for at in order[:ran]}) for ran in range(count + 1)]
    assert gone == sorted(gone)  # what is ruled out stays so
    assert not gone[0]
    return not (any(gone) and any(matters(gain_at(part, before, after)) for part in PARTS))


def test_half_of_the_samples_may_be_enough() -> None:
    rng = np.random.default_rng(0)
    scales = [0.1, 2.0, 0.1, 1.0]
    alone = [_sample(rng, scale) for scale in scales]
    hope = Hope(_outcome(alone), [Part("a")], lambda gain: gain.db >= 3)
    assert hope.in_order(range(4))[:2] == [1, 3]
    assert not hope.is_gone({0: alone[0], 2: alone[2]})
    assert hope.is_gone({1: alone[1], 3: alone[3]})
