"""The findings about a calibration set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from qdebug.preprocess.apply import prepare_file
from qdebug.preprocess.calibration import full_range
from qdebug.preprocess.calibration_set.entries import Entry
from qdebug.preprocess.calibration_set.pairs import Pair, paired
from qdebug.preprocess.calibration_set.traits import Look, alike, look_at, on_codes
from qdebug.preprocess.check import CheckResult, check_picture
from qdebug.preprocess.differences import differences
from qdebug.preprocess.normalization import KNOWN, explain, known_affine, mistakes
from qdebug.preprocess.numbers import rounded
from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import ARITHMETIC
from qdebug.preprocess.traits import traits_of
from qdebug.preprocess.verdicts import advice_on, grade
from qdebug.run.kinds import KINDS
from qdebug.run.model import Confidence, Evidence, Finding, FindingStatus

_KIND = KINDS["calibration-set"]
_FEW = 20
"""RKNN's examples calibrate on 20 pictures, Horizon asks for 20 to 100, Sophgo for 200."""
_ALIKE = 0.99
"""Small pictures of one scene, a moment apart, correlate so; different photos of one street or
one page hardly reach 0.9. By judgement."""
_SHARE_ALIKE = 0.25
_NOISE = 0.1
"""Near pixels of photos correlate above 0.5; of noise, over thousands of pixels, below 0.05."""
_MANY, _MOST = 8, 64
"""From eight on either side: two samples of one distribution are disjoint once in 6,000 times."""
_HELD = 6
"""Entries held against their pictures: a set is made by one script."""
_OUTSIDE = 0.02
"""Share of the pipeline's range by which values have to leave it: more than rounding."""
_PAD_CODES = 0.6
_ENOUGH = 5
"""Entries from which on it is told that none or nearly all have a border. Photos that all have the
model's aspect by chance are rare beyond, and said to be possible."""
_AGAIN = "Make the set again with `{spec}`, of the application's own pictures, and calibrate again."


def judge_set(
    entries: Sequence[Entry],
    spec: PreprocessSpec,
    pictures: Sequence[Path] = (),
    used: PreprocessSpec | None = None,
) -> tuple[Finding, ...]:
    """Hold a calibration set against the pipeline.

    Args:
        entries: of the set.
        spec: the pipeline that the model is fed with.
        pictures: files that the set's tensors were made of, paired by name or by what they show;
            others are the application's own, which the set should resemble.
        used: what the toolchain makes of the set's pictures or integers, in its own words.

    Raises:
        InputError: an entry is no picture.
    """
    looks = [look_at(entry) for entry in entries]
    tensors = [look for look in looks if look.samples is not None]
    pairs = paired(entries, looks, pictures, spec) if tensors else []
    found = [*_number(looks, spec), *_contents(looks, spec)]
    raw = bool(tensors) and all(look.whole for look in tensors) and spec.dtype.startswith("float")
    judged = spec.without(*ARITHMETIC) if raw else spec
    if raw or not tensors:
        found += _declared(spec, used, "integers" if raw else "pictures")
    results = _checked(pairs, judged)
    known = {pair.picture for pair in pairs} if results else set()
    if tensors:
        found += list(_held(results, raw)) or _unseen(tensors, judged, raw, pictures)
    else:
        found += _ready_made(looks, judged, pictures)
    found += _domain(looks, [path for path in pictures if path not in known], judged)
    if not any(finding.status in ("warn", "fail") for finding in found):
        seen = f"{len(entries)} entries, made as the pipeline says as far as it can be told"
        found = [f for f in found if f.status != "pass"]
        found.insert(0, _KIND.found("pass", _KIND.passed, seen))
    return tuple(found)


def _unseen(
    tensors: Sequence[Look], spec: PreprocessSpec, raw: bool, pictures: Sequence[Path]
) -> list[Finding]:
    """What tensors tell without their pictures."""
    values = [] if raw else list(_values(tensors, spec))
    found = [*values, *_sizes(tensors, spec), *_borders(tensors, spec, not values)]
    bare = _bare(tensors, spec, pictures)
    if bare == "told":
        found.append(_no_border(f"None of {len(tensors)} entries", spec))
    return [*found, _untold(len(tensors), bare == "open")]


