"""A hook of mkdocs: the page of all options, made from their entries.

Nothing of it is kept in the repository, so that a new option needs nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qdebug.options import (
    CompareCommandOptions,
    CompareOptions,
    ConfigOptions,
    ExtractOptions,
    Option,
    PreprocessOptions,
    ReadingCommandOptions,
    ReadingOptions,
    TuneOptions,
    options_of,
)
from qdebug.options.shared import GROUPS

PAGE = "options.md"
_SECTIONS: dict[str, tuple[type, ...]] = {
    "qdebug compare": (CompareOptions, CompareCommandOptions),
    "qdebug extract": (ExtractOptions, ConfigOptions),
    "qdebug tune": (TuneOptions, ConfigOptions),
    "qdebug preprocess": (PreprocessOptions,),
    "qdebug reading": (ReadingOptions, ReadingCommandOptions),
}
_FUNCTIONS = (CompareOptions, ExtractOptions, TuneOptions)
"""What Python functions take; the commands of both read the configuration."""
_HEAD = """# Options

What an option says on the command line holds before what `qdebug.toml` (or `[tool.qdebug]` in
`pyproject.toml`) says, and that before the default. In the file an option has the name of its
Python parameter. What a file switches on, `--no-...` switches off. `qdebug env` shows what holds
where you are, and `qdebug schema config` prints the file's JSON Schema for editors.

Besides, the file may hold `[limits]` for every output and `[[override]]` for single layers; see
[A gate in CI](ci.md).
"""


def page() -> str:
    """The whole page."""
    sections = (_section(title, owners) for title, owners in _SECTIONS.items())
    return "\n".join([_HEAD, *sections])


def on_files(files: Any, *, config: Any) -> Any:
    """Add the page."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page()))
    return files


def _section(title: str, owners: tuple[type, ...]) -> str:
    entries = [(option, owner in _FUNCTIONS) for owner in owners for option in options_of(owner)]
    has_file = owners[0] in _FUNCTIONS
    lines = [f"## {title}", "", "| option | in qdebug.toml | in Python | |", "|---|---|---|---|"]
    for group in ("", *GROUPS):
        lines += [
            _row(option, option.key and has_file, in_python)
            for option, in_python in entries
            if option.group == group and _is_typed(option)
        ]
    return "\n".join([*lines, ""])


def _is_typed(option: Option) -> bool:
    return bool(option.flags) or option.is_positional


def _row(option: Option, in_file: bool, in_python: bool) -> str:
    name = f"`{option.name}`"
    default = f" (default {option.shown_default})" if option.shown_default else ""
    cells = (
        ", ".join(_words(option)),
        name if in_file else "",
        name if in_python else "",
        _cell(option.help) + default,
    )
    return f"| {' | '.join(cells)} |"


def _words(option: Option) -> Iterator[str]:
    if not option.flags:
        yield f"`{option.kind.metavar}`"
    value = "/".join(option.kind.choices) or option.kind.metavar
    for flag in option.flags:
        yield f"`{flag} {value}`" if value else f"`{flag}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
