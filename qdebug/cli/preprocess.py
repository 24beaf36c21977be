"""``qdebug preprocess``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdebug.cli import terminal
from qdebug.cli.arguments import add_options
from qdebug.errors import ExitCode, InputError, UsageError
from qdebug.options import GateOptions, PreprocessOptions

if TYPE_CHECKING:
    from qdebug.preprocess import ImpliedSpec, PreprocessSpec
    from qdebug.preprocess.check import CheckResult
    from qdebug.preprocess.model_facts import ModelFacts
    from qdebug.run.check_report import CheckReport
    from qdebug.run.model import Finding

_STDOUT = "-"
_DIFF_SCHEMA = "qdebug.preprocess-diff/1"
_MARKS = {"fail": "FAIL", "warn": "warn", "info": "info", "pass": "pass"}


class PreprocessCommand:
    """Show, check and compare preprocessing, and name what is wrong with an input.

    check IMAGE --fed TENSOR finds the pipeline that made a tensor and what differs from -p;
    check --reference TENSOR --fed TENSOR does it without the image;
    check [IMAGE ...] --calibration SET holds what calibration used against -p;
    check [IMAGE ...] --float F [--quant Q] judges a pipeline against the models themselves;
    diff A B [IMAGE] compares two pipelines; show SPEC prints one in every spelling and dialect;
    probe -o FILE writes a picture on which every mistake shows.

    Pipelines may be written in a vendor's dialect: ncnn:"mean=[...] norm=[...]",
    horizon:model.yaml, and so on.
    """

    examples = (
        'qdebug preprocess check photo.jpg --fed board.npy -p "yolo 640"',
        "qdebug preprocess check --reference float.npy --fed device.npy -p imagenet",
        "qdebug preprocess check photo.jpg --float float.onnx --quant int8.onnx",
        'qdebug preprocess check photos --calibration cali/ -p "yolo 640"',
        'qdebug preprocess diff "yolo 640" ncnn:"mean=[0] norm=[0.0039] shape=[640,640,3]"',
        "qdebug preprocess show imagenet",
        "qdebug preprocess probe -o probe.png",
    )

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "action", choices=tuple(_ACTIONS), metavar="ACTION", help="check, diff, show or probe"
        )
        parser.add_argument("operands", nargs="*", metavar="ARGUMENT", help="images or specs")
        add_options(parser, PreprocessOptions)

    def run(self, args: argparse.Namespace) -> int:
        """Do what was asked."""
        return _ACTIONS[args.action](args)


def _show(args: argparse.Namespace) -> int:
    from qdebug.vendors import dialects
    from qdebug.vendors.reference import read_spec

    (text,) = _operands(args, 1, 1, "one spec")
    given = read_spec(text)
    spec = _known(given.spec)
    lines = ["canonical", f"  {spec}"]
    if given.notes:
        lines += ["", "notes", *(f"  {note}" for note in given.notes)]
    others = [other for other in spec.equivalents() if other != str(spec)]
    if others:
        lines += ["", "the same in other numbers", *(f"  {other}" for other in others)]
    written = dialects.write_all(spec)
    if written:
        lines += ["", "in other dialects"]
    for title, block in written.items():
        lines += [f"  {title}", *(f"    {line}" for line in block.splitlines())]
    terminal.write("\n".join(lines) + "\n")
    return ExitCode.PASS


def _probe(args: argparse.Namespace) -> int:
    from qdebug.preprocess.grammar import Words
    from qdebug.preprocess.probe import SIZE, write_probe

    _operands(args, 0, 0, "no further argument")
    if args.output is None:
        raise UsageError(
            "probe needs -o FILE", "for instance: qdebug preprocess probe -o probe.png"
        )
    path = Path(args.output)
    if path.exists() and not args.force:
        raise UsageError(f"{path} exists already", "use --force to replace it")
    size = (Words(args.size).size() or SIZE) if args.size else SIZE
    for written in write_probe(path, size):
        terminal.write(f"Wrote {written}\n")
    return ExitCode.PASS


def _diff(args: argparse.Namespace) -> int:
    from qdebug.preprocess.compare_specs import compare_specs

    first, second, *picture = _operands(args, 2, 3, "two specs and perhaps an image")
    facts, runner = _float_model(args)
    one, two = (_spec(text, facts) for text in (first, second))
    result = compare_specs(one, two, Path(picture[0]) if picture else None, runner)
    lines = [f"A  {one}", f"B  {two}", ""]
    for found in result.differences:
        lines.append(f"{found.slug:<22} {found.sentence}")
        lines.append(f"{'':<22} A: {found.reference}   B: {found.found}")
    if not result.differences:
        lines.append("the two are the same")
    if result.max_codes is not None:
        from qdebug.vocabulary.numbers import percent

        sizes = f"{result.mean_codes:.3g} codes on average, {result.max_codes:.3g} at most"
        share = f"{percent(result.changed or 0)} of the values differ"
        lines += ["", f"on the image: {sizes}, {share}"]
    if result.output_sqnr_db is not None:
        lines.append(f"at the float model's output: {result.output_sqnr_db:.1f} dB SQNR")
    if args.json:
        from qdebug.run.codec import encode

        _write_json(args, {"schema": _DIFF_SCHEMA, "a": str(one), "b": str(two), **encode(result)})
    if args.json != _STDOUT:
        terminal.write("\n".join(lines) + "\n")
    return ExitCode.PASS


def _check(args: argparse.Namespace) -> int:
    if args.fed is None and args.float_model is None and args.calibration is None:
        raise UsageError(
            "check needs the tensor that was fed, the models or the calibration set",
            "give --fed TENSOR, --calibration FOLDER, or --float FLOAT and perhaps --quant QUANT",
        )
    report = _checked(args)
    if args.json:
        from qdebug.run.codec import encode

        _write_json(args, encode(report))
    if args.json != _STDOUT:
        terminal.write(_report(report, args))
    return finding_exit_code(report.findings, args.fail_on or GateOptions.fail_on)


def _checked(args: argparse.Namespace) -> CheckReport:
    if args.calibration is not None:
        if args.fed is not None:
            raise UsageError("--fed and --calibration ask two things", "give one of them")
        return _check_calibration(args)
    return _check_models(args) if args.fed is None else _check_fed(args)


def _check_calibration(args: argparse.Namespace) -> CheckReport:
    """Hold a calibration set against the pipeline."""
    from qdebug.preprocess.arguments import picture_files
    from qdebug.preprocess.calibration_set import judge_set, read_set

    facts, _ = _float_model(args)
    if args.preprocess is None and facts is None:
        raise UsageError("--calibration needs the pipeline that is right", "give it with -p")
    reference = _reference(args, facts)
    spec = _known(reference.spec)
    used = _spec(args.quant_preprocess, facts) if args.quant_preprocess else None
    entries = read_set(Path(args.calibration), facts.input if facts else None)
    findings = judge_set(entries, spec, picture_files(args.operands), used)
    return _against(reference, _made(findings, None, spec))


def _check_fed(args: argparse.Namespace) -> CheckReport:
    """Judge a fed tensor against an image or a reference tensor."""
    from qdebug.preprocess.check import check_picture, check_tensor
    from qdebug.preprocess.fed import read_fed

    facts, runner = _float_model(args)
    reference = _reference(args, facts) if args.preprocess or facts else None
    spec = _known(reference.spec) if reference is not None else None
    item = facts.input if facts else None
    size = (item.size if item else None) or (spec.size if spec else None)

    def read(name: str) -> Any:
        return read_fed(Path(name), args.shape, args.dtype, item=item, size=size)

    if args.reference is not None:
        _operands(args, 0, 0, "either an image or --reference")
        result = check_tensor(read(args.reference), read(args.fed), spec, model=runner)
    else:
        (image,) = _operands(args, 1, 1, "one image, or --reference TENSOR")
        result = check_picture(Path(image), read(args.fed), spec, size=size, model=runner)
    report = _made(result.findings, result.recovered, spec, result)
    return _against(reference, report) if reference is not None else report


def _check_models(args: argparse.Namespace) -> CheckReport:
    """Judge a pipeline against what the models themselves say."""
    from qdebug.preprocess.gate import prove_models, untold

    facts, runner = _float_model(args)
    assert facts is not None
    assert runner is not None
    reference = _reference(args, facts)
    spec = _known(reference.spec)
    quant = _quant_facts(args) if args.quant_model else None
    quant_spec = _spec(args.quant_preprocess, quant) if quant and args.quant_preprocess else None
    quant_spec = quant_spec.placed_like(spec) if quant_spec else None
    guessed = reference.origin in _GUESSED
    findings = list(prove_models(facts, spec, quant, quant_spec, assumed=guessed))
    if quant:
        findings += untold(quant)
    if args.operands:
        findings += _hint(spec, [Path(operand) for operand in args.operands], runner)
    return _against(reference, _made(findings, None, spec))


_GUESSED = ("assumed", "inferred")
"""Origins of a pipeline that nobody gave."""


def _against(reference: ImpliedSpec, report: CheckReport) -> CheckReport:
    """The report with what it is held against; what nobody gave convicts nobody."""
    from qdebug.comparison.input_gate import unproven

    findings = report.findings
    if reference.origin in _GUESSED:
        findings = tuple(map(unproven, findings))
    return dataclasses.replace(
        report, findings=findings, origin=reference.origin, doubts=reference.doubts
    )


def _reference(args: argparse.Namespace, facts: Any) -> ImpliedSpec:
    """The pipeline that is right: as given, else as models and pictures tell it."""
    return _given(args.preprocess, facts) if args.preprocess else _implied(args)


def _implied(args: argparse.Namespace) -> ImpliedSpec:
    """The pipeline that the models tell, and the pictures where there are some."""
    from qdebug.comparison.sides import load_sides, settled
    from qdebug.options import CompareOptions

    quant = {name: getattr(args, name) for name in ("quant_format", "qtable", "names")}
    twin = args.quant_model or args.float_model
    options = CompareOptions(args.float_model, twin, args.operands, **quant)
    side, _ = load_sides(options)
    found = settled(side)
    if found is None:
        raise InputError(side.preprocess.notes[0], "give the pipeline with -p")
    return found


def _quant_facts(args: argparse.Namespace) -> ModelFacts:
    """The facts of the quant model, which may be made of a toolchain's file."""
    from qdebug.comparison.sides import quant_request
    from qdebug.graph.load import load_graph
    from qdebug.options import QuantOptions
    from qdebug.preprocess.model_facts import facts_of
    from qdebug.vendors.quant import load_quant

    options = QuantOptions(quant_format=args.quant_format, qtable=args.qtable, names=args.names)
    request = quant_request(options, args.quant_model)
    graph = load_quant(request, load_graph(Path(args.float_model))).graph
    return facts_of(graph.proto, graph.folder)


