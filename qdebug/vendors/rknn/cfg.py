"""RKNN-Toolkit2's ``quantization.cfg``, which step 1 of hybrid quantization writes.

It is read as YAML nodes, so that complaints can name lines; nothing in it is constructed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from qdebug.encodings.source import Source
from qdebug.graph.validity import name_of
from qdebug.vendors.readers import is_acuity
from qdebug.vendors.yaml_text import line_of, mapping, numbers, root_of

CUSTOM, PARAMETERS = "custom_quantize_layers", "quantize_parameters"
_OLD = "customized_quantize_layers"
TYPES = ("int8", "int16", "float16")


@dataclass(frozen=True)
class Parameters:
    """How one tensor is quantized.

    Attributes:
        line: of its name.
        dtype: ``int8``, ``int16``, ``int32`` or ``float32``.
        qmethod: ``layer``, or ``channel``.
        scale, zero_point, low, high: as the file has them; empty where it has none.
    """

    line: int
    dtype: str
    qmethod: str
    scale: tuple[float, ...]
    zero_point: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Cfg:
    """A cfg.

    Attributes:
        custom: type and line of the layers that shall have another, by tensor.
        parameters: by tensor.
    """

    custom: Mapping[str, tuple[str, int]]
    parameters: Mapping[str, Parameters]


def is_cfg(source: Source) -> bool:
    """Whether a file is a cfg, also one of version 1, which is refused when it is read."""
    headings = (f"{CUSTOM}:", f"{PARAMETERS}:", f"{_OLD}:")
    lines = (source.text or "").splitlines()
    return any(line.startswith(headings) for line in lines) and not is_acuity(source)


def read_cfg(source: Source) -> Cfg:
    """Read a cfg.

    Raises:
        EncodingsError: it is no YAML, of version 1, or a number in it cannot be meant.
    """
    top = mapping(source, root_of(source), "the file")
    if _OLD in top:
        raise source.fault(
            "it is a cfg of RKNN-Toolkit version 1 (or ACUITY), whose names are not those of "
            "RKNN-Toolkit2",
            line_of(top[_OLD]),
            "give the cfg that RKNN-Toolkit2's hybrid_quantization_step1 writes; a .quantize of "
            "ACUITY with a %YAML line is read with --quant-format acuity",
        )
    if PARAMETERS not in top:
        raise source.fault(f"it has no {PARAMETERS}", hint="the file is cut off")
    given = mapping(source, top[PARAMETERS], PARAMETERS)
    custom = mapping(source, top[CUSTOM], CUSTOM) if CUSTOM in top else {}
    return Cfg(
        {name: _type(source, name, node) for name, node in custom.items()},
        {name: _parameters(source, name, node) for name, node in given.items()},
    )


def _type(source: Source, name: str, node: yaml.Node) -> tuple[str, int]:
    text = str(node.value)
    if text not in TYPES:
        known = ", ".join(TYPES)
        raise source.fault(
            f"{name_of(name)} shall be {name_of(text)}; known: {known}", line_of(node)
        )
    return text, line_of(node)


def _parameters(source: Source, name: str, node: yaml.Node) -> Parameters:
    fields = mapping(source, node, name_of(name))

    def numbers_of(key: str) -> tuple[float, ...]:
        return tuple(numbers(source, fields.get(key), f"{key} of {name_of(name)}"))

    def word(key: str) -> str:
        return str(fields[key].value) if key in fields else ""

    scale = numbers_of("scale")
    if scale and min(scale) <= 0:
        at = line_of(fields["scale"])
        raise source.fault(
            f"a scale of {name_of(name)} is {min(scale):g}; it must be above zero", at
        )
    return Parameters(
        line_of(node) - 1,
        word("dtype"),
        word("qmethod"),
        scale,
        numbers_of("zero_point"),
        numbers_of("min"),
        numbers_of("max"),
    )
