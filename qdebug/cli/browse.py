"""``qdebug browse``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from qdebug.run.draft import Draft
    from qdebug.run.model import Run


class BrowseCommand:
    """Browse a run in the terminal, or compare two.

    RUN is a NAME.qdrun folder, its zip, or an HTML report. With two runs, the browser shows what
    got better or worse from the first to the second; with none, it offers the runs it finds here.
    ``?`` lists every key. Colours follow NO_COLOR; ``--ascii`` draws without Unicode.
    """

    examples = (
        "qdebug browse int8.qdrun",
        "qdebug browse before.qdrun after.qdrun",
        "qdebug browse",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("runs", metavar="RUN", nargs="*", help="folder, zip or HTML report")
        parser.add_argument(
            "--ascii", action="store_true", default=None, help="draw with ASCII characters only"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Open the browser."""
        from qdebug.tui import browse_paths

        if len(args.runs) > 2:
            raise UsageError(f"two runs can be compared, not {len(args.runs)}")
        paths = [Path(run) for run in args.runs]
        for path in paths:
            if not path.exists():
                raise UsageError(f"{path} does not exist", "runs are folders named NAME.qdrun")
        browse_paths(paths, ascii_only=args.ascii, apply=_apply)
        return ExitCode.PASS


def _apply(run: Run, draft: Draft, record: Path | None, output: Path) -> Path:
    """Write the model of a plan; what that needs is imported only then: the browser starts fast."""
    from qdebug.comparison.tuning.apply import apply_draft

    return apply_draft(run, draft, record, output)
