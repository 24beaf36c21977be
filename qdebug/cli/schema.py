"""``qdebug schema``."""

from __future__ import annotations

import argparse
import json

from qdebug.cli import terminal
from qdebug.errors import ExitCode


class SchemaCommand:
    """Print the JSON Schema of run.json, or of qdebug.toml.

    For editors and for programs that read what ``qdebug compare --json`` writes.
    """

    examples = ("qdebug schema > qdebug-run.schema.json", "qdebug schema config")

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "of", nargs="?", choices=("run", "config"), default="run", help="default: run"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Print it."""
        from qdebug.config import config_schema
        from qdebug.run.schema import run_schema

        schema = run_schema() if args.of == "run" else config_schema()
        terminal.write(json.dumps(schema, indent=2, ensure_ascii=True) + "\n")
        return ExitCode.PASS
