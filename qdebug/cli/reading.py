"""``qdebug reading``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.cli import terminal
from qdebug.cli.arguments import STDOUT, add_options, check_free, settled
from qdebug.cli.preprocess import finding_exit_code, finding_lines
from qdebug.cli.settings import read_config
from qdebug.options import GateOptions, ReadingCommandOptions, ReadingOptions

if TYPE_CHECKING:
    from qdebug.run.check_report import ReadingReport


class ReadingCommand:
    """Name what a board's program does wrongly with the network's output.

    check FLOAT INPUT ... --predictions FILE decodes the outputs of FLOAT (and of --quant QUANT) and
    holds the board's final boxes, classes, texts or masks against what it reads itself.
    """

    examples = (
        "qdebug reading check float.onnx shots/ --predictions board.json",
        "qdebug reading check float.onnx shots/ --quant int8.onnx --predictions labels/",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("action", choices=("check",), metavar="ACTION", help="check")
        add_options(parser, ReadingOptions, ReadingCommandOptions)

    def run(self, args: argparse.Namespace) -> int:
        """Check, tell, and judge."""
        from qdebug.comparison.reading_check import check_reading
        from qdebug.reporters.base import write_file
        from qdebug.run.codec import encode

        config = read_config(None)
        check_free({"--json": args.json}, args.force)
        report = check_reading(ReadingOptions(**settled(ReadingOptions, args, config)))
        if args.json:
            text = json.dumps(encode(report), indent=2, sort_keys=True) + "\n"
            if args.json == STDOUT:
                terminal.write(text)
            else:
                write_file(Path(args.json), text, args.force)
        if args.json != STDOUT:
            terminal.write(_told(report))
        return finding_exit_code(report.findings, args.fail_on or GateOptions.fail_on)


def _told(report: ReadingReport) -> str:
    info = report.reading
    lines = [
        f"answers  {info.name}, {info.title}: {info.answers} on {info.pictures} pictures",
        *(f"note     {note}" for note in info.notes),
        "",
        *finding_lines(report.findings, verbose=True),
    ]
    return "\n".join(lines) + "\n"
