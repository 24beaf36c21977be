"""One figure of ``benchmarks.engine``: does one kind of work and prints its cost as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime

from qdebug.comparison import compare
from qdebug.comparison.compare import peak_rss_mib
from qdebug.preprocess import PreprocessSpec, prepare_file
from qdebug.progress import Silent

Array = npt.NDArray[Any]

WARM_RUNS = 10


def main() -> int:
    """Run the work named on the command line."""
    mode, spec, folder, *files = sys.argv[1:]
    float_model, quant_model, *pictures = map(Path, files)
    work = _WORK[mode]
    start = time.perf_counter()
    more = work(float_model, quant_model, pictures, spec, Path(folder))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mib": peak_rss_mib(), **more}))
    return 0


class Stages(Silent):
    """Progress that notes how long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._title, self._since = "loading", time.perf_counter()

    def stage(self, title: str, total: int | None = None) -> None:
        """Close the stage before this one."""
        super().stage(title, total)
        now = time.perf_counter()
        self.seconds[self._title] = self.seconds.get(self._title, 0.0) + now - self._since
        self._title, self._since = title, now


def _plain(declared: bool) -> Callable[..., dict[str, Any]]:
    def work(
        float_model: Path, quant_model: Path, files: list[Path], spec: str, _folder: Path
    ) -> dict[str, Any]:
        sessions = [_session(model, declared) for model in (float_model, quant_model)]
        for file in files:
            tensor = prepare_file(file, PreprocessSpec.parse(spec)).tensor
            for session in sessions:
                session.run(None, {session.get_inputs()[0].name: tensor})
        return {}

    return work


def _float_alone(
    float_model: Path, _quant_model: Path, files: list[Path], spec: str, _folder: Path
) -> dict[str, Any]:
    """Plain inference of the float model, the shortest of several: the first one is slow."""
    session = _session(float_model, declared=False)
    feeds = {
        session.get_inputs()[0].name: prepare_file(files[0], PreprocessSpec.parse(spec)).tensor
    }
    seconds = []
    for _ in range(WARM_RUNS):
        start = time.perf_counter()
        session.run(None, feeds)
        seconds.append(time.perf_counter() - start)
    return {"float_seconds": min(seconds)}


def _session(model: Path, declared: bool) -> Any:
    options = onnxruntime.SessionOptions()
    if declared:
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_BASIC
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _compare(**options: Any) -> Callable[..., dict[str, Any]]:
    def work(
        float_model: Path, quant_model: Path, files: list[Path], spec: str, folder: Path
    ) -> dict[str, Any]:
        # A file may stand in the list more than once: the same work again.
        listing = folder / "files.txt"
        listing.write_text("\n".join(map(str, files)), encoding="utf-8")
        stages = Stages()
        run = compare(
            float_model,
            quant_model,
            [listing],
            preprocess=spec,
            output=folder / "bench.qdrun",
            progress=stages,
            **options,
        )
        stages.stage("end")
        return {"stages": stages.seconds, "layers": len(run.layers)}

    return work


def _qdq_loss_debug(
    float_model: Path, quant_model: Path, files: list[Path], spec: str, folder: Path
) -> dict[str, Any]:
    from onnxruntime.quantization import CalibrationDataReader, qdq_loss_debug

    name = _session(float_model, False).get_inputs()[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            tensors = (prepare_file(f, PreprocessSpec.parse(spec)).tensor for f in files)
            self.feeds = iter([{name: tensor} for tensor in tensors])

        def get_next(self) -> dict[str, Array] | None:
            return next(self.feeds, None)

    collected = []
    for number, model in enumerate((float_model, quant_model)):
        tapped = folder / f"{number}.onnx"
        qdq_loss_debug.modify_model_output_intermediate_tensors(str(model), str(tapped))
        collected.append(qdq_loss_debug.collect_activations(str(tapped), Reader()))
    matched = qdq_loss_debug.create_activation_matching(collected[1], collected[0])
    qdq_loss_debug.compute_activation_error(matched)
    return {}


def _polygraphy(
    float_model: Path, quant_model: Path, files: list[Path], spec: str, _folder: Path
) -> dict[str, Any]:
    from polygraphy import constants
    from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs, OnnxFromPath
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
    from polygraphy.comparator import Comparator, CompareFunc

    name = _session(float_model, False).get_inputs()[0].name
    feeds = [{name: prepare_file(f, PreprocessSpec.parse(spec)).tensor} for f in files]
    runners = [
        OnnxrtRunner(
            SessionFromOnnx(
                BytesFromOnnx(ModifyOutputs(OnnxFromPath(str(model)), outputs=constants.MARK_ALL))
            )
        )
        for model in (float_model, quant_model)
    ]
    results = Comparator.run(runners, data_loader=feeds)
    Comparator.compare_accuracy(results, compare_func=CompareFunc.simple())
    return {}


_WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "deployed": _plain(False),
    "declared": _plain(True),
    "accumulated": _compare(local=False),
    "local": _compare(),
    "sensitivity": _compare(sensitivity=True),
    "exact sensitivity": _compare(sensitivity="exact"),
    "float": _float_alone,
    "qdq_loss_debug": _qdq_loss_debug,
    "polygraphy": _polygraphy,
}

if __name__ == "__main__":
    raise SystemExit(main())
