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

from qdebug.options.compare import CompareCommandOptions, CompareOptions
from qdebug.options.entry import Option, options_of, takes
from qdebug.options.evaluate import EvaluateCommandOptions, EvaluateOptions
from qdebug.options.export import ExportOptions
from qdebug.options.extract import ExtractOptions
from qdebug.options.preprocess import PreprocessOptions
from qdebug.options.quantize import QuantizeOptions
from qdebug.options.reading import ReadingCommandOptions, ReadingOptions
from qdebug.options.shared import ConfigOptions, GateOptions, QuantOptions
from qdebug.options.tune import TuneOptions

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
    classes = (CompareOptions, CompareCommandOptions, ExtractOptions)
    return {option.name: option for owner in classes for option in options_of(owner) if option.key}
