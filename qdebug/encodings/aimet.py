"""AIMET's encodings as JSON: qdebug's own file (2.0.0), and two older forms.

Source: AIMET's documentation, *Encoding format specification*; a file that aimet-onnx 2.42 wrote.
2.0.0 has the words of ONNX's QuantizeLinear. The older ones give an ``offset`` that is meant for
unsigned codes, whatever the type: ``real = (code + offset) * scale`` with codes from 0.

What 2.0.0 does not say stands under the key ``qdebug``, which other readers pass over: which names
are weights, and, for an entry, its readers, a narrow range and a second scale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug._version import __version__
from qdebug.encodings.model import FLOATS, Encoding, Encodings, Entry, Kind
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError
from qdebug.graph.qparams import code_range
from qdebug.graph.validity import name_of

Version = Literal["2.0.0", "1.0.0", "0.6.1"]
_OWN = "qdebug"
_SECTIONS: tuple[tuple[str, Kind], ...] = (
    ("activation_encodings", "tensor"),
    ("param_encodings", "weight"),
)


def is_aimet(source: Source) -> bool:
    """Whether a file holds AIMET's encodings, of any version."""
    content = source.json
    if not isinstance(content, dict) or "version" not in content:
        return False
    return isinstance(content.get("encodings"), list) or any(s in content for s, _ in _SECTIONS)


def read_aimet(source: Source) -> Encodings:
    """Read encodings of version 2.0.0, 1.0.0 or 0.x.

    Raises:
        EncodingsError: the content is unusable.
    """
    content = source.json
    version = str(content.get("version"))
    with source.understanding("an entry"):
        if version.startswith("2."):
            entries = list(_read_2(content))
        else:
            entries = list(_read_older(source, content, by_name=version.startswith("0.")))
    return Encodings(source.checked(entries), origin=source.name)


def write_aimet(encodings: Encodings, version: Version = "2.0.0") -> bytes:
    """Write encodings. Of nodes, and of what an older version has no word for, nothing is written.

    Args:
        encodings: what to write.
        version: of the form.
    """
    newest = version == "2.0.0"
    content = _written_2(encodings) if newest else _written_older(encodings, version)
    return (json.dumps(content, indent=1) + "\n").encode()


def _read_2(content: Mapping[str, Any]) -> Iterator[Entry]:
    own = content.get(_OWN, {})
    weights = set(own.get("weights", ()))
    for item in content["encodings"]:
        name, extra = item["name"], item.get(_OWN, {})
        kind: Kind = "weight" if name in weights else extra.get("kind", "tensor")
        yield Entry(name, _encoding_2(item, extra), kind, tuple(extra.get("readers", ())))


def _encoding_2(item: Mapping[str, Any], extra: Mapping[str, Any]) -> Encoding:
    dtype = str(item["output_dtype"])
    if dtype not in FLOATS:
        code_range(dtype)
    scale = _scale_2(item)
    if dtype in FLOATS or scale is None:
        return Encoding(dtype)
    zero = item.get("y_zero_point")
    second = extra.get("dequantize_scale")
    rest: dict[str, Any] = {
        "block_size": int(item.get("block_size") or 0),
        "narrow": bool(extra.get("narrow")),
    }
    if second is not None:
        rest["dequantize_scale"] = np.asarray(second, np.float32)
    return Encoding.linear(dtype, scale, 0 if zero is None else zero, item.get("axis"), **rest)


def _scale_2(item: Mapping[str, Any]) -> npt.NDArray[np.float32] | None:
    """The scales; of one a channel times one a block, their product."""
    if item.get("y_scale") is not None:
        return np.asarray(item["y_scale"], np.float32)
    if item.get("per_channel_float_scale") is None:
        return None
    channels = np.asarray(item["per_channel_float_scale"], np.float32)
    return channels * np.asarray(item["per_block_int_scale"], np.float32)


def _written_2(encodings: Encodings) -> dict[str, Any]:
    weights = [entry.name for entry in encodings.entries if entry.kind == "weight"]
    return {
        "version": "2.0.0",
        "producer": {"package": "qdebug", "version": __version__},
        _OWN: {"weights": list(dict.fromkeys(weights))},
        "encodings": [_item_2(entry) for entry in encodings.entries],
    }


