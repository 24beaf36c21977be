"""What qdebug writes into the metadata of models that it repairs, so that it knows them again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import onnx

_CORRECTED_BIASES = "qdebug.corrected_biases"


def mark_of_corrected(tensors: Iterable[str]) -> tuple[str, str]:
    """Key and value of the metadata that names the biases which were corrected."""
    return _CORRECTED_BIASES, json.dumps(sorted(tensors))


def corrected_biases(metadata: Mapping[str, str]) -> frozenset[str]:
    """Biases of a model that differ from the float model's on purpose."""
    try:
        found = json.loads(metadata.get(_CORRECTED_BIASES, "[]"))
    except ValueError:
        return frozenset()
    return frozenset(map(str, found)) if isinstance(found, list) else frozenset()


def without_corrected(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the mark, in place: its biases are those of its float model again."""
    kept = [p for p in model.metadata_props if p.key != _CORRECTED_BIASES]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return model
