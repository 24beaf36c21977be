"""Source or victim: does a layer make the error it shows, or does it pass it on?

A *source* stands out by its local error: it is bad although it was fed with float inputs. A
*victim* has a small local error and a large accumulated one: look upstream.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import median

from qdebug.run.model import Layer, Role

OUTLIER_DB = 10.0
"""A source's local SQNR lies so far below the network's median local SQNR: ten times the error. By
judgement."""
SURE_SOURCE_DB = 15.0
"""A layer of a lower local SQNR is a source whatever the others do: an output of as little would be
damaged (``DAMAGED_DB`` of the checks). By judgement."""
HARMLESS_DB = 35.0
"""A layer of a higher local SQNR is never a source: rounding to 8 bits alone leaves about as much.
By judgement."""
VICTIM_DB = 6.0
"""A victim's accumulated SQNR lies so far below its local SQNR (the error has twice the amplitude)
... By judgement."""
VISIBLE_DB = 25.0
"""... and below this, so that the error is seen. By judgement."""


def assign_roles(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with their role, where local error is known."""
    limit = source_limit(layers)
    return [dataclasses.replace(layer, role=_role(layer, limit)) for layer in layers]


def source_limit(layers: Sequence[Layer]) -> float:
    """Local SQNR in dB below which a layer is a source."""
    known = [layer.local.sqnr_db for layer in layers if layer.local is not None]
    finite = [value for value in known if math.isfinite(value)]
    if not finite:
        return SURE_SOURCE_DB
    return min(HARMLESS_DB, max(SURE_SOURCE_DB, median(finite) - OUTLIER_DB))


def _role(layer: Layer, limit: float) -> Role | None:
    if layer.local is None or layer.accumulated is None:
        return None
    if layer.state in ("not_compared", "low_signal", "zero_both"):
        return None
    local, accumulated = layer.local.sqnr_db, layer.accumulated.sqnr_db
    if math.isnan(local) or local < limit:
        return "source"
    if math.isnan(accumulated) or accumulated < min(VISIBLE_DB, local - VICTIM_DB):
        return "victim"
    return "sound"
