"""qdebug.toml and [tool.qdebug]."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from qdebug import config
from qdebug.config import Config, config_schema, find_config, load_config
from qdebug.errors import QdebugError, UsageError
from qdebug.options import config_options
from qdebug.preprocess import PreprocessSpec

FULL = """
preprocess = "letterbox 640 pad 114 | rgb | /255 | nchw"
limit = 32
max_memory = "2GiB"
keep_tensors = "worst:20"
fail_on = "warning"
sensitivity = true
vendor = "rknn"

[limits]
cosine = 0.99
mse = 1
task.f1 = 0.95

[[override]]
match = "/model.22/*"
sqnr_db = 15
"""


def _write(folder: Path, text: str, name: str = "qdebug.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_a_full_file(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, FULL))
    assert config.settings == {
        "preprocess": "letterbox 640 pad 114 | rgb | /255 | nchw",
        "limit": 32,
        "max_memory": 2 << 30,
        "keep_tensors": "worst:20",
        "fail_on": "warning",
        "sensitivity": True,
        "vendor": "rknn",
    }
    limits = [(x.metric, x.value, x.direction, x.origin) for x in config.limits]
    assert limits == [
        ("cosine", 0.99, "min", "qdebug.toml"),
        ("mse", 1.0, "max", "qdebug.toml"),
        ("task.f1", 0.95, "min", "qdebug.toml"),
    ]
    assert config.overrides[0].match == "/model.22/*"
    assert config.overrides[0].limits[0].value == 15.0


def test_no_file_is_an_empty_configuration() -> None:
    assert load_config(None) == Config()
    assert load_config(None).name == "default"


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    outer = _write(tmp_path, "limit = 1")
    inner = _write(tmp_path / "a", "[tool.qdebug]\nlimit = 2", "pyproject.toml")
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert find_config(deep) == inner
    assert load_config(inner).settings == {"limit": 2}
    assert find_config(tmp_path) == outer


def test_qdebug_toml_wins_over_pyproject_beside_it(tmp_path: Path) -> None:
    _write(tmp_path, "[tool.qdebug]\nlimit = 2", "pyproject.toml")
    file = _write(tmp_path, "limit = 1")
    assert find_config(tmp_path) == file


def test_a_pyproject_of_others_is_passed_over(tmp_path: Path) -> None:
    outer = _write(tmp_path, "limit = 1")
    _write(tmp_path / "a", "[tool.other]\nlimit = 2", "pyproject.toml")
    _write(tmp_path / "a" / "b", "not toml at all [", "pyproject.toml")
    (tmp_path / ".git").mkdir()
    assert find_config(tmp_path / "a" / "b") == outer


@pytest.mark.parametrize("mark", [".git", ".hg", "pyproject.toml"])
def test_a_file_above_the_project_does_not_count(tmp_path: Path, mark: str) -> None:
    _write(tmp_path, 'task = "/x/evil.py:go"')
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    assert find_config(project / "src") is None  # no root at all: the working folder alone
    (project / mark).touch()
    assert find_config(project / "src") is None
    own = _write(project, "limit = 1")
    assert find_config(project / "src") == own


def test_a_file_of_another_user_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _write(tmp_path, "limit = 1")
    assert find_config(tmp_path) == file
    monkeypatch.setattr(os, "getuid", lambda: file.stat().st_uid + 1, raising=False)
    owner = config._OWNERS_OF_SYSTEM
    monkeypatch.setattr(config, "_OWNERS_OF_SYSTEM", owner - {file.stat().st_uid})
    assert find_config(tmp_path) is None


def test_code_is_not_run_for_a_file(tmp_path: Path) -> None:
    file = _write(tmp_path, 'task = "evil.py:go"')
    with pytest.raises(UsageError, match="only run when the command line names it") as caught:
        load_config(file)
    assert "--task evil.py:go" in (caught.value.hint or "")
    assert load_config(_write(tmp_path, 'task = "detection"')).settings == {"task": "detection"}


def test_a_preprocess_file_lies_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = _write(tmp_path / "conf", 'preprocess = "prep.toml"')
    assert load_config(file).settings["preprocess"] == str(tmp_path / "conf" / "prep.toml")


def test_a_preprocess_table_becomes_its_text(tmp_path: Path) -> None:
    spec = PreprocessSpec.parse("letterbox 640 pad 114 | rgb | /255 | nchw")
    steps = spec.to_toml().replace("[[step]]", "[[preprocess.step]]")
    settings = load_config(_write(tmp_path, steps)).settings
    assert PreprocessSpec.parse(settings["preprocess"]) == spec


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("limt = 3", "qdebug.toml: there is no key 'limt'", "did you mean 'limit'"),
        ("[limits]\ncosin = 1", "there is no key 'cosin' in [limits]", "did you mean 'cosine'"),
        ("[limits]\nbias = 1", "there is no key 'bias' in [limits]", "known keys: "),
        ('[limits]\ncosine = "high"', "limits.cosine: 'high' is not a number", None),
        ("[limits]\ncosine = true", "limits.cosine: True is not a number", None),
        ("[limits]\ntask = 3", "limits.task is a table", "write [limits.task]"),
        ("[limits]\ntask.f1 = 'x'", "limits.task.f1: 'x' is not a number", None),
        ("limits = 3", "limits is a table", "write [limits]"),
        ("override = 3", "override is a list of tables", "write [[override]]"),
        ("[[override]]\nsqnr_db = 3", "an [[override]] names no layers", "add match"),
        ('[[override]]\nmatch = "x"\nsqnr = 3', "'sqnr' in [override]", "did you mean 'sqnr_db'"),
        ("limit = 0", "limit: 0 is not a whole number from 1", "use the first N samples only"),
        ("limit = true", "limit: True is not a whole number from 1", None),
        ('max_memory = "lots"', "max_memory: 'lots' is not a size", None),
        ('keep_tensors = "some"', "keep_tensors: 'some' is not none, all", None),
        ('fail_on = "always"', "fail_on: 'always' is not one of error, warning, never", None),
        ("local = 1", "local: 1 is neither true nor false", None),
        ("task = 1", "task: 1 is not a text", None),
        ("preprocess = 5", "preprocess: 5 is neither a text nor a table", None),
        ("limit = ", "is not valid TOML", None),
    ],
)
def test_mistakes_name_file_key_and_the_nearest(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(_write(tmp_path, text))
    assert "qdebug.toml" in caught.value.message
    assert message in caught.value.message
    if hint:
        assert hint in (caught.value.hint or "")


def test_a_bad_preprocess_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QdebugError):
        load_config(_write(tmp_path, '[preprocess]\nstep = "x"'))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        load_config(tmp_path / "none.toml")


def test_the_schema_and_the_reader_agree() -> None:
    schema = config_schema()
    json.dumps(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == {*config_options(), "limits", "override"}
    good: dict[str, object] = {
        "preprocess": {"step": [{"op": "scale"}]},
        "max_memory": "2GiB",
        "limits": {"cosine": 0.99},
        "override": [{"match": "*", "sqnr_db": 15}],
    }
    jsonschema.validate(good, schema)
    for bad in ({"limt": 3}, {"limits": {"bias": 1}}, {"limit": 0}, {"override": [{"mse": 1}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
