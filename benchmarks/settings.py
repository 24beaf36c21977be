"""Sound settings of ONNX Runtime's quantizer on many models: none may fail that still works.

``python -m benchmarks.settings [--models NAME...] [--settings NAME...] [--seed N] [--cache DIR]
[--pictures N] [--rows FILE] [--seconds N] [--draw N]``

Every setting quantizes every float model on a few pictures. Whether the task's result is still that
of the float model is told by code of its own (``small_nets``, ``zoo_tasks`` here), not by qdebug's
decoders. Wrong are a ``fail`` where the task agrees, and a ``pass`` where it does not. Quantized
models are kept under ``--cache``, finished rows in ``--rows``: what stands there is not measured
again, so that the whole can be run in pieces of ``--seconds``. ``--draw`` takes so many settings of
every model, chosen by its name and the seed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby, product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import version_converter
from onnxruntime import quantization as ort_quantization
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType
from onnxruntime.quantization.shape_inference import quant_pre_process

import qdebug
from benchmarks import outputs
from benchmarks.small_nets import SMALL, SPEC, Small, draw
from tests.support.feeds import prepared

Array = npt.NDArray[Any]
Named = dict[str, Array]
Agreement = Callable[[Named, Named], tuple[float, float]]
ZOO = Path(__file__).resolve().parents[1].parent / "shared" / "zoo"
CALIBRATION, TESTED, DRAWN = 6, 8, 18
"""Pictures that are calibrated by, and others that are compared on: photos, and drawn ones."""
_DISAGREES = 2
"""A ``pass`` is wrong where so many decisions differ: of one it cannot be known."""
_PER_CHANNEL_OPSET = 13
_NEAR = 0.05
"""So near below the limit, one box that two decoders read differently decides; told apart."""


@dataclass(frozen=True)
class Setting:
    """One way to quantize.

    Attributes:
        name: for the table.
        make: writes the quantized model: float model, target, calibration inputs.
    """

    name: str
    make: Callable[[Path, Path, Sequence[Array]], None]


class _Reader(ort_quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, values: Sequence[Array]) -> None:
        self._items: Iterator[Named] = iter([{name: value} for value in values])

    def get_next(self) -> Named | None:
        """The next input."""
        return next(self._items, None)


def _static(**options: Any) -> Callable[[Path, Path, Sequence[Array]], None]:
    extra = options.pop("extra", {})

    def make(source: Path, target: Path, values: Sequence[Array]) -> None:
        model = onnx.load(source, load_external_data=False)
        constants = {tensor.name for tensor in model.graph.initializer}
        name = next(i.name for i in model.graph.input if i.name not in constants)
        ort_quantization.quantize_static(
            source, target, _Reader(name, values), extra_options=extra, **options
        )

    return make


def _dynamic(**options: Any) -> Callable[[Path, Path, Sequence[Array]], None]:
    return lambda source, target, _: ort_quantization.quantize_dynamic(source, target, **options)


def _float16(source: Path, target: Path, _: Sequence[Array]) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(source)
    onnx.save(convert_float_to_float16(model, keep_io_types=True), target)


def _all_settings() -> Iterator[Setting]:
    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    types = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
    for (form, shape), (method, calibration), per_channel in product(
        (("qdq", QuantFormat.QDQ), ("qop", QuantFormat.QOperator)), methods.items(), (False, True)
    ):
        for kind, dtype in types.items():
            name = f"{form} {method} {kind} {'channel' if per_channel else 'tensor'}"
            yield Setting(
                name,
                _static(
                    quant_format=shape,
                    calibrate_method=calibration,
                    per_channel=per_channel,
                    activation_type=dtype,
                    weight_type=QuantType.QInt8,
                    extra={"ActivationSymmetric": kind == "s8"},
                ),
            )
    qdq = {"quant_format": QuantFormat.QDQ, "weight_type": QuantType.QInt8}
    for kind, dtype in {"u16": QuantType.QUInt16, "s16": QuantType.QInt16}.items():
        for per_channel in (False, True):
            yield Setting(
                f"qdq {kind} {'channel' if per_channel else 'tensor'}",
                _static(**qdq, activation_type=dtype, per_channel=per_channel),
            )
    yield Setting("qdq reduced", _static(**qdq, reduce_range=True))
    yield Setting("qdq reduced channel", _static(**qdq, reduce_range=True, per_channel=True))
    yield Setting("qdq moving", _static(**qdq, extra={"CalibMovingAverage": True}))
    yield Setting("qdq symmetric weights off", _static(**qdq, extra={"WeightSymmetric": False}))
    unsigned = {**qdq, "weight_type": QuantType.QUInt8, "activation_type": QuantType.QUInt8}
    yield Setting("qdq unsigned weights", _static(**unsigned))
    yield Setting("qdq conv only", _static(**qdq, op_types_to_quantize=["Conv", "Gemm", "MatMul"]))
    yield Setting("qdq dedicated", _static(**qdq, extra={"DedicatedQDQPair": True}))
    for kind, dtype in types.items():
        for per_channel in (False, True):
            yield Setting(
                f"dynamic {kind} {'channel' if per_channel else 'tensor'}",
                _dynamic(weight_type=dtype, per_channel=per_channel),
            )
    yield Setting("float16", _float16)


SETTINGS = tuple(_all_settings())


@dataclass(frozen=True)
class Model:
    """A float model with its pictures and its judge.

    Attributes:
        name: for the table.
        file: of the model.
        spec: preprocessing.
        calibration: pictures that are calibrated by.
        tested: pictures that are compared on.
        agreement: see ``small_nets.Small``.
        agrees: share from which on the task is the same.
    """

    name: str
    file: Path
    spec: str
    calibration: tuple[Path, ...]
    tested: tuple[Path, ...]
    agreement: Agreement
    agrees: float


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        model: its name.
        setting: its name.
        share: of the task's result that is the same.
        wrong: decisions that differ.
        limit: share from which on the task is the same.
        verdict: qdebug's status.
        reason: qdebug's reason.
    """

    model: str
    setting: str
    share: float
    wrong: float
    limit: float
    verdict: str
    reason: str

    @property
    def agrees(self) -> bool:
        """Whether the task is the same."""
        return self.share >= self.limit

    @property
    def false_fail(self) -> bool:
        """Whether a working model was failed."""
        return self.agrees and self.verdict == "fail"

    @property
    def passed(self) -> bool:
        """Whether a model whose decisions differ was passed."""
        return not self.agrees and self.wrong >= _DISAGREES and self.verdict == "pass"

    @property
    def false_pass(self) -> bool:
        """Whether a model that does not work any more was passed."""
        return self.passed and self.share < self.limit - _NEAR


