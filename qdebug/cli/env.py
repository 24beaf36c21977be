"""``qdebug env``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from qdebug._version import __version__
from qdebug.cli import terminal
from qdebug.cli.arguments import add_options
from qdebug.cli.settings import read_config
from qdebug.errors import ExitCode, QdebugError
from qdebug.options import ConfigOptions, config_options

if TYPE_CHECKING:
    from qdebug.config import Config

_LIBRARIES = (
    "onnx",
    "onnxruntime",
    "numpy",
    "numba",
    "llvmlite",
    "msgspec",
    "opencv-python-headless",
    "Pillow",
    "rich",
    "textual",
    "matplotlib",
    "Jinja2",
)


class EnvCommand:
    """Show versions, execution providers, plug-ins and settings.

    What a bug report needs. Plug-ins that cannot be loaded are listed with the reason; each
    setting is listed with the file it comes from.
    """

    examples = ("qdebug env", "qdebug env --json")

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        group = parser.add_argument_group("what to show")
        group.add_argument("--json", action="store_true", help="as JSON")
        add_options(parser, ConfigOptions)

    def run(self, args: argparse.Namespace) -> int:
        """Print it."""
        facts = {
            "versions": _versions(),
            "providers": _providers(),
            "plugins": _plugins(),
            "settings": _settings(read_config(args.config)),
        }
        if args.json:
            terminal.write(json.dumps(facts, indent=2) + "\n")
        else:
            terminal.write("\n\n".join(_section(*item) for item in facts.items()) + "\n")
        return ExitCode.PASS


def _versions() -> dict[str, str]:
    found = {
        "qdebug": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "stdout encoding": getattr(sys.stdout, "encoding", None) or "none",
    }
    return {**found, **{name: _library_version(name) for name in _LIBRARIES}}


def _library_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed as a distribution"


def _providers() -> dict[str, str]:
    import onnxruntime

    return dict.fromkeys(onnxruntime.get_available_providers(), "available")


def _plugins() -> dict[str, str]:
    from qdebug.plugins import GROUPS, plugin_names
    from qdebug.vendors.registry import states

    found = {
        f"{group[:-1]} {name}": _load_status(group, name)
        for group in GROUPS
        for name in plugin_names(group)
    }
    return found | {f"vendor {name}": state for name, state in states().items()}


def _load_status(group: str, name: str) -> str:
    from qdebug.plugins import load_plugin

    try:
        load_plugin(group, name)
    except QdebugError as error:
        return error.message
    return "loaded"


def _settings(config: Config) -> dict[str, Any]:
    shown: dict[str, Any] = {"file": config.file.as_posix() if config.file else "none"}
    for name, option in config_options().items():
        if name in config.settings:
            shown[name] = f"{option.kind.show(config.settings[name])} ({config.name})"
        else:
            shown[name] = "default"
    for limit in config.limits:
        shown[f"limits.{limit.metric}"] = f"{limit.value:g} ({limit.origin})"
    for override in config.overrides:
        for limit in override.limits:
            shown[f"override {override.match} {limit.metric}"] = f"{limit.value:g} ({limit.origin})"
    return shown


def _section(title: str, items: dict[str, Any]) -> str:
    wide = max(map(len, items), default=0)
    return "\n".join([title, *(f"  {key:<{wide}}  {value}" for key, value in items.items())])
