"""TensorRT: Q/DQ nodes placed by ModelOpt, and a build by ``trtexec``.

Sources: ModelOpt's command line and the migration guide of TensorRT 11.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from qdebug.vendors.advice import Advice, BetterRange, FloatLayer

_MODELOPT = (
    "python -m modelopt.onnx.quantization --onnx_path model.onnx --quantize_mode int8 \\\n"
    "    --calibration_data_path calibration.npy --output_path model.quant.onnx \\\n"
)
_BUILD = "\ntrtexec --onnx=model.quant.onnx --saveEngine=model.plan"


def keep(layers: Sequence[FloatLayer]) -> str:
    """By Q/DQ nodes: TensorRT 11 has no precision flags any more, and 10 takes this as well."""
    names = " ".join(shlex.quote(layer.node) for layer in layers)
    return f"{_MODELOPT}    --nodes_to_exclude {names}{_BUILD}"


def calibrate(item: BetterRange) -> str:
    """Write the command with the method that suits."""
    return f"{_MODELOPT}    --calibration_method {'max' if item.clips else 'entropy'}{_BUILD}"


ADVICE = Advice(
    keep_title="TensorRT: by ModelOpt",
    keep_file="keep.sh",
    language="sh",
    keep=keep,
    calibrate=calibrate,
    settings_language="sh",
)
