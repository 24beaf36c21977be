"""A rich, plausible and deterministic run of any size, without any model.

The story it tells: a letterboxed detector whose head holds boxes and scores under one scale. Error
enters at an early convolution (mildly), at a convolution half way through, and at the head; what
lies behind each is its victim.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from qdebug.run.arrays import BINS, HIST_NPZ, RunArrays
from qdebug.run.files import MemoryFiles
from qdebug.run.model import (
    SCHEMA,
    InputStats,
    Layer,
    Limit,
    ModelInfo,
    Models,
    OutputResult,
    Preprocess,
    PreprocessInfo,
    Run,
    SampleInfo,
    TaskResult,
    Timing,
    ToolInfo,
    Unpaired,
    UnpairedSides,
    Verdict,
)
from tests.support import pictures
from tests.support.hostile import HOSTILE_NAMES
from tests.support.synthetic_findings import synthetic_findings
from tests.support.synthetic_layers import synthetic_layers

FloatArray = npt.NDArray[np.float64]

_HISTOGRAMS = 5000
_SPEC = "letterbox 640 pad 114 | rgb | /255 | nchw"


def synthetic_run(
    layers: int = 214,
    samples: int = 8,
    seed: int = 0,
    *,
    input_failed: bool = False,
    hostile_names: bool = False,
    sound: bool = False,
    local: bool = True,
    sensitivity: bool = True,
    kept: int = 3,
) -> Run:
    """Build a run.

    Args:
        layers: number of layers, from 1. From 40 on, every state occurs.
        samples: number of samples, from 1.
        seed: equal seeds give equal runs.
        input_failed: the quant side was fed BGR; the verdict stands at the input gate.
        hostile_names: models, samples, layers and findings have names that break careless code.
        sound: a good quantization; nothing fails.
        local: whether layers have a local error (and so a role).
        sensitivity: whether layers have a sensitivity.
        kept: how many of the worst layers have their tensors in the run.
    """
    rng = np.random.default_rng(seed)
    names = _sample_names(samples, hostile_names)
    built = synthetic_layers(
        layers, names, rng, sound=sound, local=local, sensitivity=sensitivity, hostile=hostile_names
    )
    files = _pictures(samples, seed, input_failed)
    built = _keep_tensors(built, kept, rng, files)
    files.content[HIST_NPZ] = _arrays(built, rng).to_bytes()
    return Run(
        schema=SCHEMA,
        tool=ToolInfo(
            "0.1.0", "1.20.0", "1.17.0", "2.1.0", "3.11.9", "x86_64", ("avx2", "avx512_vnni")
        ),
        command=("qdebug", "compare", "yolo.onnx", "yolo_int8.onnx", "shots"),
        models=_models(len(built), hostile_names),
        preprocess=Preprocess(
            PreprocessInfo(_SPEC, "metadata", ("pad value 114 is assumed: Ultralytics' default",)),
            PreprocessInfo(_SPEC.replace("rgb", "bgr") if input_failed else _SPEC, "flag"),
        ),
        samples=_samples(names, input_failed, rng),
        verdict=_verdict(input_failed, sound, built),
        outputs=_outputs(built, names, sound),
        layers=built,
        unpaired=_unpaired(hostile_names),
        findings=synthetic_findings(
            built, names, input_failed=input_failed, sound=sound, hostile=hostile_names
        ),
        timing=Timing(12.25, 9.5, 812.0),
        task=_task(names, sound),
        notes=("one segment, 312 MiB of tensors at a time",),
        files=files,
    )


def _sample_names(samples: int, hostile: bool) -> tuple[str, ...]:
    plain = [f"shot_{i:03}.png" for i in range(samples)]
    if hostile:
        plain[: len(HOSTILE_NAMES)] = HOSTILE_NAMES[:samples]
    return tuple(plain)


def _models(tensors: int, hostile: bool) -> Models:
    float_file, quant_file = (
        ("[bold]<b>名前\n.onnx", "a[/b]c" + "x" * 300 + ".onnx")
        if hostile
        else ("yolo.onnx", "yolo_int8.onnx")
    )
    return Models(
        ModelInfo(
            float_file, "9f2c41" + "0" * 58, 17, tensors + 5, "pytorch", "float", tensors + 5
        ),
        ModelInfo(
            quant_file,
            "b07d18" + "0" * 58,
            17,
            3 * tensors,
            "onnx.quantize",
            "qdq",
            3 * tensors,
            "uint8 activations, int8 weights per tensor",
        ),
    )


def _samples(
    names: tuple[str, ...], input_failed: bool, rng: np.random.Generator
) -> tuple[SampleInfo, ...]:
    return tuple(
        SampleInfo(
            name,
            f"{i:064x}",
            thumb=f"thumbs/{i:04}.png",
            thumb_quant=f"thumbs/{i:04}.quant.png" if input_failed else None,
            source=f"thumbs/{i:04}.source.png",
            inputs=(
                InputStats(
                    "images",
                    "float32",
                    (1, 3, 640, 640),
                    0.0,
                    1.0,
                    float(np.round(rng.uniform(0.35, 0.55), 6)),
                ),
            ),
        )
        for i, name in enumerate(names)
    )


def _pictures(samples: int, seed: int, input_failed: bool) -> MemoryFiles:
    files = MemoryFiles()
    for i in range(samples):
        source = pictures.scene(seed * 1000 + i)
        fed = pictures.letterboxed(source)
        files.content[f"thumbs/{i:04}.source.png"] = pictures.png(source)
        files.content[f"thumbs/{i:04}.png"] = pictures.png(fed)
        if input_failed:
            files.content[f"thumbs/{i:04}.quant.png"] = pictures.png(fed[..., ::-1].copy())
    return files


def _keep_tensors(
    layers: tuple[Layer, ...], kept: int, rng: np.random.Generator, files: MemoryFiles
) -> tuple[Layer, ...]:
    compared = [x for x in layers if x.accumulated is not None and x.state == "ok"]
    worst = sorted(compared, key=lambda x: x.accumulated.sqnr_db if x.accumulated else 0.0)[:kept]
    chosen = {layer.index for layer in worst}
    for layer in worst:
        reference = rng.normal(0.0, 1.0, layer.shape).astype(np.float32)
        noise = rng.normal(0.0, 0.2, layer.shape).astype(np.float32)
        files.content[f"tensors/float/{layer.index:04}.npy"] = _npy(reference)
        files.content[f"tensors/quant/{layer.index:04}.npy"] = _npy(reference + noise)
    return tuple(dataclasses.replace(x, kept=True) if x.index in chosen else x for x in layers)


def _npy(array: npt.NDArray[np.float32]) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {array.shape}, }}"
    padding = -(len(header) + 11) % 64
    text = header.encode() + b" " * padding + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + array.tobytes()


def _arrays(layers: tuple[Layer, ...], rng: np.random.Generator) -> RunArrays:
    compared = np.array([x.index for x in layers if x.accumulated is not None], np.int32)
    chosen = compared if len(compared) <= _HISTOGRAMS else compared[-_HISTOGRAMS:]
    centers = np.linspace(-4.0, 4.0, BINS)
    width = rng.uniform(0.6, 1.4, (len(chosen), 1))
    density = np.exp(-0.5 * (centers / width) ** 2)
    coarse = np.repeat(density.reshape(len(chosen), BINS // 4, 4).sum(-1), 4, axis=1)
    coarse[:, np.arange(BINS) % 4 != 1] = 0
    counts = [layers[i].shape[1] if len(layers[i].shape) == 4 else 0 for i in range(len(layers))]
    base = np.array([x.accumulated.sqnr_db if x.accumulated else 0.0 for x in layers])
    finite = np.where(np.isfinite(base), base, 0.0)
    channels = np.repeat(finite, counts) + rng.normal(0.0, 3.0, sum(counts))
    return RunArrays(
        hist_layers=chosen,
        hist_range=np.tile([-4.0, 4.0], (len(chosen), 1)),
        hist_float=(density * 1000).astype(np.uint32),
        hist_quant=(coarse * 1000).astype(np.uint32),
        channel_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        channel_sqnr_db=channels.astype(np.float32),
        channel_absmax=rng.uniform(0.5, 8.0, sum(counts)).astype(np.float32),
    )


def _verdict(input_failed: bool, sound: bool, layers: tuple[Layer, ...]) -> Verdict:
    limits = (Limit("cosine", 0.99, "min"), Limit("sqnr_db", 20.0, "min", "qdebug.toml"))
    if input_failed:
        return Verdict("fail", "input", "the two models are not fed the same picture", limits)
    if sound:
        return Verdict("pass", "int8", "every output is inside its limits", limits)
    reason = f"output0 is below its limits; error enters at #{layers[-1].index}"
    return Verdict("fail", "int8", reason, limits)


def _outputs(
    layers: tuple[Layer, ...], names: tuple[str, ...], sound: bool
) -> tuple[OutputResult, ...]:
    last = layers[-1]
    quiet = dataclasses.replace(last.accumulated, sqnr_db=44.0) if last.accumulated else None
    return (
        OutputResult(
            "output0",
            last.accumulated,
            last.state,
            deployed=last.accumulated,
            runtime=quiet,
            layer=last.index,
            worst_channel=last.worst_channel,
            worst_sample=names[-1],
        ),
        OutputResult("shape_info", None, "not_compared", reason="int64 tensor"),
    )


def _unpaired(hostile: bool) -> UnpairedSides:
    extra = HOSTILE_NAMES if hostile else ()
    return UnpairedSides(
        float=(
            Unpaired("/model.22/Constant_output_0", "folded into a constant", "Constant"),
            Unpaired("/model.22/Shape_output_0", "int64 tensor", "Shape"),
            *(Unpaired(name, "no counterpart found", "Conv") for name in extra),
        ),
        quant=(
            Unpaired("images_QuantizeLinear_Output", "codes of a tensor that is paired"),
            *(Unpaired(name, "only in the quant graph", "Cast") for name in extra),
        ),
    )


def _task(names: tuple[str, ...], sound: bool) -> TaskResult:
    lost = 0 if sound else 9
    return TaskResult(
        "detection",
        f"{14 - lost} of 14 boxes kept at confidence 0.25, {lost} lost, 0 new",
        {"kept": float(14 - lost), "lost": float(lost), "new": 0.0, "iou": 0.93},
        tuple({"sample": name, "kept": 1, "lost": 0 if sound else 1, "new": 0} for name in names),
    )
