"""What a model was made of and what was cut off it, in sentences; for every form of report."""

from __future__ import annotations

from collections import Counter

from qdebug.run.model import CutInfo, EncodingsInfo, ModelInfo, Models
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import plural

_REASONS = 3
_OUTPUTS = 4
"""Tensors that are named, at most."""


def model_sentences(model: ModelInfo) -> list[str]:
    """What was cut off a model, and what it was made of; nothing of a graph that is whole."""
    return [*_cut(model.cut), *sentences(model.encodings)]


def model_rows(models: Models) -> list[tuple[str, str]]:
    """The same of both models, each with its side; what is said of both, once."""
    float_cut, quant_cut = _cut(models.float.cut), _cut(models.quant.cut)
    if float_cut and float_cut == quant_cut:
        rows = [("both", text) for text in float_cut]
    else:
        rows = [("float", text) for text in float_cut] + [("quant", text) for text in quant_cut]
    return [*rows, *(("quant", text) for text in sentences(models.quant.encodings))]


def _cut(info: CutInfo | None) -> list[str]:
    if info is None:
        return []
    foreign = ", ".join(map(visible, info.operators))
    why = f", since ONNX Runtime has no {foreign}" if info.operators else ""
    layers = f", {plural(info.layers, 'layer')} with weights among them" if info.layers else ""
    shown = ", ".join(map(visible, info.outputs[:_OUTPUTS]))
    more = f" and {len(info.outputs) - _OUTPUTS} more" if len(info.outputs) > _OUTPUTS else ""
    lines = [f"cut off at {shown}{more}{why}: {plural(info.nodes, 'node')} not compared{layers}"]
    if info.inputs:
        names = ", ".join(map(visible, info.inputs))
        lines.append(f"not fed any more: {names}, which only what was cut off reads")
    return lines


def sentences(info: EncodingsInfo | None) -> list[str]:
    """What was read, what of it found its place, why the rest did not, and what has no entry.

    Args:
        info: of the quant model; None where a graph was given: then there is nothing to say.
    """
    if info is None:
        return []
    lines = [f"{info.form}: {info.placed} of {plural(info.entries, 'entry', 'entries')} placed"]
    for reason, count in Counter(x.reason for x in info.unplaced).most_common(_REASONS):
        first = next(x.name for x in info.unplaced if x.reason == reason)
        more = f" and {count - 1} more" if count > 1 else ""
        lines.append(f"not used: {visible(first)}{more}: {visible(reason)}")
    rest = (f"{plural(item.tensors, 'tensor')}: {item.reason}" for item in info.rest)
    return [*lines, *(f"without an entry: {text}" for text in rest), *map(visible, info.notes)]
