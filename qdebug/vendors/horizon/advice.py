"""Horizon and D-Robotics: sections of ``hb_mapper``'s yaml.

Source: D-Robotics' PTQ templates.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from qdebug.vendors.advice import Advice, BetterRange, FloatLayer, literal


def keep(layers: Sequence[FloatLayer]) -> str:
    """Write ``node_info``; int16 is what the BPU offers beside int8."""
    entry = {"ON": "BPU", "InputType": "int16", "OutputType": "int16"}
    lines = [f"    {literal(layer.node)}: {json.dumps(entry)}" for layer in layers]
    return "model_parameters:\n  node_info: {\n" + ",\n".join(lines) + "\n  }"


def calibrate(item: BetterRange) -> str:
    """Write the calibration that suits."""
    percentile = "" if item.clips else "\n  max_percentile: 0.9999"
    return f"calibration_parameters:\n  calibration_type: 'max'{percentile}"


ADVICE = Advice(
    keep_title="Horizon: node_info",
    keep_file="node_info.yaml",
    language="yaml",
    keep=keep,
    calibrate=calibrate,
    settings_language="yaml",
)
