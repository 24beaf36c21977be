"""What every screen shares: how things look, and what is known and chosen about the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from qdebug.run.arrays import RunArrays
from qdebug.run.filter import LayerIndex
from qdebug.run.gates import gate_of
from qdebug.run.model import Finding, Layer, Run
from qdebug.run.outcome import Outcome, outcome_of
from qdebug.tui.glyphs import Glyphs
from qdebug.tui.palette import Palette

Precision = Literal["float", "int16"]
_NEXT_PICK: Mapping[Precision | None, Precision | None] = {
    None: "float",
    "float": "int16",
    "int16": None,
}
PICK_WORDS: Mapping[Precision | None, str] = {
    None: "off the list",
    "float": "on the list: float",
    "int16": "on the list: 16 bits",
}


@dataclass
class Look:
    """How things are drawn; changes when the theme does."""

    glyphs: Glyphs
    palette: Palette


@dataclass
class Session:
    """One open run and what the user chose in it.

    Attributes:
        run: the run.
        path: where it was read from; None for a run in memory.
        marks: indices of marked layers.
        picks: layers to leave out of 8 bits, by index, and what they become.
        input_seen: whether the input screen was looked at since the run was opened.
    """

    run: Run
    path: Path | None = None
    marks: set[int] = field(default_factory=set)
    picks: dict[int, Precision] = field(default_factory=dict)
    input_seen: bool = False

    def cycle_picks(self, indices: Sequence[int]) -> Precision | None:
        """Float, 16 bits, off the list again: the same for all of them, by the first one."""
        after = _NEXT_PICK[self.picks.get(indices[0])] if indices else None
        for index in indices:
            self.picks.pop(index, None)
            if after is not None:
                self.picks[index] = after
        return after

    @cached_property
    def index(self) -> LayerIndex:
        """The layers' fields as columns."""
        return LayerIndex(self.run.layers, self.run.findings)

    @cached_property
    def outcome(self) -> Outcome:
        """What came of it, as every report says it."""
        return outcome_of(self.run)

    @cached_property
    def arrays(self) -> RunArrays:
        """Histograms and channels, read once.

        Raises:
            RunError: the file is damaged.
        """
        return self.run.arrays

    @cached_property
    def findings_of(self) -> dict[int, list[Finding]]:
        """Findings to look at, by the layers they name."""
        named: dict[int, list[Finding]] = {}
        for finding in self.run.findings:
            if finding.status not in ("pass", "not_applicable"):
                for layer in finding.layers:
                    named.setdefault(layer, []).append(finding)
        return named

    @property
    def input_findings(self) -> list[Finding]:
        """Findings about the input, passed ones included."""
        return [f for f in self.run.findings if gate_of(f) == "input"]

    @property
    def input_alarms(self) -> list[Finding]:
        """Findings about the input that fail or warn."""
        return [f for f in self.input_findings if f.status in ("fail", "warn")]

    @property
    def input_failed(self) -> bool:
        """Whether the verdict stands at the input gate."""
        return self.run.verdict.status == "fail" and self.run.verdict.gate == "input"

    @cached_property
    def position(self) -> dict[int, int]:
        """Place in ``run.layers`` by a layer's index."""
        return {layer.index: place for place, layer in enumerate(self.run.layers)}

    def layer(self, index: int) -> Layer | None:
        """The layer with that index, if there is one."""
        place = self.position.get(index)
        return None if place is None else self.run.layers[place]