def small_model(small: Small, seed: int, folder: Path) -> Model:
    """A small network, written, with pictures drawn for it."""
    file = folder / f"{small.name}_{seed}.onnx"
    onnx.save(small.model(seed), file)
    given = draw(folder / f"{small.name}_calibration", DRAWN, 1000 + seed, small.objects)
    tested = draw(folder / f"{small.name}_tested", DRAWN, 2000 + seed, small.objects)
    return Model(small.name, file, SPEC, tuple(given), tuple(tested), small.agreement, small.agrees)


def zoo_tasks() -> dict[str, tuple[str, Agreement, float]]:
    """Photos, agreement and its limit by zoo model."""
    return {
        "mobilenetv2": ("objects", _same_class, 0.9),
        "winml_tiny_resnet": ("objects", _same_class, 0.9),
        "ultraface_rfb320": ("street", _boxes(_ultraface), 0.9),
        "yolov5n": ("street", _boxes(_yolov5), 0.9),
        "yolov8n_doclaynet": ("docs", _boxes(_yolov8), 0.9),
        "yolox_nano": ("street", _boxes(_yolox), 0.9),
        "ppocrv4_det": ("text", _text_map, 0.8),
        "ppocrv4_rec": ("text", _same_text, 0.9),
    }


def _same_class(f: Named, q: Named) -> tuple[float, float]:
    a, b = next(iter(f.values())), next(iter(q.values()))
    return float(a.argmax() == b.argmax()), 1.0


def _text_map(f: Named, q: Named) -> tuple[float, float]:
    a, b = (next(iter(side.values())) >= 0.3 for side in (f, q))
    union = np.count_nonzero(a | b)
    return (np.count_nonzero(a & b) / union, 1.0) if union else (0.0, 0.0)


def _same_text(f: Named, q: Named) -> tuple[float, float]:
    a, b = (next(iter(side.values()))[0].argmax(axis=1) for side in (f, q))
    read = [[int(k) for k, _ in groupby(side) if k != 0] for side in (a.tolist(), b.tolist())]
    return float(read[0] == read[1]), 1.0


Reader = Callable[[Named], tuple[Array, Array]]
"""Outputs to boxes ``[n, 4]`` (left, top, width, height) and scores ``[n, classes]``."""


def _ultraface(found: Named) -> tuple[Array, Array]:
    corners = found["boxes"][0] * [320, 240, 320, 240]
    return np.c_[corners[:, :2], corners[:, 2:] - corners[:, :2]], found["scores"][0, :, 1:]


