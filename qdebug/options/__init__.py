"""Every option of the tool, once.

A field of a class of options is the whole entry: the name (the Python parameter, and the key in
``qdebug.toml`` where there is one), the type, the default, the flags, the help, how a value is
read. From the fields come the arguments of the commands (``cli/arguments.py``), the keys of the
configuration and their schema (``config.py``), the signatures of ``qdebug.compare``,
``qdebug.extract`` and ``qdebug.tune`` (``takes``), and the page of all options
(``docs/options_page.py``).

To add one, write its field: in ``shared.py`` where several commands have it, else in the file of
its command. Then the code that uses it, a test, and a line in the changelog.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from qdebug.options.entry import Option, options_of, takes

if TYPE_CHECKING:
    from qdebug.options.compare import CompareCommandOptions, CompareOptions
    from qdebug.options.evaluate import EvaluateCommandOptions, EvaluateOptions
    from qdebug.options.export import ExportOptions
    from qdebug.options.extract import ExtractOptions
    from qdebug.options.preprocess import PreprocessOptions
    from qdebug.options.quantize import QuantizeOptions
    from qdebug.options.reading import ReadingCommandOptions, ReadingOptions
    from qdebug.options.shared import ConfigOptions, GateOptions, QuantOptions
    from qdebug.options.tune import TuneOptions

_HOMES = {
    "CompareCommandOptions": "qdebug.options.compare",
    "CompareOptions": "qdebug.options.compare",
    "ConfigOptions": "qdebug.options.shared",
    "EvaluateCommandOptions": "qdebug.options.evaluate",
    "EvaluateOptions": "qdebug.options.evaluate",
    "ExportOptions": "qdebug.options.export",
    "ExtractOptions": "qdebug.options.extract",
    "GateOptions": "qdebug.options.shared",
    "PreprocessOptions": "qdebug.options.preprocess",
    "QuantOptions": "qdebug.options.shared",
    "QuantizeOptions": "qdebug.options.quantize",
    "ReadingCommandOptions": "qdebug.options.reading",
    "ReadingOptions": "qdebug.options.reading",
    "TuneOptions": "qdebug.options.tune",
}
"""Imported on first use: a command needs its own options, and making them takes a while."""

__all__ = [
    "CompareCommandOptions",
    "CompareOptions",
    "ConfigOptions",
    "EvaluateCommandOptions",
    "EvaluateOptions",
    "ExportOptions",
    "ExtractOptions",
    "GateOptions",
    "Option",
    "PreprocessOptions",
    "QuantOptions",
    "QuantizeOptions",
    "ReadingCommandOptions",
    "ReadingOptions",
    "TuneOptions",
    "config_options",
    "options_of",
    "takes",
]


def config_options() -> dict[str, Option]:
    """The options that ``qdebug.toml`` may set, by key."""
    from qdebug.options.compare import CompareCommandOptions, CompareOptions
    from qdebug.options.extract import ExtractOptions

    classes = (CompareOptions, CompareCommandOptions, ExtractOptions)
    return {option.name: option for owner in classes for option in options_of(owner) if option.key}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
