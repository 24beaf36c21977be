"""What a tab of the detail pane is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style

from qdebug.run.model import Layer, Run
from qdebug.tui.context import Look, Session
from qdebug.vocabulary.states import BROKEN


@dataclass(frozen=True)
class View:
    """A layer and the room there is.

    Attributes:
        session: the run and the user's choices.
        layer: the layer.
        width: cells.
        height: lines seen at once; tabs may give more.
        look: how to draw.
        log: histograms with logarithmic counts.
    """

    session: Session
    layer: Layer
    width: int
    height: int
    look: Look
    log: bool = False

    @property
    def run(self) -> Run:
        """The run."""
        return self.session.run


def layer_glyph(layer: Layer, look: Look) -> tuple[str, Style]:
    """What stands before a layer: broken, not compared, source, victim, or nothing."""
    glyphs, palette = look.glyphs, look.palette
    if layer.state in BROKEN:
        return glyphs.broken, palette.bad
    if layer.state == "not_compared":
        return glyphs.not_compared, palette.dim
    if layer.role == "source":
        return glyphs.source, palette.bad
    if layer.role == "victim":
        return glyphs.victim, palette.warn
    return glyphs.sound, palette.text
