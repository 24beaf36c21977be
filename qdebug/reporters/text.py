"""Layers as text, and the numbers of a layer that tables show first."""

from __future__ import annotations

from qdebug.run.model import Layer, OutputResult
from qdebug.vocabulary.names import visible


def layer_label(layer: Layer) -> str:
    """``#112 /model.22/Conv``, safe to print."""
    return f"#{layer.index} {visible(layer.name)}"


def accumulated_db(item: Layer | OutputResult) -> float | None:
    """Accumulated SQNR of a layer or output in dB."""
    return None if item.accumulated is None else item.accumulated.sqnr_db


def local_db(layer: Layer) -> float | None:
    """Local SQNR of a layer in dB."""
    return None if layer.local is None else layer.local.sqnr_db


def sensitivity_db(layer: Layer) -> float | None:
    """Sensitivity of a layer: SQNR at the model's outputs in dB."""
    return None if layer.sensitivity is None else layer.sensitivity.sqnr_db