def _made(
    findings: Sequence[Finding],
    recovered: PreprocessSpec | None,
    reference: PreprocessSpec | None,
    result: CheckResult | None = None,
) -> CheckReport:
    from qdebug.run.check_report import SCHEMA, CheckReport

    return CheckReport(
        SCHEMA,
        str(recovered) if recovered else None,
        str(reference) if reference else None,
        result.residual_codes if result else None,
        result.output_sqnr_db if result else None,
        tuple(findings),
    )


def _hint(spec: PreprocessSpec, pictures: list[Path], runner: Any) -> list[Finding]:
    from qdebug.preprocess.behaviour import hint_finding

    return [hint_finding(spec, pictures, runner)]


def _float_model(args: argparse.Namespace) -> tuple[Any, Any]:
    """Return the facts of the float model and a function that runs it; None for both without."""
    if args.float_model is None:
        return None, None
    from qdebug.preprocess.model_facts import load_facts, model_runner

    path = Path(args.float_model)
    return load_facts(path), model_runner(path)


def _spec(text: str | None, facts: Any) -> PreprocessSpec:
    return _known(_given(text, facts).spec)


def _given(text: str | None, facts: Any) -> ImpliedSpec:
    """Read a spec; its size, or all of it, may come from a model."""
    from qdebug.vendors.reference import read_spec, resolve_spec

    if facts:
        given = resolve_spec(text, facts.input, facts.metadata, facts.front)
    else:
        given = read_spec(text or "")
    if given.spec is None:
        raise InputError(given.notes[0] if given.notes else "nothing implies a pipeline")
    return given


