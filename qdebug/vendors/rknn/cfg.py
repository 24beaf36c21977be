"""RKNN-Toolkit2's ``quantization.cfg``, which step 1 of hybrid quantization writes.

It is read as YAML nodes, so that complaints can name lines; nothing in it is constructed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from qdebug.encodings.source import Source
from qdebug.graph.validity import name_of

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
    text = source.text or ""
    return any(
        line.startswith((f"{CUSTOM}:", f"{PARAMETERS}:", f"{_OLD}:")) for line in text.splitlines()
    )


def read_cfg(source: Source) -> Cfg:
    """Read a cfg.

    Raises:
        EncodingsError: it is no YAML, of version 1, or a number in it cannot be meant.
    """
    top = _mapping(source, _root(source), "the file")
    if _OLD in top:
        raise source.fault(
            "it is a cfg of RKNN-Toolkit version 1 (or ACUITY), whose names are not those of "
            "RKNN-Toolkit2",
            _line(top[_OLD]),
            "give the cfg that RKNN-Toolkit2's hybrid_quantization_step1 writes",
        )
    if PARAMETERS not in top:
        raise source.fault(f"it has no {PARAMETERS}", hint="the file is cut off")
    given = _mapping(source, top[PARAMETERS], PARAMETERS)
    custom = _mapping(source, top[CUSTOM], CUSTOM) if CUSTOM in top else {}
    return Cfg(
        {name: _type(source, name, node) for name, node in custom.items()},
        {name: _parameters(source, name, node) for name, node in given.items()},
    )


def _root(source: Source) -> yaml.Node:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = source.text or ""
    try:
        for event in yaml.parse(text, loader):
            line = event.start_mark.line + 1 if event.start_mark is not None else None
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise source.fault("it refers to another place of itself, as no cfg does", line)
            if getattr(event, "tag", None):
                raise source.fault("it has a tag, as no cfg does", line)
        root: yaml.Node | None = yaml.compose(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark is not None else None
        hint = "the file is cut off, or was edited by hand"
        raise source.fault(f"it is no YAML: {error.problem}", line, hint) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise source.fault(f"it is no YAML: {error}") from None
    if root is None:
        raise source.fault("it has no entries")
    return root


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _mapping(source: Source, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
    if isinstance(node, yaml.ScalarNode) and not node.value:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise source.fault(f"{what} is no list of names and values", _line(node))
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        if name in found:
            raise source.fault(f"{name_of(name)} stands in it twice", _line(key))
        found[name] = value
    return found


def _type(source: Source, name: str, node: yaml.Node) -> tuple[str, int]:
    text = str(node.value)
    if text not in TYPES:
        known = ", ".join(TYPES)
        raise source.fault(f"{name_of(name)} shall be {name_of(text)}; known: {known}", _line(node))
    return text, _line(node)


def _parameters(source: Source, name: str, node: yaml.Node) -> Parameters:
    fields = _mapping(source, node, name_of(name))

    def numbers(key: str) -> tuple[float, ...]:
        return tuple(_numbers(source, fields.get(key), f"{key} of {name_of(name)}"))

    def word(key: str) -> str:
        return str(fields[key].value) if key in fields else ""

    scale = numbers("scale")
    if scale and min(scale) <= 0:
        at = _line(fields["scale"])
        raise source.fault(
            f"a scale of {name_of(name)} is {min(scale):g}; it must be above zero", at
        )
    return Parameters(
        _line(node) - 1,
        word("dtype"),
        word("qmethod"),
        scale,
        numbers("zero_point"),
        numbers("min"),
        numbers("max"),
    )


def _numbers(source: Source, node: yaml.Node | None, what: str) -> Iterator[float]:
    if node is None:
        return
    if not isinstance(node, yaml.SequenceNode):
        raise source.fault(f"{what} is no list", _line(node))
    for item in node.value:
        yield source.number(str(item.value), what, _line(item))
