"""What a picture cannot tell, whatever was fed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.recover.candidates import Candidate, Made, Source, geometries
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Flip, Letterbox, Pad, Resampler, Rotate, Step
from qdebug.preprocess.traits import traits_of

_FILTERS = (
    Resampler("cv2", "linear"),
    Resampler("cv2", "nearest"),
    Resampler("cv2", "area"),
    Resampler("cv2", "cubic"),
    Resampler("pil", "bilinear"),
    Resampler("pil", "bicubic"),
)


def blind_spots(source: Source, spec: PreprocessSpec | None) -> tuple[str, ...]:
    """Name the traits of a pipeline that do not show on a picture.

    Each is tried: the pipeline is run with the trait changed, and if no pixel moves the picture
    cannot tell.

    Args:
        source: the picture.
        spec: the pipeline; None if there is none.
    """
    if spec is None:
        return ()
    kept: list[Step] = [s for s in spec.geometry if not isinstance(s, Flip | Rotate | Pad)]
    candidate = Candidate(spec.decode, tuple(_padded(s) for s in kept))
    made = source.make(candidate)
    if made is None:
        return ()
    found = [
        _colors(made),
        _mirrors(made),
        _geometry(source, candidate, made, spec),
        _filters(source, candidate, made),
    ]
    return tuple(words for words in found if words)


def _padded(step: Step) -> Step:
    return replace(step, pad=(114.0,)) if isinstance(step, Letterbox) else step


def _colors(made: Made) -> str:
    gray = int(np.ptp(made.picture.astype(np.int16), axis=2).max()) == 0
    return "the order of the channels (the picture is gray)" if gray else ""


def _mirrors(made: Made) -> str:
    picture = made.picture
    names = []
    if np.array_equal(picture, picture[:, ::-1]):
        names.append("left to right")
    if np.array_equal(picture, picture[::-1]):
        names.append("top to bottom")
    return f"a mirroring {' or '.join(names)} (the picture is symmetric)" if names else ""


def _geometry(source: Source, candidate: Candidate, made: Made, spec: PreprocessSpec) -> str:
    """Find the geometries and pad values that give the same pixels."""
    height, width = made.picture.shape[:2]
    own = traits_of(spec).geometry
    same = []
    for steps in _alternatives(source.size(candidate.decode), (width, height)):
        kind = traits_of(PreprocessSpec(steps)).geometry
        resampler = candidate.resampler or Resampler()
        other = source.make(Candidate(candidate.decode, steps).with_resampler(resampler))
        equal = other is not None and np.array_equal(other.picture, made.picture)
        if kind != own and equal and kind not in same:
            same.append(kind)
    if not same:
        return ""
    padding = "; the value of the padding" if own in ("letterbox", "corner letterbox") else ""
    return f"whether it is a {own} or a {' or a '.join(same)}{padding}"


def _alternatives(source: Wh, target: Wh) -> list[tuple[Step, ...]]:
    return list(geometries(source, target))[:3]


def _filters(source: Source, candidate: Candidate, made: Made) -> str:
    """Find the resampling filters that give the same pixels."""
    own = candidate.resampler
    if own is None:
        return ""
    others = [r for r in _FILTERS if r != own]
    same = []
    for resampler in others:
        other = source.make(candidate.with_resampler(resampler))
        if other is not None and np.array_equal(other.picture, made.picture):
            same.append(f"{resampler.library} {resampler.filter}")
    if len(same) == len(others):
        return "the resampling filter (the picture is not resized)"
    return f"{own.library} {own.filter} from {', '.join(same)} resampling" if same else ""
