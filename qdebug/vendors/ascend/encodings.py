"""Ascend AMCT: the record of scales, and its configuration.

Source: the protocol buffers of AMCT's manual. In a record a scale is a step:
``x = (code - offset) * scale``.
"""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import symmetric
from qdebug.errors import UsageError
from qdebug.graph.operators import WEIGHTED
from qdebug.graph.validity import name_of
from qdebug.vendors.ascend.deployed import OPERATORS, expand
from qdebug.vendors.encodings import (
    Beside,
    Change,
    Format,
    Target,
    ToolchainEncodings,
    Writer,
    Written,
)
from qdebug.vendors.prototxt import Message, parse, quoted
from qdebug.vendors.readers import Reads, once
from qdebug.vocabulary.numbers import plural

_TYPES = {"INT8": "int8", "INT16": "int16"}


def is_record(source: Source) -> bool:
    """Whether a file is a record."""
    head = source.head
    return "record" in head and "key" in head and ("scale_d" in head or "scale_w" in head)


def read_record(source: Source, beside: Beside) -> Encodings:
    """Read a record: of each layer its first input and its weight."""
    reads = Reads(beside.float_graph)
    records = parse(source).messages("record")
    return Encodings(source.checked(once([e for r in records for e in _record(source, r, reads)])))


def _record(source: Source, record: Message, reads: Reads) -> Iterator[Entry]:
    name = record.text("key")
    if not name:
        raise source.fault("a record has no key", record.line)
    for value in record.messages("value"):
        kind = value.text("dst_type", "INT8")
        if kind not in _TYPES:
            raise source.fault(f"{name_of(name)} has the type {name_of(kind)}", value.line)
        for part in "dw":
            scales = value.numbers(source, f"scale_{part}", name)
            offsets = value.numbers(source, f"offset_{part}", name) or [0.0]
            if not scales:
                continue
            if len(offsets) not in (1, len(scales)):
                whose = f"the scales and offsets of {name_of(name)}"
                raise source.fault(f"{whose} do not fit", value.line)
            zeros = [int(offset) for offset in offsets]
            if part == "d":
                encoding = Encoding.linear(_TYPES[kind], scales, zeros)
                yield reads.fed(name, 0, encoding, value.line)
            else:
                yield reads.weight(name, Encoding.linear("int8", scales, zeros), value.line)


def write_cfg(change: Change) -> Written:
    """AMCT's configuration: layers that it is to skip, and layers that it is not to cut.

    A range is not said by its ends. AMCT searches it between two multiples of the largest value: a
    tensor that has to hold more than it does is searched from that value on.
    """
    searched, left = _searched(change)
    if not change.keep and not searched:
        raise UsageError(
            "nothing is to be kept in float, and AMCT takes no range: it searches for one",
            "where a tensor has to hold more, its readers are told so: give the float model, "
            "--float FLOAT",
        )
    rows = [f"skip_layers : {quoted(layer.node)}" for layer in change.keep]
    rows += [_override(name) for name in searched]
    notes = ["add these lines to calibration.cfg; a layer that AMCT fuses keeps its first name"]
    if left:
        notes.append(
            f"{plural(left, 'better range is', 'better ranges are')} left out: AMCT can be told "
            "not to cut what a layer reads, and nothing else of a range"
        )
    return Written(("\n".join(rows) + "\n").encode(), tuple(notes))


def _searched(change: Change) -> tuple[list[str], int]:
    """Products that read a tensor with too small a range, and how many ranges are left out."""
    graph, found, left = change.float_graph, dict[str, None](), 0
    known = {e.name: e.encoding for e in change.encodings.entries if e.kind == "tensor"}
    skipped = {layer.node for layer in change.keep}
    for item in change.ranges:
        encoding = known.get(item.layer.tensor)
        readers = graph.readers.get(item.layer.tensor, []) if graph is not None else []
        names = [n.label for n in readers if n.op in WEIGHTED and n.label not in skipped]
        if encoding is None or not encoding.is_linear or not names:
            left += 1
            continue
        low, high = encoding.quantizer(0).real_range
        if item.low < low or item.high > high:
            found |= dict.fromkeys(names)
        else:
            left += 1
    return list(found), left


def _override(name: str) -> str:
    search = "search_range_start : 1.0 search_range_end : 1.3 search_step : 0.01"
    shares = "max_percentile : 1.0 min_percentile : 1.0"
    return (
        f"override_layer_configs : {{ layer_name : {quoted(name)} calibration_config : {{ "
        f"arq_quantize : {{ channel_wise : true }} ifmr_quantize : {{ {search} {shares} }} }} }}"
    )


ENCODINGS = ToolchainEncodings(
    formats=(Format("amct-record", "AMCT record", is_record, read_record),),
    writers=(Writer("cfg", "AMCT calibration.cfg", (".cfg",), write_cfg),),
    rules=Rules(
        simplify=True,
        weights=symmetric("int8"),
        rest="stays float: AMCT quantizes what a product reads",
        notes=("held against the manual only: no tensors of the vendor's program were at hand",),
    ),
    operators=OPERATORS,
    expand=expand,
    graph_title="Ascend AMCT deploy model",
    target=Target(wide=("float",), ranges=False),
)