def _ready_made(
    looks: Sequence[Look], spec: PreprocessSpec, pictures: Sequence[Path]
) -> Iterator[Finding]:
    """Pictures that are of the model's size already: a letterbox leaves them as they are."""
    if any(look.size != spec.size for look in looks):
        return
    if _bare(looks, spec, pictures) == "told":
        words = f"All {len(looks)} pictures are of the model's size already, and none of them"
        yield _no_border(words, spec)


Bare = Literal["no", "open", "told"]


def _bare(looks: Sequence[Look], spec: PreprocessSpec, pictures: Sequence[Path]) -> Bare:
    """Whether the border of the pipeline's letterbox is missing everywhere, and proves a stretch.

    It is missing soundly where the pictures have the model's aspect. That is told by the
    application's own pictures where they are given. Without them, photos are hardly ever square,
    while another aspect may be that of the camera.
    """
    if traits_of(spec).padding is None or any(look.border is not None for look in looks):
        return "no"
    if len(looks) < _ENOUGH:
        return "open"
    if pictures:
        own = [_as_a_tensor(path, spec) for path in pictures[:_ENOUGH]]
        return "told" if any(look.border is not None for look in own) else "no"
    return "told" if spec.size and spec.size[0] == spec.size[1] else "open"


def _no_border(who: str, spec: PreprocessSpec) -> Finding:
    seen = (
        f"{who} has the border that the letterbox of the pipeline leaves: the set was stretched or"
        " cropped, unless all its pictures have the model's aspect"
    )
    return _said("warn", seen, spec)


def _said(
    status: FindingStatus, seen: str, spec: PreprocessSpec, evidence: tuple[Evidence, ...] = ()
) -> Finding:
    confidence: Confidence = "high" if status == "fail" else "medium"
    advice = _AGAIN.format(spec=spec)
    return _KIND.found(status, _KIND.title, seen, advice, confidence=confidence, evidence=evidence)


def _number(looks: Sequence[Look], spec: PreprocessSpec) -> Iterator[Finding]:
    count = len(looks)
    if count < _FEW:
        entries = "1 picture" if count == 1 else f"{count} pictures"
        yield _said(
            "warn",
            f"The set holds {entries}: toolchains ask for 20 to 200, since what these do not show"
            " is clipped later",
            spec,
        )
    copies = count - len({look.digest for look in looks})
    if copies:
        yield _said("warn", f"{copies} of {count} entries are copies of another one", spec)


def _contents(looks: Sequence[Look], spec: PreprocessSpec) -> Iterator[Finding]:
    count = len(looks)
    empty = [look for look in looks if not (look.high > look.low).any()]
    noise = [look for look in looks if look.smooth < _NOISE and look not in empty]
    for kind, what in ((empty, "are one value throughout"), (noise, "are noise, no pictures")):
        if kind:
            seen = f"{len(kind)} of {count} entries {what}: {_names(kind)}"
            yield _said("warn", seen, spec)
    originals = list({look.digest: look for look in looks if look not in (*empty, *noise)}.values())
    twins = {index for pair in alike(originals, _ALIKE) for index in pair} if originals else set()
    if len(twins) > max(1, _SHARE_ALIKE * len(originals)):
        seen = f"{len(twins)} of {count} entries are nearly the same picture as another one"
        yield _said("warn", seen, spec)


def _names(looks: Sequence[Look]) -> str:
    shown = ", ".join(look.name for look in looks[:3])
    return shown + (", ..." if len(looks) > 3 else "")


def _declared(spec: PreprocessSpec, used: PreprocessSpec | None, what: str) -> Iterator[Finding]:
    """Compare what the toolchain says it makes of pictures or integers with the pipeline."""
    if used is None:
        kind = KINDS["not-identifiable"]
        seen = f"The set holds {what}: what calibration makes of them does not show in it"
        advice = (
            "Give the toolchain's own settings with --quant-preprocess, for instance sophgo:..."
        )
        yield kind.found("info", kind.title, seen, advice, confidence="high")
        return
    for difference in differences(spec, used.placed_like(spec)):
        kind = KINDS[difference.slug]
        seen = f"In calibration, {difference.sentence}"
        advice = advice_on(difference, spec)
        yield kind.found(grade(difference, None), kind.title, seen, advice, confidence="high")


