"""``qdebug report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdebug.cli import terminal
from qdebug.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from qdebug.run.model import Run

_STDOUT = "-"


class ReportCommand:
    """Write reports of a stored run.

    RUN is a NAME.qdrun folder, its zip, or an HTML report. The suffix of FILE decides the form:
    .html for one page that anybody can open, .json, .csv, .md for a ticket or a CI summary,
    .junit.xml, .sarif, .model-explorer.json, .onnx (the float model with the numbers in its nodes,
    for Netron), .png, .svg, .zip for the whole run. The exit code is 0 whatever the run's verdict
    is, unless --fail asks for it.
    """

    examples = (
        "qdebug report int8.qdrun -o report.html",
        "qdebug report int8.qdrun -o report.md -o report.junit.xml -o report.sarif --fail",
        "qdebug report int8.qdrun -o ticket.html --redact names,paths,images",
        "qdebug report int8.qdrun -o annotated.onnx --model float.onnx",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("run", metavar="RUN", help="folder, zip or HTML report")
        group = parser.add_argument_group("what to write")
        group.add_argument(
            "-o", "--output", metavar="FILE", action="append", required=True,
            help="file to write; its suffix decides the form; may be given several times",
        )  # fmt: skip
        group.add_argument(
            "--format", metavar="NAME",
            help="form of the files, whatever their suffix; with -o - on stdout",
        )  # fmt: skip
        group.add_argument("--model", metavar="FILE", help="the float model, for .onnx")
        group.add_argument("--force", action="store_true", help="replace files that are there")
        privacy = parser.add_argument_group("what to leave out")
        privacy.add_argument(
            "--redact", metavar="KINDS", default="",
            help="names, paths, images, values: a list with commas",
        )  # fmt: skip
        privacy.add_argument(
            "--anonymize", action="store_true",
            help="names, paths and images; names get aliases that keep their structure",
        )  # fmt: skip
        parser.add_argument(
            "--fail", action="store_true", help="exit as the comparison did: 1 where it failed"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Write them."""
        from qdebug.run.store import load_run

        stored = load_run(args.run)
        run = _redacted(stored, args)
        for output in args.output:
            _write(run, output, args)
        return stored.exit_code if args.fail else ExitCode.PASS


def _redacted(run: Run, args: argparse.Namespace) -> Run:
    from qdebug.run.redact import ANONYMOUS, parse_kinds, redact

    kinds = set(parse_kinds(args.redact)) | (set(ANONYMOUS) if args.anonymize else set())
    return redact(run, kinds, structured=args.anonymize) if kinds else run


def _write(run: Run, output: str, args: argparse.Namespace) -> None:
    if output == _STDOUT:
        _to_stdout(run, args.format)
        return
    path = Path(output)
    reporter = _reporter(path, args.format)
    if args.model is not None and hasattr(reporter, "write_with_model"):
        reporter.write_with_model(run, path, Path(args.model), args.force)
    else:
        reporter.write(run, path, args.force)
    if not args.quiet:
        from qdebug.quantities import format_size

        terminal.write(f"{path.as_posix()}  ({format_size(path.stat().st_size)})\n")


def _to_stdout(run: Run, form: str | None) -> None:
    if form is None:
        raise UsageError("-o - needs --format", "for example --format markdown")
    made = _reporter(Path(), form).render(run)
    if isinstance(made, bytes):
        raise UsageError(f"{form} is not text", "give -o a file")
    terminal.write(made)


def _reporter(path: Path, form: str | None) -> Any:
    from qdebug.plugins import load_plugin, reporter_for

    return load_plugin("reporters", form) if form is not None else reporter_for(path)
