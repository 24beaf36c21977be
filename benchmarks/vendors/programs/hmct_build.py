"""Calibrate with hmct (D-Robotics), in an environment of its own.

PYTHON hmct_build.py FLOAT.onnx INPUTS.npz NAME [node_dict|quant_config FILE.json]

It needs nothing of this project; NAME_calibrated_model.onnx comes into the working folder.
"""

# The toolkit is in an environment of its own, never in this project's.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hmct.api import build_onnx

_OPSET, _IR = 11, 7


def build(model: str, inputs: str, name: str, *asked: str) -> int:
    """Build without the compiler.

    The operators of a plain classifier are the same in opset 13 and 11, which hmct takes.
    """
    graph = onnx.load(model)
    graph.opset_import[0].version, graph.ir_version = _OPSET, _IR
    onnx.save(graph, f"{name}_opset11.onnx")
    stored = np.load(inputs)
    fed = {"calibration_data": {key: list(stored[key][:, None]) for key in stored.files}}
    more: dict[str, Any] = {}
    if asked:
        more = {asked[0]: json.loads(Path(asked[1]).read_text())}
    build_onnx(
        f"{name}_opset11.onnx",
        "bayes-e",
        name_prefix=name,
        cali_dict=fed,
        save_model=True,
        skip_step=["skip_compiler"],
        **more,
    )
    return 0


if __name__ == "__main__":
    sys.exit(build(*sys.argv[1:]))