def _checked(pairs: Sequence[Pair], spec: PreprocessSpec) -> list[CheckResult]:
    """Check some tensors against their pictures.

    None where the pairs were only made by likeness and most turn out to be of other pictures.
    """
    step = max(1, len(pairs) // _HELD)
    results = [
        check_picture(pair.picture, pair.tensor, spec, own_layout=False)
        for pair in pairs[::step][:_HELD]
    ]
    strange = sum(result.recovered is None for result in results)
    by_name = bool(pairs) and pairs[0].by_name
    return results if by_name or 2 * strange < len(results) else []


def _held(results: Sequence[CheckResult], raw: bool) -> Iterator[Finding]:
    """Tell what more than half of the tensors held against their pictures have.

    The toolchain may still exchange the channels of integers.
    """
    named = [f for result in results for f in result.findings if f.status in ("warn", "fail")]
    named = [f for f in named if not (raw and f.slug == "channel-order")]
    counts = Counter(finding.slug for finding in named)
    for slug, count in counts.items():
        if 2 * count <= len(results):
            continue
        first = next(finding for finding in named if finding.slug == slug)
        seen = f"In {count} of {len(results)} entries held against their pictures: {first.seen}"
        yield replace(first, seen=seen)
    if results and not counts:
        seen = f"{len(results)} entries held against their pictures are made as the pipeline says"
        yield _KIND.found("pass", _KIND.passed, seen)


def _values(looks: Sequence[Look], spec: PreprocessSpec) -> Iterator[Finding]:
    """Tell another normalization by the grid of pixel codes, or by values no picture gives."""
    declared = spec.affine
    usable = [look for look in looks if look.samples is not None and (look.high > look.low).any()]
    if not usable or any(len(look.low) != len(declared.gain) for look in usable):
        return
    if all(_on_codes(look, declared) for look in usable):
        return
    for words, other in _candidates(declared):
        if all(_on_codes(look, other) for look in usable):
            seen = f"The set's values are pixel codes 0..255 with another normalization: {words}"
            yield _said("fail", seen, spec, (_ranges(usable, declared),))
            return
    low = min(float(look.low.min()) for look in usable)
    high = max(float(look.high.max()) for look in usable)
    least, most = full_range(declared)
    if max(least - low, high - most) > _OUTSIDE * (most - least):
        seen = (
            f"The set's values run from {low:.4g} to {high:.4g}; of a picture, the pipeline makes"
            f" {least:.4g} to {most:.4g}"
        )
        yield _said("warn", seen, spec, (_ranges(usable, declared),))


def _on_codes(look: Look, affine: Affine) -> bool:
    return look.samples is not None and on_codes(look.samples, affine)


def _candidates(declared: Affine) -> Iterator[tuple[str, Affine]]:
    """Yield the known normalizations in words, the mistakes with the declared one first."""
    reversed_ = Affine(declared.gain[::-1], declared.offset[::-1])
    if reversed_ != declared:
        yield "mean and std stand in the opposite channel order, or R and B are swapped", reversed_
    yield from mistakes(declared)
    for name in KNOWN:
        other = known_affine(name, len(declared.gain))
        told = [one.sentence for one in explain(declared, other, swapped=False) if not one.invented]
        yield (told[0] if told else name), other


def _ranges(looks: Sequence[Look], declared: Affine) -> Evidence:
    low = np.min([look.low for look in looks], axis=0)
    high = np.max([look.high for look in looks], axis=0)
    rows = [
        [k, rounded(float(a), 5), rounded(float(b), 5), rounded(o, 5), rounded(255 * g + o, 5)]
        for k, (a, b, g, o) in enumerate(
            zip(low, high, declared.gain, declared.offset, strict=True)
        )
    ]
    columns = ["channel", "set from", "to", "pipeline from", "to"]
    return Evidence("table", "Values of the set", {"columns": columns, "rows": rows})


def _sizes(looks: Sequence[Look], spec: PreprocessSpec) -> Iterator[Finding]:
    """Compare the size with the pipeline's."""
    wrong = [size for size in Counter(look.size for look in looks) if size != spec.size]
    if wrong and spec.size:
        shown = ", ".join(f"{w}x{h}" for w, h in wrong[:3])
        seen = f"The set's tensors are of {shown}, the pipeline gives {spec.size[0]}x{spec.size[1]}"
        yield _said("fail", seen, spec)


def _borders(looks: Sequence[Look], spec: PreprocessSpec, scaled: bool) -> Iterator[Finding]:
    """Compare the border with the pipeline's; its value only where the numbers are right."""
    traits = traits_of(spec)
    framed = [look.border for look in looks if look.border is not None]
    if traits.padding is None and 2 * len(framed) > len(looks) >= _ENOUGH and _one(framed):
        seen = (
            f"{len(framed)} of {len(looks)} entries have a border of one value, as a letterbox"
            f" makes; the pipeline has a {traits.geometry}"
        )
        yield _said("warn", seen, spec)
    if traits.padding is not None and framed and _one(framed) and scaled:
        affine = spec.affine
        codes = (framed[0] - np.array(affine.offset)) / np.array(affine.gain)
        expected = np.array(traits.padding.codes)
        if codes.shape == expected.shape and np.abs(codes - expected).max() > _PAD_CODES:
            told = ",".join(f"{rounded(float(c), 4):g}" for c in dict.fromkeys(codes.round(2)))
            right = ",".join(f"{rounded(c, 4):g}" for c in dict.fromkeys(traits.padding.codes))
            seen = f"The border of the set is {told} as a pixel code, the pipeline's is {right}"
            yield _said("warn", seen, spec)


def _one(borders: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> bool:
    """Whether all borders have one value; black or white edges of photos have many."""
    return len(borders) > 0 and bool(np.ptp(np.stack(borders), axis=0).max() < 1e-4)


def _untold(count: int, bare: bool) -> Finding:
    kind = KINDS["not-identifiable"]
    seen = (
        "Tensors without their pictures do not tell whether R and B are swapped, nor which part of"
        " a picture they show"
    )
    if bare:
        entries = "1 entry" if count == 1 else f"{count} entries"
        seen += (
            f"; nor whether they were stretched: the border of the letterbox is missing in all"
            f" {entries}, as it is where pictures have the model's aspect"
        )
    advice = "Give the pictures beside --calibration, under the same names as the tensors."
    return kind.found("info", kind.title, seen, advice, confidence="high")


def _domain(
    looks: Sequence[Look], others: Sequence[Path], spec: PreprocessSpec
) -> Iterator[Finding]:
    """Say if the application's pictures look like none of the set's."""
    if min(len(looks), len(others)) < _MANY:
        return
    step = max(1, len(others) // _MOST)
    own = [_as_in_the_set(path, looks[0], spec) for path in others[::step][:_MOST]]
    measures = {
        "brightness": ([one.mean for one in looks], [one.mean for one in own]),
        "contrast": ([one.spread for one in looks], [one.spread for one in own]),
        "detail": ([one.smooth for one in looks], [one.smooth for one in own]),
    }
    apart = [words for words, (one, two) in measures.items() if _disjoint(one, two)]
    if apart:
        seen = (
            f"In {' and '.join(apart)} the set's {len(looks)} entries and the application's"
            f" {len(own)} pictures do not overlap: they may be of another domain"
        )
        advice = "Look whether the set shows what the application sees; calibrate on its pictures."
        yield _KIND.found("warn", _KIND.title, seen, advice, confidence="low")


def _as_in_the_set(path: Path, like: Look, spec: PreprocessSpec) -> Look:
    """Look at a picture as a tensor where the set holds tensors."""
    if like.samples is None:
        return look_at(Entry(path.name, picture=path))
    return _as_a_tensor(path, spec)


def _as_a_tensor(path: Path, spec: PreprocessSpec) -> Look:
    return look_at(Entry(path.name, prepare_file(path, spec).tensor))


def _disjoint(one: Sequence[float], two: Sequence[float]) -> bool:
    return max(one) < min(two) or max(two) < min(one)
