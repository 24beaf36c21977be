"""Settings from ``qdebug.toml``, or ``[tool.qdebug]`` in ``pyproject.toml``.

The file is looked for in the working directory and above it, up to the root of the project (the
nearest folder with ``.git`` or ``.hg``, else with a ``pyproject.toml``); the first one counts.
Without such a root only the working directory counts, and a file of another user never does: who
can write to a shared folder must not decide what a command here does. Nothing in the file runs
code: a ``task`` of one's own is named on the command line. What the command line says wins over the
file, the file over the defaults. An unknown key is an error, never ignored::

    preprocess = "letterbox 640 pad 114 | rgb | /255 | nchw"   # or a file beside this one
    fail_on = "warning"
    max_memory = "2GiB"

    [limits]                  # every output must hold these
    cosine = 0.99
    sqnr_db = 20
    task.f1 = 0.95            # a number of the task must reach this

    [[override]]              # layers whose names match must hold these
    match = "/model.22/*"
    sqnr_db = 15
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdebug.bounds import read_text
from qdebug.errors import UsageError
from qdebug.limits import LayerLimit
from qdebug.options import Option, config_options, values
from qdebug.run.model import TASK_PREFIX, Limit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

CONFIG_NAME = "qdebug.toml"
PYPROJECT = "pyproject.toml"

Json = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """What a configuration file says; what it does not say is absent.

    Attributes:
        file: the file, or None where there is none.
        settings: values of the plain keys, the options that say ``key``.
        limits: limits of the outputs.
        overrides: limits of single layers.
    """

    file: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    overrides: tuple[LayerLimit, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, as the origin of its values."""
        return self.file.name if self.file else "default"


def find_config(folder: Path) -> Path | None:
    """The configuration file that holds in a folder, or None."""
    for place in _project(folder):
        for file in (place / CONFIG_NAME, place / PYPROJECT):
            if file.is_file() and _is_own(file) and _is_own(place) and _speaks_to_qdebug(file):
                return file
    return None


def _project(folder: Path) -> list[Path]:
    """The folder, and those above it up to the root of its project; alone without a root."""
    places = [folder, *folder.parents]
    for marks in ((".git", ".hg"), (PYPROJECT,)):
        roots = (at for at, place in enumerate(places) if any((place / m).exists() for m in marks))
        found = next(roots, None)
        if found is not None:
            return places[: found + 1]
    return places[:1]


_OWNERS_OF_SYSTEM = frozenset({0})
"""The administrator, whose files everybody trusts already."""


def _is_own(path: Path) -> bool:
    """Whether a file or folder belongs to this user, or to the system's."""
    if not hasattr(os, "getuid"):
        return True  # Windows: who may write there is not told by an owner
    return path.stat().st_uid in {os.getuid(), *_OWNERS_OF_SYSTEM}


def load_config(file: Path | None) -> Config:
    """Read a configuration file; None gives an empty configuration.

    Raises:
        UsageError: the file cannot be read, or a key or value is not understood; names the file,
            the key and the nearest valid key.
    """
    if file is None:
        return Config()
    try:
        document = tomllib.loads(read_text(file, UsageError))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from error
    if file.name == PYPROJECT:
        document = document.get("tool", {}).get("qdebug", {})
    return _read(document, file)


def config_schema() -> Json:
    """JSON Schema (draft 2020-12) of ``qdebug.toml``, for editors."""
    limits = {name: {"type": "number"} for name in _limit_directions()}
    override = {"match": {"type": "string", "description": "shell pattern"}, **limits}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "qdebug.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{name: _described(option) for name, option in config_options().items()},
            "limits": {
                "type": "object",
                "properties": {**limits, _TASK: _TASK_LIMITS},
                "additionalProperties": False,
            },
            "override": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": override,
                    "required": ["match"],
                    "additionalProperties": False,
                },
            },
        },
    }


def _read(document: Mapping[str, Any], file: Path) -> Config:
    options = config_options()
    _check_keys(document, (*options, "limits", "override"), file, "")
    settings = {
        name: _value(option, document[name], file)
        for name, option in options.items()
        if name in document
    }
    if ":" in settings.get("task", ""):
        raise UsageError(
            f"{file.name}: task: code is only run when the command line names it",
            f"give it there: --task {settings['task']}",
        )
    return Config(
        file,
        settings,
        _limits(_table(document.get("limits", {}), "limits", file), file, "limits"),
        _overrides(document.get("override", []), file),
    )


def _value(option: Option, value: Any, file: Path) -> Any:
    try:
        read = option.kind.load(value)
    except ValueError as error:
        raise UsageError(f"{file.name}: {option.name}: {error}", option.help) from error
    return _beside(read, file) if option.kind is values.SPEC else read


def _beside(value: str, file: Path) -> str:
    """A file named in the configuration lies beside it; other text is a spec."""
    path = file.parent / value
    return str(path) if value.lower().endswith(".toml") else value


def _limits(table: Mapping[str, Any], file: Path, where: str) -> tuple[Limit, ...]:
    directions = _limit_directions()
    task = _table(table.get(_TASK, {}), f"{where}.{_TASK}", file) if where == "limits" else {}
    table = {name: value for name, value in table.items() if not (task and name == _TASK)}
    _check_keys(table, tuple(directions), file, where)
    table |= {f"{TASK_PREFIX}{name}": value for name, value in task.items()}
    for name, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UsageError(f"{file.name}: {where}.{name}: {value!r} is not a number")
    return tuple(
        Limit(name, float(value), directions.get(name, "min"), file.name)
        for name, value in table.items()
    )


def _overrides(value: Any, file: Path) -> tuple[LayerLimit, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{file.name}: override is a list of tables", "write [[override]]")
    return tuple(_override(_table(item, "override", file), file) for item in value)


def _override(table: Mapping[str, Any], file: Path) -> LayerLimit:
    match = table.get("match")
    if not isinstance(match, str) or not match:
        raise UsageError(
            f"{file.name}: an [[override]] names no layers", 'add match = "/model.22/*"'
        )
    rest = {name: value for name, value in table.items() if name != "match"}
    return LayerLimit(match, _limits(rest, file, "override"))


def _table(value: Any, where: str, file: Path) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{file.name}: {where} is a table", f"write [{where}]")
    return value


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], file: Path, where: str) -> None:
    for key in table:
        if key not in known:
            place = f" in [{where}]" if where else ""
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"known keys: {', '.join(known)}"
            raise UsageError(f"{file.name}: there is no key {key!r}{place}", hint)


def _limit_directions() -> Mapping[str, Any]:
    from qdebug.metrics.metric import METRICS

    sense = {"higher": "min", "lower": "max"}
    return {m.name: sense[m.better] for m in METRICS.values() if m.better in sense}


def _speaks_to_qdebug(file: Path) -> bool:
    if file.name == CONFIG_NAME:
        return True
    try:
        return "[tool.qdebug" in read_text(file, UsageError)
    except (OSError, UnicodeDecodeError):
        return False


def _described(option: Option) -> Json:
    """The schema of a plain key."""
    shown = option.shown_default
    default = {"default": option.default} if shown else {}
    return {"description": option.help, **option.kind.schema, **default}


_TASK = TASK_PREFIX.removesuffix(".")
_TASK_LIMITS: Json = {"type": "object", "additionalProperties": {"type": "number"}}
