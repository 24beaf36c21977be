"""Plants faults at random: kind, model, layer and size follow from a seed.

``python -m benchmarks.plantings --seed 1 --count 100`` prints one row a planting: what was planted,
what it costs at the worst output, whether a finding names it at ``fail`` or ``warn``, at the right
node, first, and what else stands at ``fail``; then the sums. A family of faults is one file in
``tests/support/planting/families``. ``--model`` takes only trained pairs whose name begins so;
``--unusual`` draws networks of operators that the others have not (``tests/support/unusual_nets``).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import onnx

from benchmarks.faults import ZOO, zoo_pairs
from qdebug.run.model import Finding, Run
from tests.support.checked import EFFECTS, net_run
from tests.support.planting.families import (
    CONTROLS,
    FAMILIES,
    UNUSUAL,
    UNUSUAL_CONTROLS,
    Family,
    Planting,
    Subject,
    Truth,
    UnsuitableError,
)
from tests.support.planting.families.subjects import SAMPLES, random_subject
from tests.support.planting.pairs import Pair, feeds_of, sample_pairs
from tests.support.running import direct_sqnr, run_tensors
from tests.support.unusual_nets import unusual_net

COSTLY_DB = 3.0
"""What a fault must cost at an output for it to have to be named."""
CEILING_DB = 60.0
REAL = 0.15
"""Share of the plantings that go into real models."""
TRIES = 1000
"""Pairs drawn for one planting; trained ones cannot be quantized anew, as some families need."""
SILENT = 1e-6
"""Root mean square under which an output carries no signal."""


@dataclass(frozen=True)
class Row:
    """What became of one planting.

    Attributes:
        seed: of this planting alone.
        family: of the fault; of a sound change, ``control`` stands in front.
        subject: name of the pair.
        planting: what was planted.
        cost_db: what it costs at the output that suffers most.
        named: truth by truth, whether a finding names it.
        placed: truth by truth, whether at the right node.
        first: whether the first finding names the first truth.
        wrong: causes at ``fail`` that are not there.
        told: title of the first finding.
    """

    seed: int
    family: str
    subject: str
    planting: Planting
    cost_db: float
    named: tuple[bool, ...]
    placed: tuple[bool, ...]
    first: bool
    wrong: tuple[str, ...]
    told: str

    @property
    def is_costly(self) -> bool:
        """Whether it has to be named."""
        return bool(self.named) and self.cost_db >= COSTLY_DB

    @property
    def is_hit(self) -> bool:
        """Everything right."""
        return all(self.named) and all(self.placed) and self.first and not self.wrong


def run_bench(
    seeds: Iterable[int],
    families: dict[str, Family],
    controls: dict[str, Family],
    models: Sequence[str] = (),
    draw: Callable[[np.random.Generator], Subject] | None = None,
) -> Iterator[Row]:
    """One planting a seed; every fourth is a sound change.

    Args:
        seeds: of the plantings.
        families: faults to choose from.
        controls: sound changes to choose from.
        models: beginnings of trained pairs' names, to plant into these alone.
        draw: gives a pair to plant into; None for small networks and these.
    """
    taken = draw or partial(_subject, models=models)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        is_control = bool(controls) and (not families or rng.random() < 0.25)
        chosen = controls if is_control else families
        name = str(rng.choice(sorted(chosen)))
        subject, planting = _planted(chosen[name], rng, taken)
        yield judge(seed, f"{'control: ' if is_control else ''}{name}", subject, planting)


@cache
def real_subjects() -> tuple[Subject, ...]:
    """The trained pairs, and the real models where they are there, on two photos each."""
    pairs = [*sample_pairs(), *(zoo_pairs(SAMPLES) if ZOO.is_dir() else [])]
    return tuple(_real_subject(pair) for pair in pairs)


def _real_subject(pair: Pair) -> Subject:
    float_model = onnx.load(pair.float_model)
    feeds = tuple(dict(feed) for feed in feeds_of(pair, float_model)[:SAMPLES])
    return Subject(pair.name, float_model, onnx.load(pair.quant_model), feeds)


def _subject(rng: np.random.Generator, models: Sequence[str]) -> Subject:
    if models or rng.random() < REAL:
        real = [s for s in real_subjects() if s.name.startswith(tuple(models or [""]))]
        return real[int(rng.integers(len(real)))]
    return random_subject(rng)


def _planted(
    family: Family, rng: np.random.Generator, draw: Callable[[np.random.Generator], Subject]
) -> tuple[Subject, Planting]:
    for _ in range(TRIES):
        subject = draw(rng)
        try:
            return subject, family(subject, rng)
        except UnsuitableError:
            continue
    raise UnsuitableError("no pair that was drawn has a place for this fault")


def judge(seed: int, family: str, subject: Subject, planting: Planting) -> Row:
    """Compare a planted pair and hold the findings to the truth."""
    run = net_run(planting.float_model, planting.quant_model, *subject.feeds)
    bad = [f for f in run.findings if f.status in ("fail", "warn") and f.slug not in EFFECTS]
    hits = [[f for f in bad if f.slug in truth.slugs] for truth in planting.truths]
    right = {slug for truth in planting.truths for slug in truth.slugs}
    failed = [f.slug for f in bad if f.status == "fail" and f.slug not in right]
    first = not planting.truths or (bool(bad) and _is_at(bad[0], planting.truths[0], run))
    return Row(
        seed,
        family,
        subject.name,
        planting,
        cost_of(subject, planting),
        tuple(bool(found) for found in hits),
        tuple(
            any(_is_at(f, truth, run) for f in found)
            for truth, found in zip(planting.truths, hits, strict=True)
        ),
        first,
        tuple(dict.fromkeys(failed)),
        f"{bad[0].slug} {bad[0].status}: {bad[0].title}" if bad else "-",
    )


def _is_at(finding: Finding, truth: Truth, run: Run) -> bool:
    """Whether a finding names the fault at one of the places where it may."""
    if finding.slug not in truth.slugs:
        return False
    layers = {run.layers[at].float_tensor for at in finding.layers}
    node = finding.title.split(" (")[0]
    return bool(layers & set(truth.tensors)) or node in truth.nodes


def cost_of(subject: Subject, planting: Planting) -> float:
    """SQNR lost at the output that loses most, dB; outputs are read by name, as a program does."""
    reference = planting.float_model
    names = [output.name for output in reference.graph.output]
    lost = 0.0
    for name in names:
        values = [run_tensors(reference, feed, [name])[name] for feed in subject.feeds]
        if float(np.sqrt(np.mean(np.square(values)))) < SILENT:
            continue
        sound, faulty = (
            _sqnr(values, model, subject, names.index(name), name)
            for model in (planting.sound_model, planting.quant_model)
        )
        lost = max(lost, sound - faulty)
    return lost


def _sqnr(
    values: Sequence[np.ndarray], model: onnx.ModelProto, subject: Subject, at: int, name: str
) -> float:
    present = [output.name for output in model.graph.output]
    read = name if name in present else present[at]
    found = [run_tensors(model, feed, [read])[read] for feed in subject.feeds]
    db = direct_sqnr(np.stack(values), np.stack(found).reshape(np.shape(values)))
    return min(max(db, -20.0), CEILING_DB) if not math.isnan(db) else -20.0


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of a Markdown table, then the sums."""
    yield "| seed | family | kind | model | cost dB | named | placed | first | wrong | told |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    kept = []
    for row in rows:
        kept.append(row)
        marks = " | ".join(
            "/".join("yes" if x else "NO" for x in flags) or "-"
            for flags in (row.named, row.placed, (row.first,) if row.named else ())
        )
        yield (
            f"| {row.seed} | {row.family} | {row.planting.kind} | {row.subject} | "
            f"{row.cost_db:.1f} | {marks} | {', '.join(row.wrong) or '-'} | {row.told} |"
        )
    yield ""
    yield from sums(kept)


