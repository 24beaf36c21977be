"""Axera Pulsar2: ``layer_configs`` of its config.

Source: Pulsar2's manual. Names are those of ``output/frontend/optimized.onnx``.
"""

from __future__ import annotations

import json

from qdebug.errors import UsageError
from qdebug.vendors.encodings import Change, ToolchainEncodings, Writer, Written


def write_config(change: Change) -> Written:
    """16-bit activations for the layers."""
    if not change.keep:
        raise UsageError(
            "nothing is to be kept out of 8 bits: there is nothing to write",
            "Pulsar2 takes no range of a tensor; another calibration_method is in its config",
        )
    names = [layer.node for layer in change.keep]
    content = {"quant": {"layer_configs": [{"layer_names": names, "data_type": "U16"}]}}
    notes = ["names must be those of output/frontend/optimized.onnx: give it with --names"]
    if change.ranges:
        notes.append(f"{len(change.ranges)} better ranges are left out: Pulsar2 takes none")
    return Written((json.dumps(content, indent=2) + "\n").encode(), tuple(notes))


ENCODINGS = ToolchainEncodings(
    writers=(Writer("config", "Pulsar2 layer_configs", (".json",), write_config),),
)
