"""``qdebug extract``."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from qdebug.cli import terminal
from qdebug.cli.arguments import add_options, settled
from qdebug.cli.progress import progress_on_stderr
from qdebug.cli.settings import read_config
from qdebug.errors import ExitCode
from qdebug.options import ConfigOptions, ExtractOptions

if TYPE_CHECKING:
    from qdebug.comparison.extract import Extraction
    from qdebug.config import Config


class ExtractCommand:
    """Cut one layer out of both models, with its inputs and the command that replays it.

    DIR gets the smallest pair of graphs that still shows the layer's local error, the tensors they
    are fed with (.npz), what they should give, and a README.md: what a vendor's engineer asks for.
    LAYER is a node or tensor of FLOAT, a tensor of QUANT, or '#12', the layer's number in a run of
    the same two models. INPUT is what qdebug compare takes.
    """

    examples = (
        "qdebug extract float.onnx int8.onnx /model.22/Concat_5 photo.jpg -o concat",
        "qdebug extract float.onnx int8.onnx '#12' shots/ --limit 4 -o layer12",
        "qdebug extract float.onnx int8.onnx '#12' photo.jpg -o layer12 --context 2 --force",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        add_options(parser, ExtractOptions, ConfigOptions)

    def run(self, args: argparse.Namespace) -> int:
        """Cut, replay, tell."""
        config = read_config(args.config)
        found = _extract(args, config)
        if not args.quiet or not found.faithful:
            terminal.write(_told(found))
        return ExitCode.PASS if found.faithful else ExitCode.FAILED


def _extract(args: argparse.Namespace, config: Config) -> Extraction:
    from qdebug.comparison.extract import extract

    asked = settled(ExtractOptions, args, config)
    try:
        with progress_on_stderr(quiet=args.quiet, verbose=args.verbose) as progress:
            return extract(**asked, progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{args.output} was not written") from None


def _told(found: Extraction) -> str:
    """The result in a few lines."""
    from qdebug.comparison.extract_readme import format_db
    from qdebug.vocabulary.names import visible

    replayed = "not compared" if found.replayed is None else format_db(found.replayed.sqnr_db)
    folder = shlex.quote(found.folder.as_posix())
    whole = format_db(found.local.sqnr_db)
    samples = f"{found.samples} sample{'s' if found.samples > 1 else ''}"
    lines = [
        f"{visible(found.layer)} ({found.op}), {samples}",
        f"local SQNR  {whole} in the whole models, {replayed} in the parts",
    ]
    lines += [visible(found.guess)] if found.guess else []
    if not found.faithful:
        lines.append("the parts do not show the same error: take more in with --context")
    files = "float_part.onnx, quant_part.onnx, README.md and the tensors"
    lines += [f"wrote {folder}: {files}"]
    return "\n".join([*lines, f"next  cd {folder} && {shlex.join(('qdebug', *found.command))}", ""])