def _known(spec: PreprocessSpec | None) -> PreprocessSpec:
    if spec is None:
        raise InputError("this says nothing about a pipeline")
    return spec


def _operands(args: argparse.Namespace, least: int, most: int, wanted: str) -> list[str]:
    found: list[str] = args.operands
    if not least <= len(found) <= most:
        raise UsageError(
            f"preprocess {args.action} takes {wanted}, {len(found)} given",
            "qdebug preprocess --help shows examples",
        )
    return found


def _write_json(args: argparse.Namespace, content: dict[str, Any]) -> None:
    from qdebug.reporters.base import write_file

    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    if args.json == _STDOUT:
        terminal.write(text)
    else:
        write_file(Path(args.json), text, args.force)


def _report(report: CheckReport, args: argparse.Namespace) -> str:
    """Write the findings for the terminal, those that passed as a count unless asked for."""
    lines = [f"recovered  {report.recovered or 'nothing'}", ""]
    if args.fed is None:
        lines = [f"pipeline  {report.reference}", ""]
    if report.origin in _GUESSED:
        told = [f"right     {report.reference}"] if args.fed is not None else []
        doubts = (f"          doubtful: {doubt}" for doubt in report.doubts)
        lines[-1:] = [*told, f"          {report.origin}, not given with -p", *doubts, ""]
    findings = report.findings
    lines += finding_lines(findings, verbose=args.verbose)
    passed = sum(f.status == "pass" for f in findings)
    if not any(f.status in ("fail", "warn") for f in findings):
        known = args.fed is None or args.preprocess or args.float_model or args.reference
        lines.append("nothing is wrong" if known else "no -p to compare with: nothing was judged")
    if passed and not args.verbose:
        lines.append(f"{passed} check{'s' * (passed > 1)} passed (-v lists them)")
    return "\n".join(lines) + "\n"


def finding_lines(findings: Sequence[Finding], *, verbose: bool) -> list[str]:
    """What was seen and what to do, those that passed where all are asked for."""
    lines = []
    for finding in findings:
        if finding.status == "pass" and not verbose:
            continue
        lines.append(f"{_MARKS.get(finding.status, finding.status)}  {finding.id} {finding.slug}")
        lines.append(f"      seen  {finding.seen}")
        lines += [f"      do    {finding.advice}"] if finding.advice else []
    return lines


def finding_exit_code(findings: Sequence[Finding], fail_on: str) -> int:
    """The exit code that findings lead to under ``--fail-on``."""
    failing = {"error": ("fail",), "warning": ("fail", "warn"), "never": ()}[fail_on]
    failed = any(finding.status in failing for finding in findings)
    return ExitCode.FAILED if failed else ExitCode.PASS


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "check": _check,
    "diff": _diff,
    "show": _show,
    "probe": _probe,
}
