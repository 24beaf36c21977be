"""``board-layout``: the board's outputs lie otherwise than who decodes them may think."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext, JoinedLayer
from qdebug.checks.facts import board
from qdebug.run.board_results import PLAIN_LAYOUTS, BoardLayer
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding

_SOURCES = {
    "dump": "as the dump says",
    "quantizer": "the simulation's step",
    "fitted": "fitted: no known scale holds",
}


def _run(context: CheckContext) -> Iterator[Finding]:
    assert context.board is not None
    for joined, layer in board.outputs(context):
        other = context.board.exchanged.get(joined.at)
        if other is not None:
            yield _exchanged(context, joined, layer, other)
        elif layer.state == "compared" and not _lies_plainly(layer):
            yield _otherwise(joined, layer)


def _lies_plainly(layer: BoardLayer) -> bool:
    return layer.layout in PLAIN_LAYOUTS and layer.scale is None


def _exchanged(
    context: CheckContext, joined: JoinedLayer, layer: BoardLayer, other: int
) -> Finding:
    name, named = joined.pair.float_tensor, context.layer(other).pair.float_tensor
    return LAYOUT.found(
        "fail",
        f"The board's {layer.tensor} is the output {named}",
        f"{layer.tensor} of the dump has the name of {name} and the values of {named}: the board's "
        "outputs stand in another order.",
        f"Read `{named}` where `{name}` is read now, by name, not by position.",
        layers=[joined.at, other],
        confidence="high",
    )


def _otherwise(joined: JoinedLayer, layer: BoardLayer) -> Finding:
    is_plain, name = layer.layout in PLAIN_LAYOUTS, joined.pair.float_tensor
    parts = [] if is_plain else [f"lies as {layer.layout}"]
    steps = [] if is_plain else [f"bring it from {layer.layout} into the model's layout"]
    if layer.scale is not None:
        parts.append(f"holds codes worth {layer.scale:.6g} each ({_SOURCES[layer.scale_from]})")
        steps.append("turn its codes into values with that scale")
    agreed = layer.against_quant.sqnr_db if layer.against_quant is not None else 0.0
    return LAYOUT.found(
        "warn",
        f"The board's output {name} {' and '.join(parts)}",
        f"{layer.tensor} of the dump {' and '.join(parts)}; read so, it agrees with the simulation "
        f"to {agreed:.1f} dB.",
        f"Before decoding `{name}` on the board: {', and '.join(steps)}.",
        layers=[joined.at],
        evidence=[board.table([(joined, layer)])],
        confidence="high",
    )


LAYOUT = Check(KINDS["board-layout"], _run, wanted=board.given)