def _centers(table: Array) -> Array:
    return np.concatenate([table[:, :2] - table[:, 2:4] / 2, table[:, 2:4]], axis=1)


def _yolov5(found: Named) -> tuple[Array, Array]:
    table = next(iter(found.values()))[0]
    return _centers(table), table[:, 5:] * table[:, 4:5]


def _yolov8(found: Named) -> tuple[Array, Array]:
    table = next(iter(found.values()))[0].T
    return _centers(table), table[:, 4:]


def _yolox(found: Named) -> tuple[Array, Array]:
    table = next(iter(found.values()))[0].astype(np.float64)
    cells = []
    for stride in (8, 16, 32):
        y, x = np.mgrid[: 416 // stride, : 416 // stride]
        cells.append(np.c_[x.ravel(), y.ravel(), np.full(x.size, stride)])
    grid = np.concatenate(cells)
    sizes = np.exp(np.clip(table[:, 2:4], -9, 9)) * grid[:, 2:]
    middle = (table[:, :2] + grid[:, :2]) * grid[:, 2:]
    return np.c_[middle - sizes / 2, sizes], table[:, 5:] * table[:, 4:5]


def _boxes(read: Reader) -> Agreement:
    def agreement(f: Named, q: Named) -> tuple[float, float]:
        sides = [_kept(*read(side)) for side in (f, q)]
        left, same = list(sides[1]), 0
        for label, box in sides[0]:
            twin = next((x for x in left if x[0] == label and _overlap(x[1], box) >= 0.5), None)
            if twin is not None:
                left = [x for x in left if x is not twin]
                same += 1
        return 2.0 * same, float(len(sides[0]) + len(sides[1]))

    return agreement


def _kept(boxes: Array, scores: Array) -> list[tuple[int, Array]]:
    """OpenCV's suppression, class by class."""
    found = []
    for label in range(scores.shape[1]):
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores[:, label].tolist(), 0.25, 0.45)
        found += [(label, boxes[at]) for at in np.asarray(kept, np.int64).ravel()]
    return found


def _overlap(a: Array, b: Array) -> float:
    low = np.maximum(a[:2], b[:2])
    inner = np.prod(np.clip(np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - low, 0, None))
    union = a[2] * a[3] + b[2] * b[3] - inner
    return float(inner / union) if union > 0 else 0.0


