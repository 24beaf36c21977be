"""RKNN: lines for a cfg. Step 2 refuses a cfg in which anything else has changed."""

from __future__ import annotations

import re

from qdebug.errors import UsageError
from qdebug.graph.validity import name_of
from qdebug.vendors.advice import FloatLayer
from qdebug.vendors.encodings import Change, Written
from qdebug.vendors.rknn.cfg import CUSTOM, Cfg, is_cfg, read_cfg
from qdebug.vendors.yaml_text import inserted
from qdebug.vocabulary.numbers import plural

_TOOLKIT_NAME = re.compile(
    r"(?:_sw|_mm|_rs|_expand|_int8|_to_int8|_to_float16|_float16)$|#|-rs|rs-|__"
)
_FIXED_OPS = frozenset(
    "ReduceMean ReduceMax ReduceSum GlobalAveragePool GlobalMaxPool Reshape Squeeze Unsqueeze "
    "Transpose Concat Slice Gather Split".split()
)
"""Step 2 may say of these that they are not allowed to be modified; it does not always."""


def write_cfg(change: Change) -> Written:
    """The cfg of step 1 with lines for the layers to keep in float16; the rest byte for byte."""
    base = change.base
    if not change.keep:
        if change.ranges:
            raise UsageError(
                "the ranges of RKNN's cfg must not be edited: step 2 refuses that",
                "calibrate again with another quantized_algorithm",
            )
        if base is not None and is_cfg(base):
            return Written(base.content)
        raise UsageError("nothing is to be kept out of 8 bits: there is nothing to write")
    if base is None or not is_cfg(base):
        raise UsageError(
            "RKNN takes its own cfg only, with lines added",
            "give the cfg that hybrid_quantization_step1 wrote: --names model.quantization.cfg",
        )
    cfg = read_cfg(base)
    wanted = [(layer, _key(layer, cfg)) for layer in change.keep]
    missing = [layer.tensor for layer, key in wanted if key is None]
    keys = {key: layer for layer, key in wanted if key is not None and key not in cfg.custom}
    notes = [*_missing(missing), *_warnings(keys)]
    if change.ranges:
        notes.append(f"{len(change.ranges)} better ranges are left out: step 2 refuses them")
    text = inserted(base.text or "", CUSTOM, [(key, "float16") for key in keys])
    return Written(text.encode(), tuple(notes))


def _key(layer: FloatLayer, cfg: Cfg) -> str | None:
    """The name of a layer in the cfg: its tensor's, else one that RKNN made of that."""
    if layer.tensor in cfg.parameters:
        return layer.tensor
    rest = re.compile(re.escape(layer.tensor) + r"(?:[-_](?:rs|mm|int8|expand))+")
    made = [name for name in cfg.parameters if rest.fullmatch(name)]
    return made[0] if len(made) == 1 else None


def _missing(tensors: list[str]) -> list[str]:
    if not tensors:
        return []
    count = plural(len(tensors), "layer has", "layers have")
    return [
        f"{count} no entry in the cfg, the first of them {name_of(tensors[0])}: RKNN "
        "computes them as a part of another layer, or under another name"
    ]


def _warnings(keys: dict[str, FloatLayer]) -> list[str]:
    """Names of which step 2 may say that they are not allowed to be modified."""
    doubtful = [
        name for name, layer in keys.items() if _TOOLKIT_NAME.search(name) or layer.op in _FIXED_OPS
    ]
    if not doubtful:
        return []
    shown = ", ".join(map(name_of, doubtful[:3])) + (", ..." if len(doubtful) > 3 else "")
    return [
        f"step 2 may refuse {len(doubtful)} of these names as not allowed to be modified: {shown}; "
        "take out the lines that it names"
    ]
