"""``qdebug explain``."""

from __future__ import annotations

import argparse

from qdebug.cli import terminal
from qdebug.errors import ExitCode


class ExplainCommand:
    """Explain a finding: what it means, how to verify it, how to fix it.

    NAME is a finding's slug or id, ``toolchains`` for what the fixes have in common, or ``board``
    for what to dump on a board, with each toolchain's command. Without a name all findings are
    listed.
    """

    examples = (
        "qdebug explain",
        "qdebug explain mixed-range",
        "qdebug explain QD301",
        "qdebug explain board",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "name", metavar="NAME", nargs="?", help="slug or id of a finding, or a guide"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Print the page: laid out on a terminal, as Markdown elsewhere."""
        from qdebug.run.kinds import KINDS
        from qdebug.run.pages import sentence

        if args.name is None:
            rows = [f"{x.id}  {x.slug:<24}{sentence(x)}\n" for x in KINDS.values()]
            terminal.write("".join(rows))
        elif terminal.wants_color(args.color):
            terminal.write_markdown(_page(args.name))
        else:
            terminal.write(_page(args.name))
        return ExitCode.PASS


def _page(name: str) -> str:
    from qdebug.run import pages
    from qdebug.vendors import manual

    return manual.page(name) if name in pages.GUIDES else pages.page(name)
