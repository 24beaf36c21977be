"""What quantizers and optimizers do to a float network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnxruntime import quantization as q

from tests.support.feeds import feeds_for
from tests.support.nets import Array, sample_inputs

Model = onnx.ModelProto


@dataclass(frozen=True)
class Desk:
    """Where and with what models are made.

    Attributes:
        folder: for files.
        feeds: inputs of the float graph to calibrate with; empty for random ones.
        rounded: models whose weights were rounded here, as they were before.
    """

    folder: Path
    feeds: tuple[dict[str, Array], ...] = ()
    rounded: list[Model] = field(default_factory=list)

    def calibration(self, model: Model) -> list[dict[str, Array]]:
        """Inputs as this model takes them."""
        if not self.feeds:
            return sample_inputs(model, 2)
        return [feeds_for(model, feed) for feed in self.feeds]


Step = Callable[[Model, Desk], Model]


class _Reader(q.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: list[dict[str, Array]]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> dict[str, Array] | None:
        return next(self.feeds, None)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the quantizers' warnings and log lines."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _through_files(model: Model, desk: Desk, work: Callable[[Path, Path], object]) -> Model:
    source, target = desk.folder / "source.onnx", desk.folder / "target.onnx"
    onnx.save(model, source)
    target.unlink(missing_ok=True)
    with quiet():
        work(source, target)
    return onnx.load(target)


def static(form: q.QuantFormat = q.QuantFormat.QDQ, **options: Any) -> Step:
    """ONNX Runtime's static quantization."""

    made: dict[bytes, Model] = {}

    def step(model: Model, desk: Desk) -> Model:
        desk.rounded.append(model)
        key = model.SerializeToString(deterministic=True)
        if key not in made:
            feeds = desk.calibration(model)
            made[key] = _through_files(
                model,
                desk,
                lambda a, b: q.quantize_static(a, b, _Reader(feeds), quant_format=form, **options),
            )
        return copied(made[key])

    return step


def dynamic(model: Model, desk: Desk) -> Model:
    """ONNX Runtime's dynamic quantization."""
    desk.rounded.append(model)
    return _through_files(
        model,
        desk,
        lambda a, b: q.quantize_dynamic(
            a, b, op_types_to_quantize=["Conv", "MatMul", "Gemm"], weight_type=q.QuantType.QUInt8
        ),
    )


def preprocessed(model: Model, desk: Desk) -> Model:
    """ONNX Runtime's step before quantization: constants folded, BatchNormalization fused."""
    return _through_files(
        model,
        desk,
        lambda a, b: q.quant_pre_process(str(a), str(b), skip_symbolic_shape=True),
    )


def optimized(level: str) -> Step:
    """ONNX Runtime's graph optimizations, saved (``basic`` or ``extended``)."""
    levels = ort.GraphOptimizationLevel

    def work(source: Path, target: Path) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        extended = level == "extended"
        options.graph_optimization_level = (
            levels.ORT_ENABLE_EXTENDED if extended else levels.ORT_ENABLE_BASIC
        )
        options.optimized_model_filepath = str(target)
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

    return lambda model, desk: _through_files(model, desk, work)


def float16(*kept: str) -> Step:
    """ONNX Runtime's float16 converter; inputs, outputs and ``kept`` operators stay in float32."""

    def step(model: Model, desk: Desk) -> Model:
        from onnxruntime.transformers.float16 import (
            DEFAULT_OP_BLOCK_LIST,
            convert_float_to_float16,
        )

        with quiet():
            made: Model = convert_float_to_float16(
                copied(model), keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *kept]
            )
        return made

    return step


def converted(opset: int) -> Step:
    """Another operator set."""
    return lambda model, desk: onnx.version_converter.convert_version(model, opset)


def copied(model: Model) -> Model:
    """An independent copy."""
    made = Model()
    made.CopyFrom(model)
    return made
