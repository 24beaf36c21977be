"""``qdebug show``."""

from __future__ import annotations

import argparse

from qdebug.cli import summary, terminal
from qdebug.errors import ExitCode


class ShowCommand:
    """Print the summary of a stored run.

    RUN is a NAME.qdrun folder, its zip, or an HTML report. The exit code is 0 whatever the run's
    verdict is: showing it is what was asked for.
    """

    examples = (
        "qdebug show int8.qdrun",
        "qdebug show int8.qdrun --unmatched",
        "qdebug show int8.qdrun --layers 'op:Conv sqnr<20'",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("run", metavar="RUN", help="folder, zip or HTML report")
        group = parser.add_argument_group("what to show").add_mutually_exclusive_group()
        group.add_argument(
            "--unmatched", action="store_true", help="list the tensors without a counterpart"
        )
        group.add_argument(
            "--layers",
            metavar="FILTER",
            help="list the layers that a filter finds, in execution order ('' finds all)",
        )

    def run(self, args: argparse.Namespace) -> int:
        """Print it."""
        from qdebug.reporters.console import render_layers, render_unmatched
        from qdebug.run.store import load_run

        run = load_run(args.run)
        if args.unmatched:
            terminal.write_styled(render_unmatched(run, summary.look()), args.color)
        elif args.layers is not None:
            terminal.write_styled(render_layers(run, args.layers, summary.look()), args.color)
        else:
            summary.show(run, args)
        return ExitCode.PASS
