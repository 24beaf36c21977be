"""TPU-MLIR's lowered text (``*_tpu.mlir``): what really runs.

Lowering carries thresholds along and replaces some, so where it differs from the calibration table,
the text is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.source import Source
from qdebug.vendors.encodings import Beside

_LOCATION = re.compile(r'^(#loc\d+) = loc\((?:"((?:[^"\\]|\\.)*)"|fused\[(.*)\])\)')
_OPERATION = re.compile(
    r'^\s*(%\S+) = "(tp[up]|top)\.(\w+)"\((.*?)\)(.*) -> (.*?)(?: loc\((#loc\d+)\))?\s*$'
)
QUANTIZED = re.compile(r"!quant\.uniform<([iu])(\d+):b?f\d+, ([0-9.eE+-]+)(?::(-?\d+))?>")
_REAL = re.compile(r"x(?:!quant\.calibrated<)?(b?f16)(?:<[^<>]*>>)?>$")
_TENSOR = re.compile(r"tensor<[^<>]*?(?:<[^<>]*(?:<[^<>]*>[^<>]*)*>)?[^<>]*>")
_HALF = {"f16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Operation:
    """One line of the text.

    Attributes:
        result: its value, ``%5``.
        dialect: ``tpu``, or ``top`` for what was not lowered.
        op: operator, for instance ``Conv2D``.
        operands: values it reads.
        text: attributes and types of the operands.
        types: of the results, as text.
        names: of the results, which are those of the calibration table.
        line: number, from 1.
    """

    result: str
    dialect: str
    op: str
    operands: tuple[str, ...]
    text: str
    types: tuple[str, ...]
    names: tuple[str, ...]
    line: int


def is_lowered(source: Source) -> bool:
    """Whether a file is TPU-MLIR's text after lowering."""
    return "module.chip" in source.head and "TPU_LOWERED" in source.head


def operations(text: str) -> Iterator[Operation]:
    """The operations that have a name, in execution order."""
    places = _places(text)
    for number, line in enumerate(text.splitlines(), 1):
        found = _OPERATION.match(line)
        if found is None:
            continue
        result, dialect, op, operands, rest, types, place = found.groups()
        names = places.get(place, ())
        if names:
            yield Operation(
                result.split(":")[0],
                dialect,
                op,
                tuple(word.split("#")[0] for word in operands.split(", ")),
                rest,
                tuple(_TENSOR.findall(types)),
                names,
                number,
            )


def _places(text: str) -> dict[str, tuple[str, ...]]:
    """Names by location; several where one operation has several results."""
    found: dict[str, tuple[str, ...]] = {}
    fused: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = _LOCATION.match(line)
        if match is None:
            continue
        key, name, parts = match.groups()
        if name is not None:
            found[key] = (name,)
        else:
            fused[key] = parts.split(", ")
    for key, places in fused.items():
        inner = (found.get(p, ()) if p.startswith("#") else (p.strip('"'),) for p in places)
        found[key] = tuple(name for names in inner for name in names)
    return found


def read_lowered(source: Source, beside: Beside) -> Encodings:
    """Read the encodings of a lowered text."""
    del beside
    entries: dict[tuple[str, str], Entry] = {}
    reals: dict[str, str] = {}
    """Name of an input, or of what is computed in float, by its value in the text."""
    requantized = 0
    for item in operations(source.text or ""):
        kind = item.types[0] if item.types else ""
        if item.dialect == "top" and item.op == "Input":
            reals[item.result] = item.names[0]
        elif item.op == "Cast":
            name = reals.get(item.operands[0])
            if name is not None:
                _take(entries, name, kind, item.line)
            else:
                requantized += "quant.uniform" in item.text and bool(QUANTIZED.search(kind))
        elif item.dialect == "tpu" and _is_copy(item, entries):
            requantized += 1
        elif item.dialect == "tpu":
            for name, found in zip(item.names, item.types, strict=False):
                _take(entries, name, found, item.line)
            if _REAL.search(kind):
                reals[item.result] = item.names[0]
    notes = (f"{requantized} tensors are coded again on the way; this is not simulated",)
    return Encodings(source.checked(list(entries.values())), notes=notes if requantized else ())


def _is_copy(item: Operation, entries: Mapping[tuple[str, str], Entry]) -> bool:
    """Whether a result is another one with a new scale for one reader: ``PRODUCER_to_READER``."""
    source, marker, _ = item.names[0].partition("_to_")
    return bool(marker) and ("tensor", source) in entries


def _take(entries: dict[tuple[str, str], Entry], name: str, kind: str, line: int) -> None:
    """Note how a tensor is held: in codes, or in float by the node that makes it."""
    found = QUANTIZED.search(kind)
    if found is not None:
        sign, bits, scale, zero = found.groups()
        dtype = f"{'u' if sign == 'u' else ''}int{bits}"
        encoding = Encoding.linear(dtype, float(scale), int(zero or 0))
        if bits in ("8", "16"):
            entries.setdefault(("tensor", name), Entry(name, encoding, line=line))
        return
    half = _REAL.search(kind)
    if half is not None:
        entry = Entry(name, Encoding(_HALF[half[1]]), "node", line=line)
        entries.setdefault(("node", name), entry)