def zoo_model(name: str, folder: Path) -> Model:
    """A model of the zoo, optimized as the quantizer asks for."""
    photos, agreement, agrees = zoo_tasks()[name]
    source = ZOO / name / "float.onnx"
    told = json.loads((ZOO / name / "preprocess.json").read_text())
    file = folder / f"{name}.onnx"
    if not file.exists():
        quant_pre_process(str(source), str(file), skip_symbolic_shape=True)
        _raise_opset(file)
    pictures = sorted((ZOO / "photos" / photos).iterdir())
    if name == "ppocrv4_rec":
        pictures = [p for p in pictures if p.name.startswith("crop")]
    elif photos == "text":
        pictures = [p for p in pictures if not p.name.startswith("crop")]
    half = max(len(pictures) // 2, 1)
    return Model(
        name,
        file,
        zoo_spec(told),
        tuple(pictures[:half][:CALIBRATION]),
        tuple(pictures[half:][:TESTED]),
        agreement,
        agrees,
    )


def _raise_opset(file: Path) -> None:
    """To 13, the first that has scales per channel."""
    model = onnx.load(file)
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if opset < _PER_CHANNEL_OPSET:
        onnx.save(version_converter.convert_version(model, _PER_CHANNEL_OPSET), file)


def zoo_spec(told: dict[str, Any]) -> str:
    """qdebug's spec of a ``preprocess.json``."""
    height, width = told["size"]
    boxed = f"letterbox {width}x{height} pad {told.get('pad_value', 114):g}"
    resize = {
        "stretch": f"resize {width}x{height} cv2 {told.get('interp', 'linear')}",
        "letterbox": boxed,
        "letterbox_topleft": f"{boxed} top-left",
        "short_side_center_crop": f"resize {told.get('short_side')} | center-crop {width}",
    }[told["resize"]]
    mean, std = (",".join(f"{v:g}" for v in told[key]) for key in ("mean", "std"))
    return f"{resize} | {told['color'].lower()} | mean {mean} std {std} | nchw"


def quantized(model: Model, setting: Setting, cache: Path) -> Path:
    """The quantized model, made once."""
    file = cache / f"{model.file.stem} {setting.name}.onnx".replace(" ", "_")
    if not file.exists():
        values = prepared(model.calibration, model.spec)
        with contextlib.redirect_stdout(io.StringIO()):
            setting.make(model.file, file, values)
    return file


def truth(model: Model, file: Path) -> tuple[float, float]:
    """Share of the task's result that is the same over all pictures, and what differs."""
    sides = [outputs.run(path, model.tested, model.spec) for path in (model.file, file)]
    part = whole = 0.0
    for at in range(len(model.tested)):
        named = [{name: values[at] for name, values in side.items()} for side in sides]
        found = model.agreement(named[0], named[1])
        part, whole = part + found[0], whole + found[1]
    return (part / whole if whole else 1.0), whole - part


def compared(model: Model, setting: Setting, cache: Path) -> Row:
    """One row of the table."""
    file = quantized(model, setting, cache)
    share, wrong = truth(model, file)
    with tempfile.TemporaryDirectory() as folder:
        run = qdebug.compare(
            model.file,
            file,
            [str(p) for p in model.tested],
            preprocess=model.spec,
            output=Path(folder) / "run",
        )
    return Row(
        model.name,
        setting.name,
        share,
        wrong,
        model.agrees,
        run.verdict.status,
        run.verdict.reason,
    )


def models(names: Sequence[str], seed: int, folder: Path) -> Iterator[Model]:
    """The models of these names; all of them without any."""
    for small in SMALL:
        if not names or small.name in names:
            yield small_model(small, seed, folder)
    for name in zoo_tasks() if ZOO.exists() else ():
        if not names or name in names:
            yield zoo_model(name, folder)


def load_rows(file: Path | None) -> list[Row]:
    """Rows that earlier pieces of the bench left, as JSON lines."""
    if file is None or not file.exists():
        return []
    return [Row(**json.loads(line)) for line in file.read_text().splitlines()]


def measured(model: Model, setting: Setting, cache: Path) -> Row:
    """A row; of the verdict ``none`` where the quantizer or ONNX Runtime refuses the model."""
    try:
        return compared(model, setting, cache)
    except Exception as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return Row(model.name, setting.name, 1.0, 0.0, model.agrees, "none", told)


def drawn(model: str, settings: Sequence[Setting], count: int | None, seed: int) -> list[Setting]:
    """So many settings, chosen by chance; all of them without a number."""
    if count is None or count >= len(settings):
        return list(settings)
    rng = np.random.default_rng([seed, *model.encode()])
    return [settings[at] for at in sorted(rng.choice(len(settings), count, replace=False))]


def pairs(
    given: Iterator[Model],
    settings: Callable[[str], Sequence[Setting]],
    known: Container[tuple[str, str]],
) -> Iterator[tuple[Model, Setting]]:
    """What is still to be compared, one model after another."""
    for model in given:
        yield from ((model, s) for s in settings(model.name) if (model.name, s.name) not in known)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for every comparison, and how many are wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--settings", nargs="*", default=[], help="beginnings of names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "settings")
    parser.add_argument("--pictures", type=int, help="compared on, at most")
    parser.add_argument("--rows", type=Path, help="keeps finished rows")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no row later")
    parser.add_argument("--draw", type=int, help="settings of each model, chosen by the seed")
    args = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(4)
    args.cache.mkdir(parents=True, exist_ok=True)
    rows, start = load_rows(args.rows), time.monotonic()
    known = {(row.model, row.setting) for row in rows}
    wanted = [s for s in SETTINGS if s.name.startswith(tuple(args.settings or [""]))]
    chosen = partial(drawn, settings=wanted, count=args.draw, seed=args.seed)
    for model, setting in pairs(models(args.models, args.seed, args.cache), chosen, known):
        if time.monotonic() - start > args.seconds:
            print("more is left to measure")
            break
        few = replace(model, tested=model.tested[: args.pictures])
        rows.append(measured(few, setting, args.cache))
        _tell(rows[-1])
        if args.rows is not None:
            with args.rows.open("a") as file:
                file.write(json.dumps(asdict(rows[-1])) + "\n")
    return _tell_sum(rows)


def _tell_sum(rows: Sequence[Row]) -> int:
    fails, passes = sum(r.false_fail for r in rows), sum(r.false_pass for r in rows)
    near = sum(r.passed for r in rows) - passes
    made = sum(r.verdict != "none" for r in rows)
    print(f"{made} comparisons: {fails} false fail, {passes} false pass, {near} near the limit")
    return int(bool(fails or passes))


def _tell(row: Row) -> None:
    mark = "!" if row.false_fail or row.false_pass else "~" if row.passed else " "
    told = f"{row.model:18} {row.setting:30} {row.share:6.3f} {row.verdict:12} {row.reason}"
    print(f"{mark} {told}"[:200], flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
