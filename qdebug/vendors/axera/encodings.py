"""Axera Pulsar2: ``layer_configs`` of its config.

Source: Pulsar2's manual. Names are those of ``output/frontend/optimized.onnx``. The config holds no
ranges, and no file of Pulsar2's that does is described: so nothing of it is a quant model.
"""

from __future__ import annotations

import json

from qdebug.encodings.source import Source
from qdebug.errors import UsageError
from qdebug.vendors.encodings import Change, Format, Target, ToolchainEncodings, Writer, Written
from qdebug.vendors.readers import without_ranges


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


def is_config(source: Source) -> bool:
    """Whether a file is Pulsar2's config."""
    content = source.json if '"quant"' in source.head else None
    quant = content.get("quant") if isinstance(content, dict) else None
    known = ("layer_configs", "calibration_method", "precision_analysis")
    return isinstance(quant, dict) and any(key in quant for key in known)


ENCODINGS = ToolchainEncodings(
    formats=(
        Format(
            "pulsar2-config",
            "Pulsar2 config",
            is_config,
            without_ranges(
                "says which layers get other types",
                "give the quantized ONNX that Pulsar2 writes, or calibrate: qdebug quantize "
                "--calibrate PICTURES",
            ),
        ),
    ),
    writers=(Writer("config", "Pulsar2 layer_configs", (".json",), write_config),),
    target=Target(wide=("16", "float"), ranges=False),
)
