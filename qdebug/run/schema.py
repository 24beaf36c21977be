"""JSON Schema of ``run.json``, derived from the dataclasses so that the two cannot disagree."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from typing import Any, Union

from qdebug.run import check_report
from qdebug.run.check_report import CheckReport
from qdebug.run.decoding import field_hints, is_required, json_fields
from qdebug.run.model import SCHEMA, Run

_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}]}
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"$ref": "#/$defs/number"},
    type(None): {"type": "null"},
    Any: {},
}


def run_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a run."""
    return _root_schema(Run, SCHEMA, "A qdebug run")


def check_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of what ``qdebug preprocess check --json`` writes."""
    return _root_schema(CheckReport, check_report.SCHEMA, "A qdebug check of an input")


def _root_schema(root: type, identifier: str, title: str) -> dict[str, Any]:
    definitions: dict[str, Any] = {"number": _NUMBER}
    content = _schema_of(root, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": identifier,
        "title": title,
        **content,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema_of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _dataclass_ref(typing.cast(type, hint), definitions)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of(option, definitions) for option in args]}
    if origin is tuple:
        return _tuple_schema(args, definitions)
    if origin is collections.abc.Mapping:
        return {"type": "object", "additionalProperties": _schema_of(args[1], definitions)}
    if origin is typing.Literal:
        return {"enum": list(args)}
    return _SCALARS[hint]


def _dataclass_ref(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if cls.__name__ not in definitions:
        definitions[cls.__name__] = {}
        hints = field_hints(cls)
        fields = json_fields(cls)
        definitions[cls.__name__] = {
            "type": "object",
            "properties": {f.name: _schema_of(hints[f.name], definitions) for f in fields},
            "required": sorted(f.name for f in fields if is_required(f)),
        }
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _tuple_schema(args: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if len(args) == 2 and args[1] is Ellipsis:
        return {"type": "array", "items": _schema_of(args[0], definitions)}
    items = [_schema_of(arg, definitions) for arg in args]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
