"""ESP-PPQ: the json beside an exported graph, and its dispatching table.

Source: a json that esp-ppq 1.3.12 wrote. Its native file is a pickle, which is never opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.errors import UsageError
from qdebug.graph.model import Graph, Node
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

_FLOAT = "FP32"
_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
_WIDTHS = (8, 16, 32)


def is_json(source: Source) -> bool:
    """Whether a file is such a json."""
    content = source.json if '"configs"' in source.head else None
    return isinstance(content, dict) and {"configs", "values"} <= content.keys()


def is_pickle(source: Source) -> bool:
    """Whether a file is a pickle, as the native file is; by its first bytes."""
    return source.content[:1] == b"\x80" and source.content[1:2] in _PROTOCOLS


def refuse_pickle(source: Source, beside: Beside) -> Encodings:
    """Refuse a pickle: reading one runs what is in it."""
    del beside
    raise source.fault(
        "it is a pickle, which is never opened: reading one runs whatever is in it",
        hint="export the json: export_ppq_graph(..., config_save_to=...)",
    )


def read_json(source: Source, beside: Beside) -> Encodings:
    """Read scales by operator; what ESP-PPQ renamed is found by its place among the operands."""
    nodes = {node.label: node for node in beside.float_graph.nodes}
    entries: dict[tuple[str, str], Entry] = {}
    for op, operands in source.json["configs"].items():
        for entry in _operands(source, operands, nodes.get(op), beside.float_graph):
            entries.setdefault((entry.kind, entry.name), entry)
    return Encodings(source.checked(list(entries.values())))


def _operands(
    source: Source,
    operands: Mapping[str, Mapping[str, Any]],
    node: Node | None,
    graph: Graph,
) -> Iterator[Entry]:
    places = [*filter(None, node.inputs), *filter(None, node.outputs)] if node else []
    for at, (name, config) in enumerate(operands.items()):
        if config["state"] == _FLOAT:
            continue
        place = places[at] if len(places) == len(operands) else name
        kind: Any = "weight" if graph.is_constant(place) else "tensor"
        if str(config["dominator"]) not in source.json["values"]:
            continue  # of a fused activation, which the json leaves out
        yield Entry(place, _encoding(source, name, config), kind)


def _encoding(source: Source, name: str, config: Mapping[str, Any]) -> Encoding:
    value = source.json["values"][str(config["dominator"])]
    signed = config["quant_min"] < 0
    width = next((bits for bits in _WIDTHS if bits >= config["bit_width"]), 32)
    scales = _numbers(source, value["scale"], f"the scale of {name_of(name)}")
    zeros = _numbers(source, value["zero_point"], f"the zero point of {name_of(name)}")
    dtype = f"{'' if signed else 'u'}int{width}"
    narrow = signed and config["quant_min"] == -(2 ** (width - 1)) + 1
    return Encoding.linear(dtype, scales, [int(zero) for zero in zeros], narrow=narrow)


def _numbers(source: Source, value: Any, what: str) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return [source.number(str(item), what) for item in values]


def write_dispatching(change: Change) -> Written:
    """Lines of Python for the dispatching table: 16 bits for the layers."""
    if not change.keep:
        raise UsageError(
            "nothing is to be kept out of 8 bits: there is nothing to write",
            "ESP-PPQ takes no ranges; the encodings go as AIMET's: --vendor aimet",
        )
    rows = [
        f"quant_setting.dispatching_table.append({layer.node!r}, get_target_platform(TARGET, 16))"
        for layer in change.keep
    ]
    notes = ["TARGET is the chip, for instance 'esp32p4'; a Clip behind a layer needs a line, too"]
    if change.ranges:
        notes.append(f"{len(change.ranges)} better ranges are left out: ESP-PPQ takes none")
    return Written(("\n".join(rows) + "\n").encode(), tuple(notes))


ENCODINGS = ToolchainEncodings(
    formats=(
        Format("ppq-json", "ESP-PPQ json", is_json, read_json),
        Format("ppq-native", "ESP-PPQ native file", is_pickle, refuse_pickle),
    ),
    writers=(Writer("dispatching", "ESP-PPQ dispatching table", (".py",), write_dispatching),),
    rules=Rules(
        notes=(
            "where an activation is fused the json holds no scale, and the tensor is float here: "
            "the QDQ graph that ESP-PPQ exports beside it holds all",
        ),
        fuses=frozenset({"Relu", "Clip"}),
        made={r"PPQ_Variable_\d+": "ESP-PPQ makes this tensor when it rewrites the graph"},
        rest="stays float, or is computed with what is before it",
    ),
    target=Target(wide=("16",), ranges=False, symmetric=True, power_of_two=True),
)
