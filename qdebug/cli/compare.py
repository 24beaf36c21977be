"""``qdebug compare``."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdebug import collector
from qdebug.cli import summary, terminal
from qdebug.cli.arguments import STDOUT, add_options, check_free, settled
from qdebug.cli.progress import progress_on_stderr
from qdebug.cli.settings import read_config
from qdebug.errors import ExitCode, UsageError
from qdebug.options import CompareCommandOptions, CompareOptions, GateOptions
from qdebug.remote import is_url, shown

if TYPE_CHECKING:
    from qdebug.config import Config
    from qdebug.run.model import Limit, Run

_OWN_TASK = """\
a task of your own, --task depth.py:measure, gets both models' outputs of a sample, float32 by name:
  # depth.py
  def measure(float_outputs, quant_outputs):
      f, q = float_outputs["depth"], quant_outputs["depth"]
      error = abs(f - q).mean()
      return {"depth_error": float(error)}"""


class CompareCommand:
    """Compare a quantized model with its float model, layer by layer.

    Both models run on the same preprocessed inputs. The result is a summary here and a run,
    NAME.qdrun, to browse and to report. INPUT is a picture, a folder, a glob, a list file (.txt),
    ``-`` (a list on stdin), .npy, .npz, .pb, raw .bin (with --shape and --dtype), or NAME=path for
    a model with several inputs.
    """

    examples = (
        "qdebug compare float.onnx int8.onnx photo.jpg",
        'qdebug compare float.onnx int8.onnx shots/ -p "letterbox 640 pad 114 | rgb | /255 | nchw"',
        "qdebug compare float.onnx int8.onnx shots/ --fail-under cosine=0.99 --json result.json",
        "find shots -name '*.png' | qdebug compare float.onnx int8.onnx - --html report.html",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        add_options(parser, CompareOptions, CompareCommandOptions)
        for action in parser._get_positional_actions():
            if action.dest == "inputs":
                action.nargs = "*"  # with --board, QUANT may be left out
        parser.epilog = "\n\n".join(filter(None, (parser.epilog, _OWN_TASK)))

    def run(self, args: argparse.Namespace) -> int:
        """Compare, tell, and judge."""
        with collector.paused(keep=True):  # what is imported stays
            config = read_config(args.config)
            _settle_positions(args)
            destination = _destination(args)
            _check_requests(args)
            import qdebug.comparison  # noqa: F401
        with collector.paused(keep=True):  # the run is told of to the end
            run = _compare(args, config, destination)
        _hand_over(run, args, destination)
        return exit_code(run, GateOptions(**settled(GateOptions, args, config)).fail_on)


def exit_code(run: Run, fail_on: str) -> int:
    """The exit code that a verdict leads to under ``--fail-on``; inconclusive is never 0."""
    status = run.verdict.status
    if status == "inconclusive":
        return ExitCode.NO_VERDICT
    failing = {"error": ("fail",), "warning": ("fail", "warn"), "never": ()}[fail_on]
    return ExitCode.FAILED if status in failing else ExitCode.PASS


def _settle_positions(args: argparse.Namespace) -> None:
    """FLOAT INPUT ... with a board: the float model takes the place of its twin.

    Raises:
        UsageError: there is no INPUT.
    """
    if args.board is not None and (not args.inputs or _is_input(args.quant_model)):
        args.inputs = [args.quant_model, *args.inputs]
        args.quant_model = args.float_model
        args.any_pair = True
    if not args.inputs:
        raise UsageError(
            "the following arguments are required: INPUT",
            "qdebug compare --help shows the arguments",
        )


_INPUT_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".npy", ".pb")


def _is_input(name: str) -> bool:
    """Whether a word can be an input and no model."""
    return name.lower().endswith(_INPUT_SUFFIXES) or Path(name).is_dir()


def _destination(args: argparse.Namespace) -> Path:
    from qdebug.run.store import default_destination

    if args.output is not None:
        return Path(args.output)
    return default_destination(Path(args.quant_model).name, Path())


def _check_requests(args: argparse.Namespace) -> None:
    """Refuse what could only fail after all the work."""
    if args.browse and args.json == STDOUT:
        raise UsageError("--browse and --json - both want the terminal", "write --json FILE")
    check_free({"--json": args.json, "--html": args.html}, args.force)


def _compare(args: argparse.Namespace, config: Config, destination: Path) -> Run:
    from qdebug.comparison import compare

    asked = settled(CompareOptions, args, config)
    asked |= {"output": destination, "command": portable(args.command_line)}
    asked |= {"refuse_slips": not args.any_pair}
    asked |= {"limits": _limits(args.limits or (), config), "layer_limits": config.overrides}
    if args.provider is not None:
        asked |= {side: getattr(args, side) for side in ("float_provider", "quant_provider")}
    try:
        with progress_on_stderr(quiet=args.quiet, verbose=args.verbose) as progress:
            return compare(**asked, progress=progress)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(stop) or _left_behind(asked)) from None


def _left_behind(asked: Mapping[str, Any]) -> str:
    if asked.get("sensitivity") == "exact":
        return "no run was written; the same command takes up the sensitivities measured so far"
    return "no run was written"


def _limits(flags: Sequence[Limit], config: Config) -> list[Limit] | None:
    """Limits of the configuration, those given as flags instead where both speak."""
    chosen = {limit.metric: limit for limit in (*config.limits, *flags)}
    return list(chosen.values()) or None


def portable(command_line: Sequence[str]) -> tuple[str, ...]:
    """The command without this machine's folders: an absolute path keeps its last part.

    A path may be glued to its option (``-o/runs/a``, ``--json=/runs/a.json``), to a name
    (``images=/shots/a.png``, ``vendor:/nets/a``) or have a function behind it
    (``/metrics/own.py:f1``).
    """
    return tuple(_shortened(word) for word in command_line)


_GLUED = re.compile(
    r"(?P<front>(?:-[A-Za-z]|--[a-z-]+=)?(?:[^\s/\\]*[=:])?)(?P<path>.+)", re.DOTALL
)
"""An option, a name before ``=`` or ``:``, and what may be a path behind them."""


def _shortened(word: str) -> str:
    option, sign, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if is_url(value):
        return f"{option}{sign}{shown(value)}"
    found = _GLUED.fullmatch(word)
    if found is None:
        return word
    path = Path(found["path"])
    if not path.is_absolute():
        return word
    is_place = path.exists() or path.parent != Path(path.anchor)
    return f"{found['front']}{path.name}" if is_place else word


def _hand_over(run: Run, args: argparse.Namespace, destination: Path) -> None:
    """Write the forms asked for, print the summary, open the browser."""
    from qdebug.reporters.base import write_file
    from qdebug.run.store import run_to_json

    written = [destination]
    if args.html is not None:
        written.append(run.to_html(args.html, force=args.force))
    if args.json == STDOUT:
        terminal.write(run_to_json(run))
        return
    if args.json is not None:
        written.append(write_file(Path(args.json), run_to_json(run), args.force))
    summary.show(run, args, written=written, next_commands=_next_commands(run, args, destination))
    if args.browse:
        run.browse()


def _next_commands(run: Run, args: argparse.Namespace, destination: Path) -> list[str]:
    from qdebug.run.kinds import KINDS

    name = shlex.quote(destination.as_posix())
    commands = [f"qdebug browse {name}"]
    if args.html is None:
        commands.append(f"qdebug report {name} -o report.html")
    failed = {finding.slug for finding in run.findings if finding.status in ("fail", "warn")}
    if any(KINDS[slug].tuned for slug in failed if slug in KINDS):
        commands.append(_tune_command(args))
    return commands


def _tune_command(args: argparse.Namespace) -> str:
    """The command that tries what the findings advise."""
    spec = ["-p", str(args.preprocess)] if args.preprocess is not None else []
    tuned = f"{Path(args.quant_model).stem}_tuned.onnx"
    also = ("vendor", "task", "quant_format", "qtable", "names")
    given = [(f"--{n.replace('_', '-')}", getattr(args, n)) for n in also if hasattr(args, n)]
    spec += [word for flag, value in given if value is not None for word in (flag, str(value))]
    words = [args.float_model, args.quant_model, *args.inputs, *spec, "-o", tuned]
    return shlex.join(["qdebug", "tune", *map(str, words)])
