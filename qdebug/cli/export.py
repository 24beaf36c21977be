"""``qdebug export``."""

from __future__ import annotations

import argparse

from qdebug.cli import terminal
from qdebug.cli.arguments import add_options, settled
from qdebug.cli.settings import read_config
from qdebug.errors import ExitCode
from qdebug.options import ConfigOptions, ExportOptions


class ExportCommand:
    """Write encodings, and the fixes that a run found, as a toolchain's own file.

    Of a run, the layers to keep in float or to give 16 bits and the better ranges are written that
    its warnings and failures advise; of the record of a tuning, what the repaired model says; of a
    quantized graph, how it is quantized. What the toolchain cannot be told is refused, with the
    reason. --names takes the toolchain's own optimized graph, whose names are then used, or the
    file of it that is to be changed.
    """

    examples = (
        "qdebug export int8.qdrun --vendor tpu-mlir -o qtable",
        "qdebug export int8.qdrun --vendor tpu-mlir --names cali_table -o new_cali_table",
        "qdebug export quant.onnx --vendor aimet -o quant.encodings",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        add_options(parser, ExportOptions, ConfigOptions)

    def run(self, args: argparse.Namespace) -> int:
        """Write, tell."""
        from qdebug.comparison.export import export

        written = export(**settled(ExportOptions, args, read_config(args.config)))
        if not args.quiet:
            lines = [*written.notes, f"wrote {args.output}"]
            terminal.write("\n".join([*lines, ""]))
        return ExitCode.PASS
