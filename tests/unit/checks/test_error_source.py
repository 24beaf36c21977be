"""Where the error enters: sources with their victims, spread errors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from qdebug.analysis.what_if import Gain, Part
from qdebug.checks import CheckContext, join_layers
from qdebug.checks.check import run_check
from qdebug.checks.error_source import ERROR_SOURCE, Source, describe_sources, find_sources
from qdebug.run.model import OutputResult
from tests.support.checked import (
    finding,
    layer_names,
    sample_run,
    table_of,
)
from tests.support.contexts import FixedGains, check_context, measured

PART = Part("out")
EARLY = "/features/features.1/dw/conv/Conv"


def test_the_early_depthwise_is_the_source_and_later_layers_are_its_victims() -> None:
    """Fault 13: one channel of the first depthwise convolution is a hundred times the others."""
    run = sample_run("classifier-outlier-channel")
    assert layer_names(run, finding(run, "outlier-channel")) == [EARLY]
    source = next(layer for layer in run.layers if layer.name == EARLY)
    assert source.role == "source"
    (reader,) = source.outputs  # fed with float values, it still quantizes them
    after = run.layers[reader + 1 :]
    assert {layer.role for layer in after} == {"victim"}
    for victim in after:
        assert victim.local is not None
        assert victim.accumulated is not None
        assert victim.local.sqnr_db > 30
        assert victim.accumulated.sqnr_db < 3


def test_the_finding_names_the_source_first_and_lists_victims_under_it() -> None:
    run = sample_run("classifier-outlier-channel")
    found = finding(run, "error-source")
    assert layer_names(run, found)[0] == EARLY
    assert found.status == "info"
    assert found.seen.endswith("This follows from QD403 outlier-channel.")
    rows = table_of(found, "Sources")
    assert rows[0][:2] == [EARLY, "source"]
    assert {row[1] for row in rows[1:4]} == {"victim"}
    assert rows[0][4] > 20


def test_nothing_stands_out_in_a_sound_model() -> None:
    found = finding(sample_run("classifier-int8"), "error-source")
    assert found.status == "pass"


@pytest.mark.parametrize(
    ("gains", "victims", "title", "seen", "advice"),
    [
        pytest.param(
            [9.0],
            (3, 4),
            "The error enters at a",
            "9.0 dB; 2 layers after it with",
            "Keep `a` in float or give it 16 bits. Leave the victims",
            id="one layer makes most of it",
        ),
        pytest.param(
            [1.5, 1.0],
            (3,),
            "Less than half of the error enters at 2 layers, first of all at a",
            "1.5 dB; 1 layer after it with",
            "Keep `a`, `b` in float or give them 16 bits, which alone will not do. Leave",
            id="two layers make some of it",
        ),
        pytest.param(
            [1.0],
            (),
            "Less than half",
            "gains 1.0 dB.",
            "which alone will not do.",
            id="no victims",
        ),
    ],
)
def test_how_much_of_the_error_enters_at_the_sources_is_not_overstated(
    gains: list[float], victims: tuple[int, ...], title: str, seen: str, advice: str
) -> None:
    sources = [Source(at, Gain(PART, 10.0, 10.0 + db), victims) for at, db in enumerate(gains)]
    told = describe_sources("ab"[: len(gains)], sources, Gain(PART, 10.0, 10.0 + sum(gains)))
    assert told[0].startswith(title)
    assert seen in told[1]
    assert advice in told[2]
    assert ("victims" in told[2]) == bool(victims)


def chain(*local_db: float) -> CheckContext:
    """Layers one after the other, each with a local error, and what error reaches it."""
    signal = np.random.default_rng(1).normal(0, 1, (1, 2, 500))
    noise = np.random.default_rng(2).normal(0, 1, signal.shape)
    errors = [10 ** (-db / 20) for db in local_db]
    layers = [
        measured(
            f"t{at}",
            signal,
            signal + noise * np.sqrt(sum(e * e for e in errors[: at + 1])),
            local=signal + noise * error,
        )
        for at, error in enumerate(errors)
    ]
    context = check_context(layers)
    ends = len(layers) - 1
    records = [
        dataclasses.replace(
            x, inputs=(x.index - 1,) * (x.index > 0), outputs=(x.index + 1,) * (x.index < ends)
        )
        for x in context.layers
    ]
    stats = [layer.stats for layer in context.joined]
    output = OutputResult("out", records[-1].accumulated, "ok", layer=ends)
    joined = join_layers(context.pairing.pairs, stats, records)
    return dataclasses.replace(context, joined=joined, outputs=[output])


def sources_of(context: CheckContext, gains: dict[int, float]) -> list[tuple[int, tuple[int, ...]]]:
    """Each source that is found with its victims, given the gain of freeing each layer."""
    what_if = FixedGains(gains).as_what_if()
    found = find_sources(dataclasses.replace(context, what_if=what_if))
    return [(source.at, source.victims) for source in found]


def test_a_source_is_what_wins_and_what_follows_are_its_victims() -> None:
    context = chain(45, 8, 45, 45)
    assert [x.role for x in context.layers] == ["sound", "source", "victim", "victim"]
    assert sources_of(context, {1: 9.0, 2: 0.2}) == [(1, (2, 3))]


def test_an_input_s_quantizer_shows_in_the_layer_that_reads_it() -> None:
    assert sources_of(chain(45, 8, 45), {0: 6.0, 1: 0.1}) == [(0, (2,))]


def test_what_wins_less_than_a_decibel_is_no_source() -> None:
    assert sources_of(chain(45, 8, 45), {1: 0.9}) == []


def test_where_no_layer_wins_the_error_is_spread_and_the_better_remedy_told() -> None:
    what_if = FixedGains({at: 0.5 for at in range(3)}).as_what_if()
    context = dataclasses.replace(chain(10, 10, 10), what_if=what_if)
    (found,) = run_check(ERROR_SOURCE, context)
    assert found.status == "info"
    assert "1.5 dB without any quantized activation" in found.seen
    assert found.advice.startswith("Give activations 16 bits")