def _item_2(entry: Entry) -> dict[str, Any]:
    encoding = entry.encoding
    item: dict[str, Any] = {"name": entry.name, "output_dtype": encoding.dtype}
    if encoding.scale is not None and encoding.zero_point is not None:
        item["y_scale"] = encoding.scale.tolist()
        if encoding.zero_point.any():
            item["y_zero_point"] = encoding.zero_point.tolist()
        item |= {"axis": encoding.axis} if encoding.axis is not None else {}
        item |= {"block_size": encoding.block_size} if encoding.block_size else {}
    extra: dict[str, Any] = {"kind": "node"} if entry.kind == "node" else {}
    extra |= {"readers": list(entry.readers)} if entry.readers else {}
    extra |= {"narrow": True} if encoding.narrow else {}
    if encoding.dequantize_scale is not None:
        extra["dequantize_scale"] = float(encoding.dequantize_scale)
    return item | ({_OWN: extra} if extra else {})


def _read_older(source: Source, content: Mapping[str, Any], *, by_name: bool) -> Iterator[Entry]:
    for section, kind in _SECTIONS:
        found = content.get(section) or ({} if by_name else [])
        pairs = found.items() if isinstance(found, dict) else [(x["name"], x) for x in found]
        for name, item in pairs:
            try:
                encoding = _of_list(item) if isinstance(item, list) else _of_item(item)
            except EncodingsError as error:
                raise source.fault(f"{name_of(name)} {error.message}", hint=error.hint) from None
            yield Entry(name, encoding, kind)


def _of_item(item: Mapping[str, Any]) -> Encoding:
    """An entry of 1.0.0."""
    bits = int(item["bw"])
    if item["dtype"] == "FLOAT":
        return Encoding("bfloat16" if item.get("is_bfloat16") else f"float{bits}")
    if item["enc_type"] not in ("PER_TENSOR", "PER_CHANNEL"):
        raise EncodingsError(
            f"has a scale for each block, and {item['enc_type']} of 1.0.0 does not say along which "
            "axis",
            "export the encodings as version 2.0.0",
        )
    return _of_offsets(bits, item["scale"], item["offset"], symmetric=bool(item["is_sym"]))


def _of_list(items: list[Mapping[str, Any]]) -> Encoding:
    """An entry of 0.x: one item a channel."""
    first = items[0]
    bits = int(first["bitwidth"])
    if first.get("dtype", "int") == "float":
        return Encoding(f"float{bits}")
    symmetric = str(first.get("is_symmetric", "False")) == "True"
    return _of_offsets(
        bits, [x["scale"] for x in items], [x["offset"] for x in items], symmetric=symmetric
    )


def _of_offsets(bits: int, scale: Any, offset: Any, *, symmetric: bool) -> Encoding:
    shift = 1 << (bits - 1) if symmetric else 0
    zero = -np.asarray(offset, np.float64).astype(np.int64) - shift
    return Encoding.linear(f"{'int' if symmetric else 'uint'}{bits}", scale, zero)


def _written_older(encodings: Encodings, version: Version) -> dict[str, Any]:
    content: dict[str, Any] = {
        "version": version,
        "producer": {"package": "qdebug", "version": __version__},
    }
    for section, kind in _SECTIONS:
        entries = list(encodings.of_kind(kind).values())
        if version == "1.0.0":
            content[section] = [{"name": e.name, **_item_1(e.encoding)} for e in entries]
        else:
            content[section] = {e.name: _items_0(e.encoding) for e in entries}
    return content


def _item_1(encoding: Encoding) -> dict[str, Any]:
    if encoding.scale is None:
        return {"dtype": "FLOAT", "bw": encoding.bits, "enc_type": "PER_TENSOR"}
    return {
        "dtype": "INT",
        "bw": encoding.bits,
        "is_sym": _is_symmetric(encoding),
        "enc_type": "PER_CHANNEL" if encoding.scale.ndim else "PER_TENSOR",
        "scale": encoding.scale.reshape(-1).tolist(),
        "offset": [float(value) for value in _offsets(encoding)],
    }


def _items_0(encoding: Encoding) -> list[dict[str, Any]]:
    if encoding.scale is None:
        return [{"bitwidth": encoding.bits, "dtype": "float"}]
    steps = (1 << encoding.bits) - 1
    return [
        {
            "bitwidth": encoding.bits,
            "dtype": "int",
            "is_symmetric": str(_is_symmetric(encoding)),
            "min": float(offset) * scale,
            "max": (float(offset) + steps) * scale,
            "offset": int(offset),
            "scale": scale,
        }
        for offset, scale in zip(
            _offsets(encoding), encoding.scale.reshape(-1).tolist(), strict=True
        )
    ]


def _is_symmetric(encoding: Encoding) -> bool:
    signed = not encoding.dtype.startswith("u")
    return signed and encoding.zero_point is not None and not encoding.zero_point.any()


def _offsets(encoding: Encoding) -> npt.NDArray[np.int64]:
    """What is added to unsigned codes."""
    assert encoding.zero_point is not None
    low, _ = code_range(encoding.dtype)
    return low - encoding.zero_point.reshape(-1)
