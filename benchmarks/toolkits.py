"""Quantize or simplify a network with another toolkit, for ``benchmarks.pairing --made``.

    PYTHON benchmarks/toolkits.py TOOL FLOAT.onnx INPUTS.npz OUT.onnx

Runs in an environment of the toolkit's own; it needs nothing of this project.
"""

# The toolkits are in environments of their own, never in this project's.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Feeds = list[dict[str, Any]]


class Reader:
    """Calibration inputs as ONNX Runtime's quantizers read them."""

    def __init__(self, feeds: Feeds) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        """Next inputs, None at the end."""
        return next(self.feeds, None)


def onnxslim(source: Path, _feeds: Feeds, target: Path) -> None:
    """Simplify with onnxslim."""
    import onnxslim as tool

    onnx.save(tool.slim(onnx.load(source)), target)


def onnxsim(source: Path, _feeds: Feeds, target: Path) -> None:
    """Simplify with onnxsim."""
    import onnxsim as tool

    onnx.save(tool.simplify(onnx.load(source))[0], target)


def quark(source: Path, feeds: Feeds, target: Path, name: str = "XINT8") -> None:
    """Quantize with AMD Quark."""
    from quark.onnx import ModelQuantizer
    from quark.onnx.quantization.config import Config, get_default_config

    config = Config(global_quant_config=get_default_config(name))
    ModelQuantizer(config).quantize_model(str(source), str(target), Reader(feeds))


def quark_a16w8(source: Path, feeds: Feeds, target: Path) -> None:
    """Quantize with AMD Quark, activations in 16 bits (its own operators where it uses them)."""
    quark(source, feeds, target, "A16W8")


def nncf(source: Path, feeds: Feeds, target: Path) -> None:
    """Quantize with NNCF."""
    import nncf as tool

    onnx.save(tool.quantize(onnx.load(source), tool.Dataset(feeds)), target)


def modelopt(source: Path, feeds: Feeds, target: Path) -> None:
    """Quantize with TensorRT Model Optimizer."""
    from modelopt.onnx.quantization import quantize

    data = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    quantize(str(source), calibration_data=data, output_path=str(target), calibration_eps=["cpu"])


def aimet(source: Path, feeds: Feeds, target: Path) -> None:
    """Quantize with AIMET."""
    from aimet_onnx.quantsim import QuantizationSimModel

    sim = QuantizationSimModel(onnx.load(source))
    sim.compute_encodings(feeds)
    onnx.save(sim.to_onnx_qdq(), target)


def qonnx(source: Path, _feeds: Feeds, target: Path) -> None:
    """Turn a QDQ graph into QONNX's Quant nodes."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.qcdq_to_qonnx import QCDQToQuant

    ModelWrapper(str(source)).transform(QCDQToQuant()).save(str(target))


def esp_ppq(source: Path, feeds: Feeds, target: Path) -> None:
    """Quantize with ESP-PPQ, exported for ONNX Runtime."""
    import torch
    from esp_ppq.api import export_ppq_graph, load_onnx_graph, quantize_native_model
    from esp_ppq.api.setting import QuantizationSettingFactory
    from esp_ppq.core import TargetPlatform

    (name,) = feeds[0]
    inputs = [torch.from_numpy(feed[name]) for feed in feeds]
    made = quantize_native_model(
        load_onnx_graph(str(source)),
        inputs,
        len(inputs),
        list(inputs[0].shape),
        platform=TargetPlatform.TRT_INT8,
        setting=QuantizationSettingFactory.default_setting(),
        device="cpu",
    )
    export_ppq_graph(made, TargetPlatform.ONNXRUNTIME, str(target))


TOOLS: dict[str, Callable[[Path, Feeds, Path], None]] = {
    "aimet": aimet,
    "esp_ppq": esp_ppq,
    "modelopt": modelopt,
    "nncf": nncf,
    "onnxsim": onnxsim,
    "onnxslim": onnxslim,
    "quark": quark,
    "qonnx": qonnx,
    "quark_a16w8": quark_a16w8,
}


def main() -> int:
    """Make one graph."""
    tool, source, inputs, target = sys.argv[1], *map(Path, sys.argv[2:5])
    stored = np.load(inputs)
    count = len(next(iter(stored.values())))
    feeds = [{name: stored[name][i] for name in stored.files} for i in range(count)]
    target.parent.mkdir(parents=True, exist_ok=True)
    TOOLS[tool](source, feeds, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
