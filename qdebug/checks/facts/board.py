"""Facts about the board beside the simulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qdebug.board.outcome import LEAST_INPUT_DB
from qdebug.checks.context import CheckContext, JoinedLayer
from qdebug.run.board_results import BoardDump, BoardLayer
from qdebug.run.model import ErrorMetrics, Evidence

On = tuple[JoinedLayer, BoardLayer]
"""A layer, and the same on the board."""

MOST_STEPS = 1.5
"""Root mean square, in steps, up to which a layer's own difference is arithmetic: toolchains round
half away or down, and rescale by a multiplier and a shift (TPU-MLIR's of 7 bits: up to 1 %), which
moves single codes by one."""
MOST_GAIN = 0.015
"""A layer's own result may be this much larger or smaller, as a share: TPU-MLIR's Add rescales each
input by a multiplier that is up to 1 % off."""
MOST_GAIN_STEPS = 1.0
"""What a factor makes of the largest value, in steps, up to which it may come from rounding: the
simulation and the board each round by half a step at most, and where a tensor takes few of its
codes that looks like a factor (17 codes of TPU-MLIR's Add: 1.7 %)."""
_OF_THE_SCALE = 0.1
"""How near a factor is to that of the two grids, as a share of its distance from 1, where the codes
are the same and another scale makes values of them. By judgement: such codes give it exactly."""
LEAST_DB = 30.0
"""The same for a layer without a quantizer, as SQNR: far below float16's noise of one operation. By
judgement."""
_MOST_STEPS_ALONE, _LEAST_DB_ALONE = 3.0, 15.0
"""Without a quantized model, what rounding a layer's weights costs is not known: a layer is named
from so many steps and below so many dB, where more than its resolution is wrong. By judgement."""
_MOST_SHARE, _FEWEST_BUILD = 0.5, 4
"""Where more of the layers than this share, and so many at least, compute something else, it is
another model. By judgement."""
_UNLIKE, _FEWEST_UNLIKE = 0.8, 4
"""Share of the tensors, and their number, that are alike nothing in a dump of another input. By
judgement."""
_ROWS = 8
MATCHED = {
    "name": "by its name",
    "number": "by its number",
    "first": "as the only dump",
    "run": "as it was run on it here",
}
"""How a dump was given to its sample, in words."""


def given(context: CheckContext) -> bool:
    """Whether a dump was given."""
    return context.board is not None


def is_alone(context: CheckContext) -> bool:
    """Whether there is no quantized model: the board stands beside the float model only."""
    return context.float_graph.sha256 == context.quant_graph.sha256


def on_board(context: CheckContext) -> Iterator[On]:
    """The layers that were compared on the board, in execution order."""
    assert context.board is not None
    for joined in context.joined:
        layer = context.board.layers.get(joined.at)
        if layer is not None and layer.state in ("compared", "not_alike"):
            yield joined, layer


def inputs(context: CheckContext) -> list[On]:
    """The model's inputs in the dump."""
    names = set(context.float_graph.inputs)
    return [item for item in on_board(context) if item[0].pair.float_tensor in names]


def outputs(context: CheckContext) -> list[On]:
    """The model's outputs in the dump."""
    names = set(context.float_graph.outputs)
    return [item for item in on_board(context) if item[0].pair.float_tensor in names]


def other_inputs(context: CheckContext) -> list[On]:
    """The model's inputs that are others in the dump than what the models were fed."""
    return [
        item
        for item in inputs(context)
        if item[1].against_quant is not None and item[1].against_quant.sqnr_db < LEAST_INPUT_DB
    ]


def misplaced(context: CheckContext) -> list[BoardDump]:
    """Dumps whose values fit another sample better than the one they were taken for."""
    assert context.board is not None
    return [dump for dump in context.board.info.dumps if dump.fits]


def unlike(context: CheckContext) -> list[On]:
    """The tensors that are alike nothing in either model, where nearly all are."""
    layers = list(on_board(context))
    found = [item for item in layers if item[1].state == "not_alike"]
    return found if len(found) >= max(_FEWEST_UNLIKE, _UNLIKE * len(layers)) else []


def is_other_input(context: CheckContext) -> bool:
    """Whether the dump is of another input, so that even how its tensors lie is not known."""
    if misplaced(context):
        return True
    return bool(unlike(context)) and (not inputs(context) or bool(other_inputs(context)))


def measured(context: CheckContext) -> list[On]:
    """Layers whose inputs are in the dump too."""
    return [i for i in on_board(context) if i[1].own is not None or i[1].own_nonfinite]


def own_differences(context: CheckContext) -> list[On]:
    """Layers that compute something else than the simulation from the same inputs."""
    if is_alone(context):
        return [item for item in measured(context) if _differs_from_float(item[1])]
    return [i for i in measured(context) if differs(i[1]) or has_other_scale(context, i)]


def _differs_from_float(layer: BoardLayer) -> bool:
    """Whether a layer of the board is more apart from the float one than quantizing it explains."""
    if layer.own_nonfinite:
        return True
    if layer.own is None:
        return False
    if layer.own_steps is None:
        return layer.own.sqnr_db < LEAST_DB
    return layer.own_steps > _MOST_STEPS_ALONE and layer.own.sqnr_db < _LEAST_DB_ALONE


def differs(layer: BoardLayer) -> bool:
    """Whether a layer's own difference is more than another arithmetic explains."""
    if layer.own_nonfinite:
        return True
    if layer.own is None:
        return False
    if has_factor(layer):
        return True
    if layer.own_steps is None:
        return layer.own.sqnr_db < LEAST_DB
    return layer.own_steps > MOST_STEPS


def has_factor(layer: BoardLayer) -> bool:
    """Whether a layer's values are larger or smaller than rounding can make them."""
    if layer.own_gain is None or abs(layer.own_gain - 1) <= MOST_GAIN:
        return False
    return layer.own_gain_steps is None or layer.own_gain_steps > MOST_GAIN_STEPS


def has_other_scale(context: CheckContext, item: On) -> bool:
    """Whether a layer's codes are the simulation's, and what they are worth is another.

    However small the values are: rounding makes no factor that is the ratio of the two grids.
    """
    layer, step = item[1], _step(context, item)
    if layer.own_gain is None or layer.step is None or step is None:
        return False
    if abs(layer.own_gain - 1) <= MOST_GAIN:
        return False
    return abs(layer.own_gain - layer.step / step) < _OF_THE_SCALE * abs(layer.own_gain - 1)


def other_steps(context: CheckContext) -> list[On]:
    """Layers whose values lie on another grid on the board than in the simulation."""
    return [item for item in _with_steps(context) if _on_other_grid(context, item)]


def only_there(context: CheckContext) -> list[On]:
    """Layers that the board rounds to a grid, at a price, and that stay float in the simulation."""
    assert context.board is not None
    if is_alone(context):
        return []
    return [
        item
        for item in measured(context)
        if item[1].step is not None
        and item[0].at not in context.board.steps
        and item[1].own is not None
        and item[1].own.sqnr_db < LEAST_DB
        and not differs(item[1])
    ]


def is_other_table(context: CheckContext) -> bool:
    """Whether the board was built from other ranges: nothing of a layer's own is known then."""
    count, others = len(_with_steps(context)), len(other_steps(context))
    return others >= _FEWEST_BUILD and others > _MOST_SHARE * count


def _with_steps(context: CheckContext) -> list[On]:
    found = on_board(context)
    return [i for i in found if i[1].step is not None and _step(context, i) is not None]


def _on_other_grid(context: CheckContext, item: On) -> bool:
    step = _step(context, item)
    assert item[1].step is not None
    assert step is not None
    return abs(item[1].step / step - 1) > MOST_GAIN


def _step(context: CheckContext, item: On) -> float | None:
    """Of the simulation's quantizer."""
    assert context.board is not None
    return context.board.steps.get(item[0].at)


def is_other_build(context: CheckContext) -> bool:
    """Whether most layers compute something else."""
    count, wrong = len(list(on_board(context))), len(own_differences(context))
    return wrong >= _FEWEST_BUILD and wrong > _MOST_SHARE * count


def table(items: Sequence[On]) -> Evidence:
    """Layers with their distances."""
    rows = [
        [
            f"#{joined.at} {joined.name or joined.pair.float_tensor}",
            joined.record.op,
            _db(layer.against_quant),
            _db(layer.against_float),
            _db(joined.record.accumulated),
            _db(layer.own),
        ]
        for joined, layer in items[:_ROWS]
    ]
    columns = [
        "layer",
        "op",
        "board to simulation, dB",
        "board to float, dB",
        "simulation to float, dB",
        "its own, dB",
    ]
    return Evidence("table", "SQNR of the layers on the board", {"columns": columns, "rows": rows})


def _db(metrics: ErrorMetrics | None) -> float | None:
    return None if metrics is None else round(metrics.sqnr_db, 1)
