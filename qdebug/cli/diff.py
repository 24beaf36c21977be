"""``qdebug diff``."""

from __future__ import annotations

import argparse
from pathlib import Path

from qdebug.cli import summary, terminal

_STDOUT = "-"


class DiffCommand:
    """Compare two stored runs: what got better, what got worse.

    OLD and NEW are NAME.qdrun folders, their zips, or HTML reports. Layers are matched by name and,
    where names have changed, by the structure of the graph. Exit code 1 when an output or a layer
    lost more accumulated SQNR than its limit, broke, or a check fails that did not before.
    """

    examples = (
        "qdebug diff baseline.qdrun int8.qdrun",
        "qdebug diff per_tensor.qdrun per_channel.qdrun -o diff.html",
        "qdebug diff baseline.qdrun int8.qdrun --output-loss 0.5 -o diff.md --quiet",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        from qdebug.run.diff import DiffLimits

        limits = DiffLimits()
        parser.add_argument("old", metavar="OLD", help="the run to compare with")
        parser.add_argument("new", metavar="NEW", help="the run to judge")
        group = parser.add_argument_group("limits, in dB of accumulated SQNR")
        for name, default, what in (
            ("layer-loss", limits.layer_db, "a layer may lose this much"),
            ("output-loss", limits.output_db, "an output may lose this much"),
            ("floor", limits.floor_db, "what still has this much has not regressed"),
        ):
            group.add_argument(
                f"--{name}", metavar="DB", type=float, default=default,
                help=f"{what} (default {default:g})",
            )  # fmt: skip
        output = parser.add_argument_group("output")
        output.add_argument(
            "-o", "--output", metavar="FILE", action="append", default=[],
            help="also write .html, .md or .json; may be given several times",
        )  # fmt: skip
        output.add_argument(
            "--json", metavar="FILE", help="also write the JSON; - is stdout, with nothing else"
        )
        output.add_argument("--force", action="store_true", help="replace files that are there")

    def run(self, args: argparse.Namespace) -> int:
        """Compare and print."""
        from qdebug.reporters.base import write_file
        from qdebug.reporters.diff import FORMS, write_diff
        from qdebug.reporters.diff.console import render_console
        from qdebug.run.diff import DiffLimits, diff_runs
        from qdebug.run.store import load_run

        limits = DiffLimits(args.layer_loss, args.output_loss, args.floor)
        diff = diff_runs(load_run(args.old), load_run(args.new), limits)
        for output in args.output:
            write_diff(diff, Path(output), args.force)
        if args.json not in (None, _STDOUT):
            write_file(Path(args.json), FORMS[".json"](diff), args.force)
        if args.json == _STDOUT:
            terminal.write(FORMS[".json"](diff))
        elif not args.quiet or diff.exit_code:
            terminal.write_styled(render_console(diff, summary.look()), args.color)
        return diff.exit_code
