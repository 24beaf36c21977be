"""``board-layer``: one layer of the board computes something else than the simulation."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext, JoinedLayer
from qdebug.checks.facts import board
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding
from qdebug.vocabulary.numbers import plural

_ROUNDS_DOWN = (-0.65, -0.35)
"""Mean difference, in steps, of a layer that rounds down where the simulation rounds to nearest:
half a step."""


def _applies(context: CheckContext) -> str | None:
    ends = {item[0].at for item in (*board.inputs(context), *board.outputs(context))}
    if any(joined.at not in ends for joined, _ in board.on_board(context)):
        return _unmeasured(context)
    return (
        "nothing but inputs and outputs is in the dump; dump all tensors to tell where the board "
        "leaves the simulation (`qdebug explain board` has each toolchain's command)"
    )


def _unmeasured(context: CheckContext) -> str | None:
    assert context.board is not None
    if board.is_other_table(context):
        return (
            "the board was built from other ranges than the simulation, so no layer computes the "
            "same; compare with the model that was quantized from the board's own table"
        )
    if context.board.left and not board.measured(context):
        return (
            "the board leaves the simulation, and the inputs of no layer where it does are in the "
            "dump as values or in codes of a known scale; dump all tensors, the model's input too"
        )
    return None


def _run(context: CheckContext) -> Iterator[Finding]:
    wrong = board.own_differences(context)
    if not wrong or board.is_other_build(context) or board.is_other_input(context):
        return
    joined, layer = wrong[0]
    on = f"On {layer.sample}, the worst of the samples: fed" if layer.sample else "Fed"
    others = f" {len(wrong) - 1} further layers do so too." if len(wrong) > 1 else ""
    # Another layer of the like may be meant; or its weights are coarse, which is no mistake.
    guessed = layer.mapped_by == "values" or (
        board.is_alone(context) and layer.own_steps is not None
    )
    yield LAYER.found(
        "warn" if guessed else "fail",
        f"{joined.name} ({joined.record.op}) computes something else on the board",
        f"{on} with the board's own inputs, {_apart(context, wrong[0])}. It is the first such "
        f"layer.{_in_front(context, joined)}{others}",
        f"Look at how the toolchain computes `{joined.name}`: rounding, saturation, the width of "
        "sums, the scale it really uses, padding. `qdebug extract` cuts the layer out for its "
        "makers.",
        layers=[item[0].at for item in wrong],
        evidence=[board.table(wrong)],
        confidence="medium" if guessed else "high",
    )


def _in_front(context: CheckContext, joined: JoinedLayer) -> str:
    """The layers in front of one that are run with it, for the dump has nothing of them."""
    known = {item.pair.float_tensor for item, _ in board.on_board(context)}
    own = joined.pair.float_tensor
    needed = context.float_graph.ancestors([own], known - {own})
    graph = context.float_graph
    parts = [
        item.name
        for item in context.joined
        if item.pair.float_tensor != own
        and (made := graph.producer.get(item.pair.float_tensor)) is not None
        and made.index in needed
    ]
    if not parts:
        return ""
    names = parts[0] if len(parts) == 1 else f"{parts[0]} to {parts[-1]}"
    told = plural(len(parts), "layer")
    return f" The dump has nothing alike {told} in front of it ({names}): one of them may be meant."


def _apart(context: CheckContext, item: board.On) -> str:
    """How far the simulated layer and the board's are apart."""
    layer = item[1]
    if layer.own_nonfinite:
        told = plural(layer.own_nonfinite, "value is", "values are")
        return f"the simulated layer gives numbers where {told} NaN or infinite on the board"
    assert layer.own is not None
    told = _told(context, item)
    return f"the simulated layer and the board's agree to {layer.own.sqnr_db:.1f} dB{told}"


def _told(context: CheckContext, item: board.On) -> str:
    """What differs, as far as a factor and an offset tell it."""
    layer, parts = item[1], []
    if layer.own_steps is not None:
        parts.append(f"{layer.own_steps:.1f} steps of its quantizer in the mean")
    if board.has_other_scale(context, item):
        parts.append(f"its codes are worth {layer.own_gain:.3f} times what the simulation's are")
    elif board.has_factor(layer):
        parts.append(f"its values are {layer.own_gain:.3f} times the simulation's")
    offset = layer.own_offset_steps
    if offset is not None and _ROUNDS_DOWN[0] <= offset <= _ROUNDS_DOWN[1]:
        parts.append("half a step lower in the mean: it rounds down")
    return f", {', '.join(parts)}" if parts else ""


LAYER = Check(KINDS["board-layer"], _run, _applies, wanted=board.given)
