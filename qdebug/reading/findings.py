"""The findings of a board's answers."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.reading.outcome import ReadingOutcome
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding
from qdebug.run.reading_results import Misreading, ReadingInfo

DIFFERS = KINDS["reading-differs"]


def findings_of(outcome: ReadingOutcome) -> list[Finding]:
    """What the answers say: every mistake, what is left unexplained, or that all agree."""
    found = [_told(outcome, mistake) for mistake in named(outcome)]
    found += differing(outcome)
    return found or [DIFFERS.found("pass", *passed(outcome))]


def named(outcome: ReadingOutcome) -> tuple[Misreading, ...]:
    """The mistakes that are told apart from those of other kinds."""
    info = outcome.info
    return () if info.state == "not_identifiable" else info.mistakes


def mistakes_of(outcome: ReadingOutcome, slug: str) -> Iterator[Finding]:
    """The findings of one kind."""
    yield from (_told(outcome, mistake) for mistake in named(outcome) if mistake.slug == slug)


def _told(outcome: ReadingOutcome, mistake: Misreading) -> Finding:
    """A guessed task and a setting convict nobody."""
    kind = KINDS[mistake.slug]
    return kind.found(
        "fail" if outcome.certain and not mistake.remark else "warn",
        kind.title,
        f"{_sentence(mistake.words)} {_agreement(outcome.info)}",
        mistake.advice,
        confidence="high" if outcome.certain else "low",
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _agreement(info: ReadingInfo) -> str:
    told = f"Of {info.answers} answers, {info.agreeing} are those of qdebug's own reading"
    if info.explained > info.agreeing:
        told += f", {info.explained} once this is done as the board does it"
    return f"{told} (the {info.basis} tensors)."


def differing(outcome: ReadingOutcome) -> Iterator[Finding]:
    """What no single mistake explains."""
    info = outcome.info
    if info.state == "not_identifiable":
        words = "; ".join(mistake.words for mistake in info.mistakes)
        yield DIFFERS.found(
            "warn",
            "The board reads the outputs otherwise, and these pictures do not tell how",
            f"Not identifiable: {words}. {_agreement(info)}",
            "Give pictures with more objects, of different sizes and away from the middle.",
            confidence="low",
        )
    elif info.state == "unexplained":
        yield DIFFERS.found(
            "warn",
            DIFFERS.title,
            f"{_agreement(info)} No mistake that qdebug knows explains the others.",
            "Check that the answers are of these pictures and of this model; dump the board's "
            "outputs (--board), so that its numbers are told from its reading.",
            confidence="low",
        )
    elif info.state == "nothing":
        yield DIFFERS.found(
            "warn",
            "The board answers nothing",
            f"{_sentence(info.notes[0]) if info.notes else 'No picture has an answer.'} A "
            "threshold that no score reaches, codes without their scale, or an output that is not "
            "filled would do that.",
            "Print the largest score that the board's program sees.",
            confidence="low",
        )


def passed(outcome: ReadingOutcome) -> tuple[str, str]:
    """Title and text where all is well."""
    info = outcome.info
    told = ", ".join(f"{name} {value}" for name, value in outcome.settings.items())
    seen = f"{info.agreeing} of {info.answers} answers agree (the {info.basis} tensors)"
    return DIFFERS.passed, f"{seen}; {told}." if told else f"{seen}."
