"""AIMET: encodings as JSON, which are qdebug's own file, too."""

from __future__ import annotations

from qdebug.encodings.aimet import Version, is_aimet, read_aimet, write_aimet
from qdebug.encodings.model import Encodings
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.vendors.encodings import (
    Beside,
    Change,
    Format,
    Target,
    ToolchainEncodings,
    Writer,
    Written,
)


def read(source: Source, beside: Beside) -> Encodings:
    """Read encodings of any version; names are those of the exported ONNX model."""
    del beside
    return read_aimet(source)


def _writer(version: Version) -> Writer:
    def write(change: Change) -> Written:
        encodings = change.changed()
        lost = [x for x in encodings.entries if x.readers or x.kind == "node"]
        notes = []
        if lost and version != "2.0.0":
            notes.append(f"{len(lost)} entries for single readers or nodes have no form in it")
        if change.keep:
            notes.append(f"{len(change.keep)} tensors get 16 bits over their own range")
        return Written(write_aimet(encodings, version), tuple(notes))

    return Writer(f"encodings-{version}", f"AIMET encodings {version}", (), write)


_NEWEST = _writer("2.0.0")

ENCODINGS = ToolchainEncodings(
    formats=(Format("encodings", "AIMET encodings", is_aimet, read),),
    writers=(
        Writer("encodings", _NEWEST.title, (".json", ".encodings"), _NEWEST.write),
        _writer("1.0.0"),
        _writer("0.6.1"),
    ),
    rules=Rules(rest="stays float: AIMET quantizes what has an entry"),
    target=Target(wide=("16", "float")),
)
