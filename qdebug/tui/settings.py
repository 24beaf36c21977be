r"""The user's taste: theme, characters, keys. A file of the user's, not of a project.

``browse.toml`` lies in ``$XDG_CONFIG_HOME/qdebug`` (``~/.config/qdebug``; ``%APPDATA%\qdebug`` on
Windows)::

    theme = "qdebug-light"
    ascii = false

    [keys]
    "layers.next_source" = "ctrl+n"
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
from qdebug.tui.keys import BY_ID

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

FILE_NAME = "browse.toml"


@dataclass(frozen=True)
class Settings:
    """What the file says.

    Attributes:
        theme: name of a theme, or None for the default.
        ascii: whether to draw with ASCII only; None lets the terminal decide.
        keys: keys by the id of what they do.
    """

    theme: str | None = None
    ascii: bool | None = None
    keys: Mapping[str, str] = field(default_factory=dict)


def settings_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the file lies on this system."""
    if os.name == "nt" and environment.get("APPDATA"):
        return Path(environment["APPDATA"]) / "qdebug" / FILE_NAME
    home = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "qdebug" / FILE_NAME


def load_settings(file: Path) -> Settings:
    """Read the file; one that is not there says nothing.

    Raises:
        UsageError: the file cannot be read, or a key of it is unknown; names the nearest.
    """
    try:
        document = tomllib.loads(read_text(file, UsageError))
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise UsageError(f"{file.name} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file.name} is not valid TOML: {error}") from error
    _check(document, ("theme", "ascii", "keys"), file.name)
    keys = document.get("keys", {})
    _require(isinstance(keys, dict), file.name, "keys", "a table")
    _check(keys, tuple(BY_ID), file.name)
    for name, value in keys.items():
        _require(isinstance(value, str) and bool(value), file.name, name, "a key such as ctrl+n")
    theme, ascii_only = document.get("theme"), document.get("ascii")
    _require(theme is None or isinstance(theme, str), file.name, "theme", "the name of a theme")
    _require(
        ascii_only is None or isinstance(ascii_only, bool), file.name, "ascii", "true or false"
    )
    return Settings(theme, ascii_only, keys)


def _check(found: Mapping[str, Any], known: tuple[str, ...], file: str) -> None:
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "the help (?) lists the keys"
            raise UsageError(f"{file} has the unknown key {name!r}", hint)


def _require(condition: bool, file: str, name: str, expected: str) -> None:
    if not condition:
        raise UsageError(f"{file}: {name} should be {expected}")
