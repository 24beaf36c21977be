"""``qdebug extract``."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from qdebug.cli import terminal, values
from qdebug.cli.progress import progress_on_stderr
from qdebug.cli.settings import add_config_option, read_config
from qdebug.errors import ExitCode

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
        parser.add_argument("float_model", metavar="FLOAT", help="the float ONNX model")
        parser.add_argument("quant_model", metavar="QUANT", help="its quantized twin")
        parser.add_argument("layer", metavar="LAYER", help="a node, a tensor, or '#NUMBER'")
        parser.add_argument("inputs", metavar="INPUT", nargs="+", help="what both run on")
        _add_input_options(parser.add_argument_group("input"))
        _add_output_options(parser.add_argument_group("output"))

    def run(self, args: argparse.Namespace) -> int:
        """Cut, replay, tell."""
        config = read_config(args.config)
        found = _extract(args, config)
        if not args.quiet or not found.faithful:
            terminal.write(_told(found))
        return ExitCode.PASS if found.faithful else ExitCode.FAILED


def _add_input_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-p", "--preprocess", metavar="SPEC", help="pipeline of pictures, as for qdebug compare"
    )
    group.add_argument(
        "--quant-preprocess", metavar="SPEC", help="the same for QUANT where it wants another input"
    )
    group.add_argument("--shape", type=values.shape, help="shape of raw .bin inputs")
    group.add_argument("--dtype", help="data type of raw .bin inputs")
    group.add_argument(
        "--limit", type=values.positive, metavar="N", help="use the first N samples only"
    )
    add_config_option(group)


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write")
    group.add_argument(
        "--context",
        type=values.positive,
        metavar="N",
        default=0,
        help="take N layers upstream along, where a toolchain fuses them with this one",
    )
    group.add_argument("--force", action="store_true", help="replace an extracted layer")
    group.add_argument(
        "--threads", type=values.positive, metavar="N", help="threads of ONNX Runtime"
    )
    group.add_argument(
        "--max-memory",
        type=values.size,
        metavar="SIZE",
        help="cap on captured tensors (default 1GiB)",
    )


def _extract(args: argparse.Namespace, config: Config) -> Extraction:
    from qdebug.comparison.extract import extract

    def setting(name: str, default: Any = None) -> Any:
        given = getattr(args, name)
        return config.settings.get(name, default) if given is None else given

    try:
        with progress_on_stderr(quiet=args.quiet, verbose=args.verbose) as progress:
            return extract(
                args.float_model,
                args.quant_model,
                args.layer,
                args.inputs,
                args.output,
                context=args.context,
                preprocess=setting("preprocess"),
                quant_preprocess=setting("quant_preprocess"),
                shape=args.shape,
                dtype=args.dtype,
                limit=setting("limit"),
                force=args.force,
                threads=setting("threads"),
                max_memory=setting("max_memory", values.size("1GiB")),
                progress=progress,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{args.output} was not written") from None


def _told(found: Extraction) -> str:
    """The result in a few lines."""
    from qdebug.cli.diagnostics import printable
    from qdebug.comparison.extract_readme import format_db

    replayed = "not compared" if found.replayed is None else format_db(found.replayed.sqnr_db)
    folder = shlex.quote(found.folder.as_posix())
    whole = format_db(found.local.sqnr_db)
    samples = f"{found.samples} sample{'s' if found.samples > 1 else ''}"
    lines = [
        f"{printable(found.layer)} ({found.op}), {samples}",
        f"local SQNR  {whole} in the whole models, {replayed} in the parts",
    ]
    if not found.faithful:
        lines.append("the parts do not show the same error: take more in with --context")
    files = "float_part.onnx, quant_part.onnx, README.md and the tensors"
    lines += [f"wrote {folder}: {files}"]
    return "\n".join([*lines, f"next  cd {folder} && {shlex.join(('qdebug', *found.command))}", ""])