def sums(rows: Sequence[Row]) -> Iterator[str]:
    """How many were named, placed and first, by family."""
    for family in dict.fromkeys(row.family for row in rows):
        chosen = [row for row in rows if row.family == family]
        costly = [row for row in chosen if row.is_costly]
        wrong = sum(bool(row.wrong) for row in chosen)
        if not costly:
            yield f"{family}: {len(chosen)} planted, {wrong} with a wrong cause at fail"
            continue
        counts = (
            sum(all(row.named) for row in costly),
            sum(all(row.named) and all(row.placed) for row in costly),
            sum(all(row.named) and all(row.placed) and row.first for row in costly),
        )
        share = 100 * counts[2] / len(costly)
        yield (
            f"{family}: {len(chosen)} planted, {len(costly)} cost {COSTLY_DB:.0f} dB or more: "
            f"{counts[0]} named, {counts[1]} placed, {counts[2]} first ({share:.0f} %); "
            f"{wrong} with a wrong cause at fail"
        )


def main() -> None:
    """Print the table."""
    every = {**FAMILIES, **CONTROLS, **UNUSUAL, **UNUSUAL_CONTROLS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plantings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--family", action="append", choices=sorted(every))
    parser.add_argument("--unusual", action="store_true", help="other networks and operators")
    parser.add_argument("--model", action="append", default=[], help="beginning of a pair's name")
    given = parser.parse_args()
    kinds = (UNUSUAL, UNUSUAL_CONTROLS) if given.unusual else (FAMILIES, CONTROLS)
    families, controls = (
        {name: f for name, f in of.items() if not given.family or name in given.family}
        for of in kinds
    )
    draw = partial(random_subject, net=unusual_net) if given.unusual else None
    seeds = range(given.seed * 100_000, given.seed * 100_000 + given.count)
    try:
        for line in table(run_bench(seeds, families, controls, given.model, draw)):
            print(line, flush=True)
    except UnsuitableError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
