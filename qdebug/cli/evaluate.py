"""``qdebug evaluate``."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.cli import summary, terminal
from qdebug.cli.arguments import STDOUT, add_options, check_free, settled
from qdebug.cli.progress import progress_on_stderr
from qdebug.cli.settings import read_config
from qdebug.errors import UsageError
from qdebug.options import EvaluateCommandOptions, EvaluateOptions
from qdebug.remote import is_copied

if TYPE_CHECKING:
    from qdebug.config import Config
    from qdebug.datasets import Dataset
    from qdebug.run.model import Run


class EvaluateCommand:
    """Score models on labelled data: mAP, top-1, mIoU, exact text, with intervals.

    The first MODEL is the reference; the others are held against it on the same pictures. The
    result is a table here and a record, NAME.qdeval, that show, browse, report and diff take.
    """

    examples = (
        "qdebug evaluate float.onnx int8.onnx --data coco/instances_val2017.json",
        "qdebug evaluate float.onnx int8.onnx --data val/ --max-drop 0.01",
        "qdebug evaluate float.onnx int8.onnx board.json --data data.yaml --fail-under map50=0.5",
        "qdebug evaluate float.onnx int8.onnx --data labels.csv -p imagenet --changed worst.txt",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        add_options(parser, EvaluateOptions, EvaluateCommandOptions)

    def run(self, args: argparse.Namespace) -> int:
        """Score, tell, and judge."""
        from qdebug.reporters.base import write_file
        from qdebug.run.store import run_to_json

        config = read_config(args.config)
        destination = _destination(args)
        _check_changed(args)
        check_free({"--json": args.json, "--changed": args.changed}, args.force)
        run, dataset = _evaluate(args, config, destination)
        written = [destination]
        if args.changed is not None:
            written.append(
                write_file(Path(args.changed), _worst_list(run, dataset, args.changed), args.force)
            )
        if args.json == STDOUT:
            terminal.write(run_to_json(run))
            return run.exit_code
        if args.json is not None:
            written.append(write_file(Path(args.json), run_to_json(run), args.force))
        summary.show(run, args, written=written, next_commands=_next(args, destination, run))
        return run.exit_code


def _check_changed(args: argparse.Namespace) -> None:
    """Refuse a list of pictures that are gone once the scores are there."""
    if args.changed is not None and any(map(is_copied, (args.data, args.images))):
        raise UsageError(
            "--changed lists files, and those of a URL are copied for the run only",
            "copy the data set here, or leave --changed out: the record names the pictures",
        )


def _destination(args: argparse.Namespace) -> Path:
    from qdebug.run.store import default_destination

    if args.output is not None:
        return Path(args.output)
    return default_destination(Path(args.models[-1]).name, Path(), ".qdeval")


def _evaluate(args: argparse.Namespace, config: Config, destination: Path) -> tuple[Run, Dataset]:
    from qdebug.cli.compare import portable
    from qdebug.evaluation import scored

    asked = settled(EvaluateOptions, args, config)
    asked |= {"output": destination, "command": portable(args.command_line)}
    try:
        with progress_on_stderr(quiet=args.quiet, verbose=args.verbose) as progress:
            return scored(EvaluateOptions(**asked, progress=progress))
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(stop) or "no record was written") from None


def _worst_list(run: Run, dataset: Dataset, destination: str) -> str:
    """The changed pictures as a list file, by paths from the list's own folder.

    The last model's come first: of several, it is the one that is asked about.
    """
    places = {picture.name: picture.path for picture in dataset.pictures}
    (result,) = run.datasets
    last = [item for item in result.changed if item.model == result.rows[-1].model]
    names = dict.fromkeys(item.name for item in (*last, *result.changed))
    folder = Path(destination).absolute().parent
    lines = [os.path.relpath(places[name].absolute(), folder) for name in names]
    return "".join(f"{Path(line).as_posix()}\n" for line in lines)


def _next(args: argparse.Namespace, destination: Path, run: Run) -> list[str]:
    from qdebug.reading.predictions import are_predictions

    record = shlex.quote(destination.as_posix())
    run_here = [model for model in args.models if not are_predictions(Path(model))]
    models = [shlex.quote(str(model)) for model in dict.fromkeys([*run_here[:1], *run_here[-1:]])]
    commands = [f"qdebug report {record} -o report.html"]
    changed = any(result.changed for result in run.datasets)
    if args.changed is not None and changed and len(models) > 1:
        worst = shlex.quote(str(args.changed))
        commands.insert(0, f"qdebug compare {' '.join(models)} {worst} --limit 10")
    return commands
