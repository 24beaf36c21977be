"""TIDL: its quantization prototxt, and the list of tensors with 16 bits.

Source: TI's description of the prototxt (``quant_params_proto_path``), with its protocol buffer and
an example, and the options of its ONNX Runtime provider. A scale is a multiplier, codes a unit, as
TIDL derived it of min and max: the example has 231 codes for the largest value. Only symmetric
quantization is described, so zero points are not read. No file of the vendor's own program was at
hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import symmetric
from qdebug.errors import UsageError
from qdebug.graph.qparams import code_range
from qdebug.graph.validity import name_of
from qdebug.vendors.encodings import (
    Beside,
    Change,
    Format,
    Target,
    ToolchainEncodings,
    Writer,
    Written,
)
from qdebug.vendors.prototxt import Message, Value, parse
from qdebug.vendors.readers import Reads, once, without_ranges
from qdebug.vocabulary.numbers import plural

_KEY = "output_feature_16bit_names_list"
_UNSET = 3.0e38
"""Ends of a range beyond this stand for none: the largest float32 is the default of both."""
_BITS = {"1": 8, "2": 16, "8": 8, "16": 16}
"""Width by ``bit_depth``, which the description has in bits and its example in bytes."""
_NET_FORMAT = r"_netFormat"
_ABLE = frozenset({"Conv", "BatchNormalization", "AveragePool", "GlobalAveragePool", "Add", "Mul"})
"""What can be given another precision; others follow what is before them."""


def write_wide(change: Change) -> Written:
    """``output_feature_16bit_names_list``: tensors of the original model, commas between."""
    if not change.keep:
        raise UsageError("nothing is to be kept out of 8 bits: there is nothing to write")
    names = [layer.tensor for layer in change.keep if layer.op in _ABLE]
    left = [layer.node for layer in change.keep if layer.op not in _ABLE]
    if not names:
        raise UsageError(
            "TIDL gives no other precision to these operators: they follow what is before them"
        )
    split = next((name for name in names if "," in name), None)
    if split is not None:
        raise UsageError(f"the tensor {split!r} has a comma in its name, which separates names")
    notes = (
        [
            f"not the whole fix: {plural(len(left), 'layer')} cannot stand in the list, since TIDL "
            f"gives the precision of what is before, the first of them {left[0]!r}"
        ]
        if left
        else []
    )
    if change.ranges:
        notes.append(f"{len(change.ranges)} better ranges are left out")
    text = f"advanced_options:output_feature_16bit_names_list = {', '.join(names)}\n"
    return Written(text.encode(), tuple(notes))


def is_params(source: Source) -> bool:
    """Whether a file is the prototxt of ranges."""
    return bool(re.search(r"layer_name\s*:", source.head)) and "outputs" in source.head


def is_list(source: Source) -> bool:
    """Whether a file is the list of tensors with 16 bits."""
    return _KEY in source.head


def read_params(source: Source, beside: Beside) -> Encodings:
    """Read the ranges of tensors and weights, and the 16-bit list beside them."""
    top = parse(source)
    if top.text("quant_type", "SYMMETRIC") != "SYMMETRIC":
        raise source.fault(
            "its quantization is asymmetric, of which TI says that TIDL does not read it"
        )
    wide = _listed(beside.second) if beside.second is not None else frozenset()
    reads = Reads(beside.float_graph)
    layers = top.messages("layers")
    entries = once([e for layer in layers for e in _layer(source, layer, reads, wide)])
    named = {entry.name for entry in entries}
    left = sorted(wide - named)
    notes = [f"{plural(len(left), 'tensor')} of the 16-bit list have no range"] if left else []
    told = top.text("num_layers")
    if told and told != str(len(layers)):
        raise source.fault(
            f"it says that it has {name_of(told)} layers, and holds {len(layers)}",
            hint="the file is cut off, or was edited by hand",
        )
    return Encodings(source.checked(entries), notes=tuple(notes))


def _listed(source: Source) -> frozenset[str]:
    """The tensors of a list, separated by commas."""
    if not is_list(source):
        raise source.fault(f"it is no {_KEY}", hint="beside the ranges, --qtable takes that list")
    _, _, text = (source.text or "").partition(_KEY)
    names = (name.strip() for name in text.lstrip(" '\":=").rstrip().strip("'\"").split(","))
    return frozenset(re.sub(f"{_NET_FORMAT}$", "", name) for name in names if name)


def _layer(source: Source, layer: Message, reads: Reads, wide: frozenset[str]) -> Iterator[Entry]:
    name = layer.text("layer_name")
    if not name:
        raise source.fault("a layer has no layer_name", layer.line)
    depth = layer.text("bit_depth", "8")
    if depth not in _BITS:
        raise source.fault(f"{name_of(name)} has the bit_depth {name_of(depth)}", layer.line)
    for item in layer.messages("outputs")[:1]:
        bits = 16 if re.sub(f"{_NET_FORMAT}$", "", name) in wide else _BITS[depth]
        scaled = bits == _BITS[depth]
        encoding = _encoding(source, name, item, bits, item.values("scale") if scaled else [])
        if encoding is not None:
            yield Entry(name, encoding, line=layer.line)
    for item in layer.messages("weights"):
        encoding = _encoding(source, name, item, _BITS[depth], item.values("scale"), signed=True)
        if encoding is not None:
            yield reads.weight(name, encoding, item.line)


def _encoding(
    source: Source,
    name: str,
    item: Message,
    bits: int,
    scaled: list[Value],
    *,
    signed: bool = False,
) -> Encoding | None:
    """The encoding of a range; None where it is not set."""
    low, high = (
        (item.numbers(source, end, name) or [sign * _UNSET * 2])[0]
        for end, sign in (("min", -1), ("max", 1))
    )
    if low > high:
        raise source.fault(f"the min of {name_of(name)} is above its max", item.line)
    if low < -_UNSET or high > _UNSET or low == high == 0:
        return None
    dtype = f"int{bits}" if signed or low < 0 else f"uint{bits}"
    per_unit = item.numbers(source, "scale", name) if scaled else []
    if not per_unit:
        return Encoding.linear(dtype, max(-low, high) / code_range(dtype)[1])
    if min(per_unit) <= 0:
        worst = f"a scale of {name_of(name)} is {min(per_unit):g}"
        raise source.fault(f"{worst}; it must be above zero", item.line)
    return Encoding.linear(dtype, [1 / value for value in per_unit])


ENCODINGS = ToolchainEncodings(
    formats=(
        Format("tidl-params", "TIDL quantization prototxt", is_params, read_params),
        Format(
            "tidl-16bit",
            "TIDL 16-bit list",
            is_list,
            without_ranges(
                "says which tensors get 16 bits",
                "give the prototxt of quant_params_proto_path as QUANT, and this list as --qtable",
            ),
        ),
    ),
    writers=(Writer("16bit", "TIDL 16-bit list", (".txt",), write_wide),),
    rules=Rules(
        simplify=True,
        weights=symmetric("int8"),
        suffixes=(_NET_FORMAT,),
        rest="stays float, or is a part of what TIDL computes as one layer",
        notes=("held against TI's description only: no file of its program was at hand",),
    ),
    target=Target(wide=("16",), ranges=False),
)
