"""Which checks there are, and how all of them are run."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence

import qdebug.checks
from qdebug.checks.by_itself import sized
from qdebug.checks.check import Check, changes_ahead, run_check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.calibrated import guess_of_calibration, ranges_of_their_own
from qdebug.checks.hidden import hidden_findings
from qdebug.checks.settle import settle
from qdebug.checks.weigh import weigh
from qdebug.errors import UsageError
from qdebug.plugins import load_plugin, plugin_names
from qdebug.run.kinds import KINDS, Family, Kind
from qdebug.run.model import Finding

_Told = tuple[Finding, Finding]
"""A finding as its check made it, and as it stands beside the others."""


@functools.cache
def built_in_checks() -> tuple[Check, ...]:
    """The built-in checks by id: every ``Check`` of a module beside this one."""
    names = [module.name for module in pkgutil.iter_modules(qdebug.checks.__path__)]
    modules = [importlib.import_module(f"qdebug.checks.{name}") for name in names]
    values = (value for module in modules for value in vars(module).values())
    found = {value for value in values if isinstance(value, Check)}
    return tuple(sorted(found, key=lambda check: check.kind.id))


def run_checks(context: CheckContext) -> list[Finding]:
    """Findings of the input gate and every check, ordered by status, then size, then id.

    The size is the gain, or what a fault costs by itself where there are several (``sized``).

    Plug-ins of the entry-point group ``qdebug.checks`` run after the built-in checks. What follows
    from another finding is lowered to a remark (``settle``, ``weigh``).
    """
    kinds, checks = dict(KINDS), list(built_in_checks())
    findings = list(context.input_findings)
    for name in plugin_names("checks"):
        try:
            check = _plugin(name, kinds)
        except UsageError as error:
            findings.append(_broken(name, error))
            continue
        kinds[check.kind.slug] = check.kind
        checks.append(check)
    if context.what_if is not None:
        for check in checks:
            context.what_if.begin(changes_ahead(check, context), check.ahead_samples)
    for check in checks:
        findings.extend(run_check(check, context))
    guessed = any(guess_of_calibration(finding) for finding in findings)
    own = context.once(ranges_of_their_own) if guessed else frozenset()
    told = list(zip(findings, settle(findings, context.layers, kinds, own), strict=True))
    hidden = hidden_findings(context, checks, told)
    sizes = sized(context, checks, [*_without(told, hidden), *hidden])
    agrees = context.task is not None and context.task.agrees
    weighed = weigh([finding for finding, _ in sizes], context.limits, agrees)
    order = sorted(range(len(weighed)), key=lambda i: _rank(weighed[i], sizes[i][1]))
    return [weighed[i] for i in order]


def _without(told: Sequence[_Told], hidden: Sequence[_Told]) -> list[_Told]:
    """The findings but for those of which a hidden one says more: remarks, or that it passed."""
    said = {(f.slug, f.layers[:1]) for _, f in hidden}
    slugs = {f.slug for _, f in hidden}
    return [
        (made, f)
        for made, f in told
        if not (f.status == "pass" and f.slug in slugs)
        and not (f.status == "info" and (f.slug, f.layers[:1]) in said)
    ]


def _plugin(name: str, kinds: Mapping[str, Kind]) -> Check:
    """The check of a plug-in.

    Raises:
        UsageError: it cannot be loaded, is no check, or its kind has the id or slug of another.
    """
    check = load_plugin("checks", name)
    if not isinstance(check, Check) or not isinstance(check.kind, Kind):
        raise UsageError("it is no qdebug.checks.Check with a qdebug.run.kinds.Kind")
    for kind in kinds.values():
        if check.kind.slug == kind.slug or check.kind.id == kind.id:
            raise UsageError(
                f"its kind {check.kind.id} {check.kind.slug} is taken: there is a {kind.id}"
                f" {kind.slug}",
                "give its kind an id and a slug of its own",
            )
    return check


def _broken(name: str, error: UsageError) -> Finding:
    """What stands in for a check that is not there; its slug is the plug-in's name."""
    kind = Kind("QD000", name, Family.QUALITY, gate=None)
    title = f"the check {name} could not be loaded"
    return kind.found("error", title, error.message, error.hint or "reinstall the plug-in")


def _rank(finding: Finding, size: float) -> tuple[int, float, str]:
    order = ("fail", "error", "warn", "info", "pass", "not_applicable")
    return order.index(finding.status), -size, finding.id
