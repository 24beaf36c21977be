"""Hybrid quantization with RKNN-Toolkit2, in an environment of its own.

PYTHON hybrid_quantization.py step1 FLOAT.onnx DATASET.txt MEAN STD
PYTHON hybrid_quantization.py step2 CFG PICTURE OUT.npz MEAN STD

It needs nothing of this project; the files of step 1 lie in the working folder.
"""

# The toolkit is in an environment of its own, never in this project's.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from rknn.api import RKNN


def toolkit(mean: str, std: str) -> Any:
    """The toolkit, configured."""
    made = RKNN(verbose=False)
    means, stds = ([list(map(float, text.split(",")))] for text in (mean, std))
    made.config(mean_values=means, std_values=stds, target_platform="rk3588")
    return made


def step1(model: str, dataset: str, mean: str, std: str) -> int:
    """Write cfg, model and data."""
    rknn = toolkit(mean, std)
    if rknn.load_onnx(model) != 0:
        return 1
    return int(rknn.hybrid_quantization_step1(dataset=dataset, proposal=False))


def step2(cfg: str, picture: str, out: str, mean: str, std: str) -> int:
    """Quantize as the cfg says, and run the simulator on a picture."""
    rknn = toolkit(mean, std)
    code = rknn.hybrid_quantization_step2(
        model_input="float.model", data_input="float.data", model_quantization_cfg=cfg
    )
    if code != 0 or rknn.init_runtime() != 0:
        return 1
    read = cv2.imread(picture)
    if read is None:
        return 1
    pixels = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)[None]
    (value, *_) = rknn.inference(inputs=[pixels], data_format=["nhwc"])
    np.savez(out, output=value)
    return 0


if __name__ == "__main__":
    steps: dict[str, Callable[..., int]] = {"step1": step1, "step2": step2}
    sys.exit(steps[sys.argv[1]](*sys.argv[2:]))
