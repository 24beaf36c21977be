"""Shares of units that no gradient reaches: each alone at 8 bits, measured at the outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qdebug.capture.session import SessionSettings
from qdebug.cure.loss import Loss
from qdebug.cure.network import Engine, Network
from qdebug.cure.predict import Prediction, Shares
from qdebug.cure.sites import expanded

Feeds = Mapping[str, Any]
PICTURES = 2
"""Pictures that a unit is measured on; by judgement."""


def measured_alone(
    network: Network,
    prediction: Prediction,
    pictures: Sequence[tuple[Feeds, Mapping[str, Any]]],
    loss: Loss,
    settings: SessionSettings,
    check: Callable[[], None],
) -> tuple[list[Shares], int]:
    """The shares, with what was measured put in, and the number of runs it took.

    Args:
        network: the pair of graphs.
        prediction: of the units that are reached.
        pictures: of the search: feeds of the quant graph and the float model's values.
        loss: what an error costs.
        settings: how to run the quant graph.
        check: raises where the work is to stop.
    """
    shares = list(prediction.shares)
    open_ones = [
        at for at, s in enumerate(shares) if s.whole is None and prediction.given[at].bits == 8
    ]
    if not open_ones:
        return shares, 0
    engine = Engine(network, loss.tensors, settings=settings)
    wide = prediction.wide(16)
    chosen = pictures[:PICTURES]
    weights = [loss.weights(reference) for _, reference in chosen]

    def cost(config: Any) -> float:
        losses = []
        for (feeds, reference), weight in zip(chosen, weights, strict=True):
            check()
            losses.append(loss.value(reference, engine.run(feeds, config), weight))
        return sum(losses) / len(losses)

    floor = cost(expanded(prediction.units, wide))
    for at in open_ones:
        settings_of = (*wide[:at], prediction.given[at], *wide[at + 1 :])
        alone = max(cost(expanded(prediction.units, settings_of)) - floor, 0.0)
        shares[at] = dataclasses.replace(shares[at], alone=alone)
    return shares, engine.runs
