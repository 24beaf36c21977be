"""RKNN-Toolkit2's ``error_analysis.txt``: how far each layer of the simulator is off.

Source: files that RKNN-Toolkit2 2.5.0 wrote. A row without numbers is a tensor that is computed as
a part of the layer behind it, which its cfg does not say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qdebug.encodings.source import Source
from qdebug.graph.validity import name_of

FUSED = "RKNN computes it with the layer behind it: its row in the analysis has no numbers"
_ROW = re.compile(r"^\[(?P<op>\w+)\] (?P<name>\S+)(?P<rest>.*)$")
_NUMBER = re.compile(r"\d+\.\d{1,5}")
"""Wide numbers run together (``2485.576420.99998``): each has five decimals."""


@dataclass(frozen=True)
class Analysis:
    """An analysis.

    Attributes:
        fused: tensors that are parts of others.
        note: what it says of the layers, one sentence.
    """

    fused: frozenset[str]
    note: str


def is_analysis(source: Source) -> bool:
    """Whether a file is an error analysis."""
    return "simulator_error" in source.head and "layer_name" in source.head


def read_analysis(source: Source) -> Analysis:
    """Read an analysis.

    Raises:
        EncodingsError: it is none, or has no rows.
    """
    if not is_analysis(source):
        raise source.fault(
            "it is no error_analysis.txt", hint="beside a cfg, --qtable takes that file only"
        )
    rows = [found for _, line in source.lines() if (found := _ROW.match(line)) is not None]
    if not rows:
        raise source.fault("it has no rows", hint="the file is cut off")
    numbers = {row["name"]: _NUMBER.findall(row["rest"]) for row in rows}
    alone = {name: float(found[2]) for name, found in numbers.items() if len(found) >= 4}
    fused = frozenset(name for name, found in numbers.items() if not found)
    worst = sorted(alone, key=lambda name: alone[name])[:3]
    told = ", ".join(f"{name_of(name)} at {alone[name]:.5f}" for name in worst)
    return Analysis(fused, f"RKNN's own analysis: least cosine of single layers {told}")
