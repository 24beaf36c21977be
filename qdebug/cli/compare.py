"""``qdebug compare``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdebug.cli import summary, terminal, values
from qdebug.cli.progress import progress_on_stderr
from qdebug.cli.settings import add_config_option, read_config
from qdebug.errors import ExitCode, QdebugError, UsageError

if TYPE_CHECKING:
    from qdebug.config import Config
    from qdebug.preprocess import ImpliedSpec
    from qdebug.run.model import Limit, Run

_STDOUT = "-"
_DEFAULT_MEMORY = "1GiB"


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
        parser.add_argument("float_model", metavar="FLOAT", help="the float ONNX model")
        parser.add_argument("quant_model", metavar="QUANT", help="its quantized twin")
        parser.add_argument("inputs", metavar="INPUT", nargs="+", help="what both run on")
        _add_input_options(parser.add_argument_group("input"))
        _add_measuring_options(parser.add_argument_group("what is measured"))
        _add_verdict_options(parser.add_argument_group("verdict"))
        _add_output_options(parser.add_argument_group("output"))

    def run(self, args: argparse.Namespace) -> int:
        """Compare, tell, and judge."""
        config = read_config(args.config)
        destination = _destination(args)
        _check_requests(args)
        run = _compare(args, config, destination)
        _hand_over(run, args, destination)
        return exit_code(run, _setting(args, config, "fail_on", "error"))


def exit_code(run: Run, fail_on: str) -> int:
    """The exit code that a verdict leads to under ``--fail-on``; inconclusive is never 0."""
    status = run.verdict.status
    if status == "inconclusive":
        return ExitCode.NO_VERDICT
    failing = {"error": ("fail",), "warning": ("fail", "warn"), "never": ()}[fail_on]
    return ExitCode.FAILED if status in failing else ExitCode.PASS


def _add_input_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-p",
        "--preprocess",
        metavar="SPEC",
        help="pipeline of pictures: a spec, a preset (imagenet, yolo, ...) or a .toml file; "
        "default: what the model implies, printed with its origin",
    )
    group.add_argument(
        "--quant-preprocess", metavar="SPEC", help="the same for QUANT where it wants another input"
    )
    group.add_argument(
        "--shape", type=values.shape, help="shape of raw .bin inputs, for instance 1,3,640,640"
    )
    group.add_argument("--dtype", help="data type of raw .bin inputs, for instance float32")
    group.add_argument(
        "--limit", type=values.positive, metavar="N", help="use the first N samples only"
    )
    group.add_argument(
        "--fed", metavar="FILE", help="the tensor the device was fed, to prove the input with"
    )


def _add_measuring_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--no-local",
        dest="local",
        action="store_const",
        const=False,
        help="skip the local error of every layer (faster, but no source or victim)",
    )
    group.add_argument(
        "--sensitivity",
        action="store_const",
        const=True,
        help="also quantize every layer alone and measure at the outputs (slow)",
    )
    group.add_argument(
        "--ceiling",
        action="store_const",
        const=True,
        help="also run QUANT with 16-bit codes: what remains is not resolution",
    )
    group.add_argument(
        "--keep-tensors",
        type=values.keep_tensors,
        metavar="WHICH",
        help="store tensors as .npy in the run: none (default), all, or worst:N: what failed "
        "findings name first, then the largest errors",
    )
    group.add_argument(
        "--threads", type=values.positive, metavar="N", help="threads of ONNX Runtime"
    )
    group.add_argument(
        "--max-memory",
        type=values.size,
        metavar="SIZE",
        help=f"cap on captured tensors (default {_DEFAULT_MEMORY})",
    )
    group.add_argument(
        "--provider", metavar="NAME", help="execution provider of both sides (default cpu)"
    )
    group.add_argument("--float-provider", metavar="NAME", help="the same for FLOAT")
    group.add_argument("--quant-provider", metavar="NAME", help="the same for QUANT")
    group.add_argument(
        "--task",
        metavar="TASK",
        help="how outputs are judged: auto (default), none, classification, detection, "
        "segmentation, text, or module:function",
    )
    group.add_argument(
        "--vendor",
        type=values.vendor,
        metavar="NAME",
        help="toolchain in whose syntax fixes are written (default: all)",
    )
    add_config_option(group)


def _add_verdict_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--fail-under",
        type=values.lower_limit,
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="limit for every output, for instance cosine=0.99 or sqnr_db=20, or for the task: "
        "task.f1=0.9; repeatable",
    )
    group.add_argument(
        "--fail-on",
        choices=("error", "warning", "never"),
        help="which verdicts exit with 1 (default error)",
    )


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o",
        "--output",
        metavar="RUN",
        help="folder of the run (default: QUANT.qdrun here, with a number where it is taken)",
    )
    group.add_argument("--force", action="store_true", help="replace what exists")
    group.add_argument(
        "--json",
        metavar="FILE",
        help="also write the run as JSON; - writes it, and nothing else, to stdout",
    )
    group.add_argument("--html", metavar="FILE", help="also write the HTML report")
    group.add_argument("--browse", action="store_true", help="open the terminal browser after")


def _destination(args: argparse.Namespace) -> Path:
    from qdebug.run.store import default_destination

    if args.output is not None:
        return Path(args.output)
    return default_destination(Path(args.quant_model).name, Path())


def _check_requests(args: argparse.Namespace) -> None:
    """Refuse what could only fail after all the work."""
    if args.browse and args.json == _STDOUT:
        raise UsageError("--browse and --json - both want the terminal", "write --json FILE")
    for option, file in (("--json", args.json), ("--html", args.html)):
        if file in (None, _STDOUT):
            continue
        if Path(file).is_dir():
            raise UsageError(f"{option}: {file} is a folder", "give the name of a file")
        if Path(file).exists() and not args.force:
            raise UsageError(f"{option}: {file} exists already", "use --force to replace it")


def _compare(args: argparse.Namespace, config: Config, destination: Path) -> Run:
    from qdebug.comparison import compare

    def setting(name: str, default: Any = None) -> Any:
        return _setting(args, config, name, default)

    extras = {
        "sensitivity": setting("sensitivity"),
        "ceiling": setting("ceiling"),
        "fed": args.fed,
        "task": setting("task"),
    }
    asked = {name: value for name, value in extras.items() if value}
    try:
        with progress_on_stderr(quiet=args.quiet, verbose=args.verbose) as progress:
            return compare(
                args.float_model,
                args.quant_model,
                args.inputs,
                preprocess=_pipeline(args, config, "preprocess"),
                quant_preprocess=_pipeline(args, config, "quant_preprocess"),
                shape=args.shape,
                dtype=args.dtype,
                limit=setting("limit"),
                output=destination,
                force=args.force,
                keep_tensors=setting("keep_tensors", "none"),
                threads=setting("threads"),
                local=setting("local", True),
                max_memory=setting("max_memory", values.size(_DEFAULT_MEMORY)),
                providers=(
                    args.float_provider or args.provider or setting("float_provider", "cpu"),
                    args.quant_provider or args.provider or setting("quant_provider", "cpu"),
                ),
                vendor=setting("vendor"),
                limits=_limits(args.fail_under, config),
                layer_limits=config.overrides,
                command=_portable(args.command_line),
                progress=progress,
                **asked,
            )
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(stop) or _left_behind(asked)) from None


def _left_behind(asked: Mapping[str, Any]) -> str:
    if "sensitivity" in asked:
        return "no run was written; the same command takes up the sensitivities measured so far"
    return "no run was written"


def _setting(args: argparse.Namespace, config: Config, name: str, default: Any) -> Any:
    """A flag, else the configuration, else the default."""
    given = getattr(args, name)
    return config.settings.get(name, default) if given is None else given


def _pipeline(args: argparse.Namespace, config: Config, name: str) -> ImpliedSpec | str | None:
    """A pipeline as given, with the configuration as its origin where it comes from there."""
    from qdebug.preprocess import ImpliedSpec, PreprocessSpec

    flag: str | None = getattr(args, name)
    text: str | None = config.settings.get(name)
    if flag is not None or text is None or text.lower().endswith(".toml"):
        return flag or text
    try:
        return ImpliedSpec(PreprocessSpec.parse(text), "file", (config.name,))
    except QdebugError as error:
        raise UsageError(f"{config.name}: {name}: {error.message}", error.hint) from error


def _limits(flags: Sequence[Limit], config: Config) -> list[Limit] | None:
    """Limits of the configuration, those given as flags instead where both speak."""
    chosen = {limit.metric: limit for limit in (*config.limits, *flags)}
    return list(chosen.values()) or None


def _portable(command_line: Sequence[str]) -> tuple[str, ...]:
    """The command without this machine's folders: an absolute path keeps its last part."""
    return tuple(_shortened(word) for word in command_line)


def _shortened(word: str) -> str:
    option, equals, value = word.partition("=")
    path = Path(value if equals else word)
    is_place = path.is_absolute() and (path.exists() or path.parent != Path(path.anchor))
    if not is_place:
        return word
    return f"{option}={path.name}" if equals else path.name


def _hand_over(run: Run, args: argparse.Namespace, destination: Path) -> None:
    """Write the forms asked for, print the summary, open the browser."""
    from qdebug.reporters.base import write_file
    from qdebug.run.store import run_to_json

    written = [destination]
    if args.html is not None:
        written.append(run.to_html(args.html, force=args.force))
    if args.json == _STDOUT:
        terminal.write(run_to_json(run))
        return
    if args.json is not None:
        written.append(write_file(Path(args.json), run_to_json(run), args.force))
    summary.show(run, args, written=written, next_commands=_next_commands(args, destination))
    if args.browse:
        run.browse()


def _next_commands(args: argparse.Namespace, destination: Path) -> list[str]:
    run = shlex.quote(destination.as_posix())
    commands = [f"qdebug browse {run}"]
    if args.html is None:
        commands.append(f"qdebug report {run} -o report.html")
    return commands
