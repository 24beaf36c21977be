"""``qdebug schema``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from qdebug.cli import terminal
from qdebug.errors import ExitCode


class SchemaCommand:
    """Print the JSON Schema of run.json, of an input check, or of qdebug.toml.

    For editors and for programs that read what ``qdebug compare --json`` writes.
    """

    examples = ("qdebug schema > qdebug-run.schema.json", "qdebug schema config")

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "of", nargs="?", choices=tuple(_SCHEMAS), default="run", help="default: run"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Print it."""
        schema = _SCHEMAS[args.of]()
        terminal.write(json.dumps(schema, indent=2, ensure_ascii=True) + "\n")
        return ExitCode.PASS


def _run() -> dict[str, Any]:
    from qdebug.run.schema import run_schema

    return run_schema()


def _check() -> dict[str, Any]:
    from qdebug.run.schema import check_schema

    return check_schema()


def _config() -> dict[str, Any]:
    from qdebug.config import config_schema

    return config_schema()


_SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "run": _run,
    "check": _check,
    "config": _config,
}
