"""TensorRT: the calibration cache of versions 8 to 10, and ModelOpt's arguments.

Source: caches of TensorRT 8 and 10; ModelOpt's ``modelopt.onnx.quantization``.
"""

from __future__ import annotations

import re
import shlex
import struct

import numpy as np

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import symmetric
from qdebug.errors import UsageError
from qdebug.graph.validity import name_of
from qdebug.vendors.encodings import (
    Beside,
    Change,
    Format,
    Target,
    ToolchainEncodings,
    Writer,
    Written,
)

_HEADING = re.compile(r"^TRT-\d+-\w*Calibrat\w*\s*$")
_WRITTEN = "TRT-8510-EntropyCalibration2"
_HEX = re.compile(r"[0-9a-fA-F]{8}$")


def is_cache(source: Source) -> bool:
    """Whether a file is a calibration cache: by its first line."""
    return bool(_HEADING.match(source.head.partition("\n")[0]))


def read_cache(source: Source, beside: Beside) -> Encodings:
    """Read a cache: after each name the step of int8 codes, a float32 in hexadecimal."""
    del beside
    entries = [_entry(source, at, line) for at, line in source.lines() if at > 1]
    return Encodings(source.checked(entries))


def _entry(source: Source, number: int, line: str) -> Entry:
    name, colon, text = line.rpartition(":")
    text = text.strip()
    if not colon or not _HEX.match(text):
        raise source.fault(
            "a row is not NAME: eight hexadecimal digits",
            number,
            "the cache is cut off, or was edited by hand",
        )
    (step,) = struct.unpack(">f", bytes.fromhex(text))
    if not (np.isfinite(step) and step > 0):
        raise source.fault(
            f"the scale of {name_of(name.strip())} is {step:g}; it must be finite and above zero",
            number,
        )
    return Entry(name.strip(), Encoding.linear("int8", step), line=number)


def write_cache(change: Change) -> Written:
    """The scales of all tensors; TensorRT 10 still reads it, 11 does not."""
    if change.keep and not change.ranges:
        raise UsageError(
            "a calibration cache holds ranges: it cannot keep a layer in float",
            "write the arguments of ModelOpt: --as modelopt",
        )
    rows, left = [], 0
    for entry in change.changed().entries:
        encoding = entry.encoding
        if entry.kind != "tensor" or entry.readers:
            continue
        able = encoding.is_linear and encoding.quantizer().scale.ndim == 0
        if not able or ":" in entry.name[-1:] or "\n" in entry.name:
            left += 1
            continue
        step = max(map(abs, encoding.quantizer().real_range)) / 127
        if encoding.dtype == "int8" and not int(encoding.quantizer().zero_point):
            step = float(encoding.quantizer().scale)
        rows.append(f"{entry.name}: {struct.pack('>f', step).hex()}")
    if not rows:
        raise UsageError("no range is known that a calibration cache could hold")
    notes = [f"{left} tensors with a scale for each channel are left out"] if left else []
    if change.keep:
        notes.append(f"{len(change.keep)} layers to keep in float have no form in it")
    return Written("\n".join([_WRITTEN, *rows, ""]).encode(), tuple(notes))


def write_exclude(change: Change) -> Written:
    """The argument by which ModelOpt leaves nodes out; it takes regular expressions."""
    if not change.keep:
        raise UsageError(
            "nothing is to be kept in float: --nodes_to_exclude says nothing else",
            "for ranges, write the calibration cache: --as cache",
        )
    names = " ".join(shlex.quote(f"^{re.escape(layer.node)}$") for layer in change.keep)
    notes = ("append it to python -m modelopt.onnx.quantization",)
    return Written(f"--nodes_to_exclude {names}\n".encode(), notes)


ENCODINGS = ToolchainEncodings(
    formats=(Format("trt-cache", "TensorRT calibration cache", is_cache, read_cache),),
    writers=(
        Writer("modelopt", "ModelOpt --nodes_to_exclude", (".txt", ".args"), write_exclude),
        Writer("cache", "TensorRT calibration cache", (".cache",), write_cache),
    ),
    rules=Rules(
        simplify=True,
        weights=symmetric("int8"),
        fuses=frozenset({"Relu"}),
        rest="stays float here: TensorRT quantizes what has an entry, where that is faster",
        notes=(
            "TensorRT chooses by speed which layers run in int8: the engine may keep some in "
            "float that are quantized here",
        ),
    ),
    target=Target(wide=("float",), symmetric=True),
)
