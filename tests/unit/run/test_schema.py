"""The published schema describes what is really written, and refuses what is not."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jsonschema
import pytest

from qdebug.run import model
from qdebug.run.codec import encode
from qdebug.run.schema import run_schema
from tests.support import synthetic_run

VALIDATOR = jsonschema.Draft202012Validator(run_schema())


@pytest.mark.parametrize(
    "options",
    [{}, {"sound": True}, {"hostile_names": True}, {"input_failed": True, "samples": 1}],
    ids=["faulty", "sound", "hostile", "input"],
)
def test_written_runs_are_valid(options: dict[str, Any]) -> None:
    VALIDATOR.validate(encode(synthetic_run(60, **options)))


def test_the_schema_itself_is_valid_and_plain_json() -> None:
    schema = json.loads(json.dumps(run_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == model.SCHEMA


def test_every_dataclass_field_is_described() -> None:
    schema = run_schema()
    for name in ("Layer", "ErrorMetrics", "LocalError", "Finding", "OutputResult", "Evidence"):
        fields = {f.name for f in dataclasses.fields(getattr(model, name))}
        assert set(schema["$defs"][name]["properties"]) == fields
    assert "files" not in schema["$defs"]["Run"]["properties"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict", "status"), "passed"),
        (("layers", 0, "accumulated", "cosine"), "high"),
        (("layers", 0, "index"), 1.5),
        (("layers", 0, "shape"), [1, "3"]),
        (("findings", 0, "confidence"), None),
        (("models", "quant", "format"), "int3"),
        (("layers", 0, "quant", "range"), [1.0]),
    ],
)
def test_wrong_values_are_invalid(path: tuple[str | int, ...], value: Any) -> None:
    run = encode(synthetic_run(3))
    spot = run
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = value
    assert not VALIDATOR.is_valid(run)


def test_a_missing_required_field_is_invalid() -> None:
    run = encode(synthetic_run(3))
    del run["layers"][0]["state"]
    assert not VALIDATOR.is_valid(run)
