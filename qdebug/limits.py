"""Limits that single layers must hold, by name pattern."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdebug.run.model import Layer, Limit


@dataclass(frozen=True)
class LayerLimit:
    """Limits on the accumulated error of the layers whose names match.

    Attributes:
        match: shell pattern (``*``, ``?``, ``[...]``) over node names and float tensors; upper and
            lower case differ.
        limits: what every such layer must hold.
    """

    match: str
    limits: tuple[Limit, ...]

    def applies_to(self, layer: Layer) -> bool:
        """Whether the pattern matches the layer."""
        names = (layer.name, layer.float_tensor)
        return any(fnmatch.fnmatchcase(name, self.match) for name in names)
