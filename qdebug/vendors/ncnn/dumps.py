"""ncnn: the blobs of a network, run here through its Python wheel.

``model.param`` with ``model.bin`` beside it. The net runs in float32 or, where its layers are
quantized, in int8; what its wheel would make of float16 on a processor that has it is switched off,
so that the numbers are those of the reference implementation. Blobs have no batch: ``CHW``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.bounds import read_text
from qdebug.dumps import Dump, DumpTensor
from qdebug.errors import InputError, UsageError
from qdebug.vendors.dumps import DumpFormat

Array = npt.NDArray[Any]

_MAGIC = "7767517"
_FLOAT16 = b"\x47\x6b\x30\x01"
"""Before weights that are stored as float16: 0x01306B47, little-endian (ncnn's ``ModelBin``)."""
_OFF = (
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_storage",
    "use_packing_layout",
)
_HINT = "give model.param with model.bin beside it, as ncnn's programs are given them"


def _recognize(path: Path) -> bool:
    if path.suffix.lower() != ".param" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC.encode()


def _run(path: Path, fed: Mapping[str, Array], folder: Path) -> Dump:
    """Run the net and keep every blob as a file of a folder.

    Raises:
        InputError: the net cannot be loaded, or takes something else.
        UsageError: the wheel is not installed.
    """
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(f"--board: {path.name} has no {weights.name} beside it", _HINT)
    layers = _layers(path)
    tensors = []
    for number, (name, value) in enumerate(_blobs(path, weights, layers, fed)):
        file = folder / f"{number:05d}.npy"
        np.save(file, value)
        tensors.append(DumpTensor(name, partial(_read, file), end=_end(name)))
    quantized = sum(_is_int8(words) for _, words in layers)
    kind = f"int8 in {quantized} layers" if quantized else "float"
    return Dump(path.name, f"ncnn, run here, {kind}", tuple(tensors), notes=_notes(weights))


def _end(name: str) -> tuple[Literal["input", "output"], int] | None:
    """The network's input or output that pnnx names so."""
    found = re.fullmatch(r"(in|out)(\d+)", name)
    if found is None:
        return None
    return ("input" if found[1] == "in" else "output"), int(found[2])


def _read(file: Path) -> Array:
    return np.asarray(np.load(file, mmap_mode="r"))


def _layers(path: Path) -> list[tuple[list[str], list[str]]]:
    """Names of each layer's blobs that it reads, and makes; its other words behind them.

    Raises:
        InputError: it is no text of ncnn's.
    """
    try:
        lines = read_text(path, InputError).splitlines()[2:]
        found = []
        for words in filter(None, map(str.split, lines)):
            reads, makes = int(words[2]), int(words[3])
            found.append((words[4 + reads : 4 + reads + makes], [words[0], *words[4:]]))
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"--board: {path.name} is damaged: {error}", _HINT) from error
    return found


def _is_int8(words: list[str]) -> bool:
    """Whether a layer's parameter 8 says that its weights are codes."""
    return any(re.fullmatch(r"8=[1-9]\d*", word) for word in words)


def _notes(weights: Path) -> tuple[str, ...]:
    with weights.open("rb") as stream:
        if stream.read(len(_FLOAT16)) != _FLOAT16:
            return ()
    return (
        "its weights are stored as float16 (pnnx does so unless it is told fp16=0): values above "
        "65504 become infinite, those below 0.000061 zero",
    )


def _blobs(
    path: Path,
    weights: Path,
    layers: list[tuple[list[str], list[str]]],
    fed: Mapping[str, Array],
) -> Iterator[tuple[str, Array]]:
    try:
        import ncnn
    except ImportError as error:
        raise UsageError(
            f"--board: {path.name} is run by ncnn, which is not installed",
            "pip install 'qdebug[ncnn]'",
        ) from error
    net = ncnn.Net()
    net.opt.lightmode, net.opt.num_threads = False, 1
    for name in _OFF:
        if hasattr(net.opt, name):
            setattr(net.opt, name, False)
    if net.load_param(str(path)) or net.load_model(str(weights)):
        raise InputError(f"--board: ncnn cannot load {path.name}", _HINT)
    inputs = [name for makes, words in layers if words[0] == "Input" for name in makes]
    if len(inputs) != len(fed):
        raise InputError(
            f"--board: {path.name} has {len(inputs)} inputs, the models have {len(fed)}",
            "convert the same network",
        )
    extractor = net.create_extractor()
    held = {}
    for name, value in zip(inputs, fed.values(), strict=True):
        blob = np.ascontiguousarray(value[0] if value.ndim > 1 else value, np.float32)
        held[name] = blob  # ncnn looks into numpy's memory, which has to stay
        extractor.input(name, ncnn.Mat(blob))
    yield from held.items()
    yield from _extracted(extractor, layers, path)


def _extracted(
    extractor: Any, layers: list[tuple[list[str], list[str]]], path: Path
) -> Iterator[tuple[str, Array]]:
    for makes, words in layers:
        if words[0] == "Input":
            continue
        for name in makes[:1] if words[0] == "Split" else makes:  # its outputs are one value
            failed, blob = extractor.extract(name)
            if failed:
                raise InputError(
                    f"--board: ncnn cannot run {path.name} up to its blob {name}", _HINT
                )
            yield name, np.array(blob)


DUMPS = DumpFormat(_recognize, run=_run)
