"""ONNX Runtime: calibration tables, overrides, quantized graphs, and a script that quantizes.

Source: ``onnxruntime.quantization`` 1.32: ``write_calibration_table``, ``save_tensors_data`` and
``static_quantize_runner``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.quantizable import RULES as STATIC
from qdebug.encodings.quantizable import quantizable
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import symmetric
from qdebug.graph.model import Graph
from qdebug.graph.validity import name_of
from qdebug.vendors.encodings import Beside, Format, Target, ToolchainEncodings, Writer
from qdebug.vendors.onnxruntime.writing import write_graph, write_script

_KINDS = {"QInt8": "int8", "QUInt8": "uint8", "QInt16": "int16", "QUInt16": "uint16"}


def is_calibration_json(source: Source) -> bool:
    """Whether a file is ``calibration.json``, or what ``save_tensors_data`` writes."""
    return '"CLS"' in source.head and isinstance(source.json, dict)


def read_calibration_json(source: Source, beside: Beside) -> Encodings:
    """Read ranges; they become uint8, as ``quantize_static`` makes them by default."""
    del beside
    content = source.json
    items = content.get("data", content) if content.get("CLS") == "TensorsData" else content
    entries = []
    for name, item in items.items():
        if isinstance(item, Mapping):
            low, high = (_value(source, name, item, end) for end in ("lowest", "highest"))
            entries.append(Entry(name, _asymmetric(source, name, low, high)))
    return Encodings(source.checked(entries))


def _value(source: Source, name: str, item: Mapping[str, Any], end: str) -> float:
    """One end of a range: a number, or a numpy array as ONNX Runtime encodes it."""
    value = item.get(end)
    if isinstance(value, Mapping):
        value = value.get("data")
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return source.number(str(value), f"{end} of {name_of(name)}")


def _asymmetric(source: Source, name: str, low: float, high: float) -> Encoding:
    """``compute_scale_zp`` of a uint8 range that holds zero."""
    if low > high:
        raise source.fault(f"the lowest value of {name_of(name)} is above its highest")
    low, high = np.float32(min(low, 0.0)), np.float32(max(high, 0.0))
    scale = np.float32((float(high) - float(low)) / 255)
    if not scale > 0:
        return Encoding.linear("uint8", 1.0)  # as ONNX Runtime has it for a tensor of zeros
    return Encoding.linear("uint8", scale, round(-float(low) / float(scale)))


def is_calibration_cache(source: Source) -> bool:
    """Whether every row is a name and one number, as ``calibration.cache`` has them."""
    rows = [line.split() for _, line in source.lines()]
    numbers = all(len(row) == 2 and _is_number(row[1]) for row in rows)
    ncnn = any("_param_" in row[0] for row in rows)
    return bool(rows) and numbers and not ncnn


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_calibration_cache(source: Source, beside: Beside) -> Encodings:
    """Read the table that ONNX Runtime's TensorRT provider takes: int8 with ``value / 127``."""
    del beside
    entries = []
    for number, line in source.lines():
        name, text = line.split()
        value = source.number(text, f"the value of {name_of(name)}", number)
        if value <= 0:
            raise source.fault(
                f"the value of {name_of(name)} is {value:g}; it must be above zero",
                number,
                "ONNX Runtime writes the larger end of a range here, without a sign: what is "
                "mostly negative gets too small a range; take calibration.json",
            )
        entries.append(Entry(name, Encoding.linear("int8", value / 127), line=number))
    return Encodings(source.checked(entries))


def is_overrides(source: Source) -> bool:
    """Whether a file is a JSON of ``TensorQuantOverrides``."""
    content = source.json
    if not isinstance(content, dict) or not content:
        return False
    return all(
        isinstance(items, list)
        and items
        and all(isinstance(x, dict) and {"scale", "zero_point"} <= x.keys() for x in items)
        for items in content.values()
    )


def read_overrides(source: Source, beside: Beside) -> Encodings:
    """Read scales and zero points; several items of a tensor are its channels."""
    del beside
    entries = list(_overridden(source))
    return Encodings(source.checked(entries))


def _overridden(source: Source) -> Iterator[Entry]:
    for name, items in source.json.items():
        with source.understanding(name_of(name)):
            scales = [float(np.asarray(item["scale"]).reshape(-1)[0]) for item in items]
            zeros = [int(np.asarray(item["zero_point"]).reshape(-1)[0]) for item in items]
            kind = str(items[0].get("quant_type", "")).rpartition(".")[2]
            dtype = _KINDS.get(kind) or ("int8" if min(zeros) < 0 else "uint8")
            found = Entry(name, Encoding.linear(dtype, scales, zeros, items[0].get("axis")))
        yield found


def ignored(
    graph: Graph, with_entry: frozenset[str], in_float: frozenset[str]
) -> Mapping[str, str]:
    """Tensors of the table that ``quantize_static`` leaves in float."""
    del in_float
    taken = set(quantizable(graph))
    return {t: "no operator beside it is quantized by default" for t in with_entry - taken}


_TABLE = Rules(
    simplify=True,
    weights=symmetric("int8", per_channel=False),
    integer_bias=True,
    fuses=STATIC.fuses,
    drop=ignored,
    rest="stays float: no operator beside it is quantized by default",
    notes=(
        "the table holds ranges only: types and weights are those of quantize_static's defaults "
        "(weights int8, one scale each)",
    ),
)
_OVERRIDES = Rules(
    notes=(
        "overrides say single tensors only: the others stay float here, and are calibrated there",
    )
)

ENCODINGS = ToolchainEncodings(
    formats=(
        Format(
            "ort-calibration",
            "ONNX Runtime calibration table (JSON)",
            is_calibration_json,
            read_calibration_json,
        ),
        Format(
            "ort-cache",
            "ONNX Runtime calibration cache",
            is_calibration_cache,
            read_calibration_cache,
        ),
        Format(
            "ort-overrides",
            "ONNX Runtime TensorQuantOverrides",
            is_overrides,
            read_overrides,
            _OVERRIDES,
        ),
    ),
    writers=(
        Writer("script", "script that quantizes", (".py",), write_script),
        Writer("qdq", "QDQ graph", (".onnx",), write_graph),
    ),
    rules=_TABLE,
    target=Target(wide=("16", "float"), weights=("tensor", "channel")),
)
