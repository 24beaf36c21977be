"""``qdebug tune``."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.cli import summary
from qdebug.cli.arguments import add_options, settled
from qdebug.cli.compare import portable
from qdebug.cli.progress import progress_on_stderr
from qdebug.cli.settings import read_config
from qdebug.errors import ExitCode
from qdebug.options import ConfigOptions, TuneOptions

if TYPE_CHECKING:
    from qdebug.config import Config
    from qdebug.run.model import Run


class TuneCommand:
    """Repair a quantized model: the cheapest cures first, each proven on pictures held out.

    A third of the pictures is never searched on and decides every step: more bits for tensors that
    8 cannot hold, corrected biases, ranges, then a few more tensors to 16 bits. The repaired model
    and its record, NAME.qdtune, are written, with --vendor the toolchain's files, too; show,
    browse, report, diff and export take the record. Where nothing helps, it says so. QUANT is a
    QDQ model or a toolchain's file; without it, it begins from the pictures. INPUT is what qdebug
    compare takes, 12 to 24 pictures.
    """

    examples = (
        "qdebug tune float.onnx int8.onnx shots/ -o tuned.onnx",
        "qdebug tune float.onnx int8.onnx shots/ -o tuned.onnx --budget macs=2% --fallback float",
        "qdebug tune float.onnx int8.onnx shots/ -o tuned.onnx --methods --time 60s",
        "qdebug tune float.onnx int8.onnx shots/ -o tuned.onnx --after /model.22/Concat_3",
        "qdebug tune float.onnx cali_table shots/ -o tuned.onnx --vendor tpu-mlir --qtable qtable",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        add_options(parser, TuneOptions, ConfigOptions)

    def run(self, args: argparse.Namespace) -> int:
        """Tune, tell."""
        config = read_config(args.config)
        run = _tune(args, config)
        assert run.tuning is not None
        output = Path(args.output)
        record = output.with_suffix(".qdtune")
        files = run.tuning.files or {}
        written = [output.with_name(file) for kind, file in files.items() if kind != "float"]
        written += [Path(args.float_out)] if "float" in files else []
        written.append(record)
        name = shlex.quote(record.as_posix())
        commands = [f"qdebug browse {name}", f"qdebug report {name} -o report.html"]
        summary.show(run, args, written=written, next_commands=commands)
        return exit_code(run)


def exit_code(run: Run) -> int:
    """0 where the model is as good as it was asked to be, 1 where no plan gets there."""
    assert run.tuning is not None
    good = run.tuning.outcome in ("tuned", "nothing-to-win")
    return ExitCode.PASS if good else ExitCode.FAILED


def _tune(args: argparse.Namespace, config: Config) -> Run:
    from qdebug.comparison.tune import tune

    asked = settled(TuneOptions, args, config)
    asked["command"] = portable(args.command_line)
    first, *rest = asked["inputs"]
    if is_model(first):
        asked |= {"quant_model": first, "inputs": rest}
    with progress_on_stderr(quiet=args.quiet, verbose=args.verbose) as progress:
        return tune(**asked, progress=progress)


def is_model(name: str) -> bool:
    """Whether the first INPUT is the quantized twin, or a toolchain's file that stands for it."""
    from qdebug.preprocess.decode import IMAGE_SUFFIXES
    from qdebug.preprocess.tensor_files import TENSOR_SUFFIXES
    from qdebug.vendors.quant_files import is_table

    suffix = Path(name).suffix.lower()
    if suffix == ".txt":
        return is_table(Path(name))
    is_input = suffix in IMAGE_SUFFIXES | TENSOR_SUFFIXES
    return suffix == ".onnx" or (Path(name).is_file() and not is_input)
