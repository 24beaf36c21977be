"""``qdebug quantize``."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from qdebug.cli import terminal
from qdebug.cli.arguments import add_options, settled
from qdebug.cli.progress import progress_on_stderr
from qdebug.cli.settings import read_config
from qdebug.errors import ExitCode
from qdebug.options import ConfigOptions, QuantizeOptions

if TYPE_CHECKING:
    from qdebug.run.model import EncodingsInfo


class QuantizeCommand:
    """Write the fake-quantized twin of a float model: from a toolchain's file, or by calibration.

    --from FILE takes the file in which a toolchain says how it quantizes and writes that into FLOAT
    as QuantizeLinear and DequantizeLinear nodes. --calibrate PICTURES quantizes FLOAT anew: uint8
    activations, int8 weights with one scale a channel. The result runs in ONNX Runtime.
    """

    examples = (
        "qdebug quantize float.onnx --from mobilenetv2_cali_table -o quant.onnx",
        "qdebug quantize float.onnx --calibrate shots/ --method percentile=99.99 -o quant.onnx",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        add_options(parser, QuantizeOptions, ConfigOptions)

    def run(self, args: argparse.Namespace) -> int:
        """Quantize, write, tell."""
        from qdebug.comparison.quantize import quantize

        asked = settled(QuantizeOptions, args, read_config(args.config))
        with progress_on_stderr(quiet=args.quiet, verbose=args.verbose) as progress:
            info = quantize(**asked, progress=progress)
        if not args.quiet:
            terminal.write(_told(info, args))
        return ExitCode.PASS


def _told(info: EncodingsInfo, args: argparse.Namespace) -> str:
    """What was placed, what was not and why, and what to type next."""
    from qdebug.reporters.encodings_words import sentences

    command = ("qdebug", "compare", args.float_model, args.output, "PICTURES")
    lines = [*sentences(info), f"wrote {args.output}", f"next  {shlex.join(command)}"]
    return "\n".join([*lines, ""])
