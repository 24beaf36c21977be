"""The pages of the manual that explain findings; they are part of the package."""

from __future__ import annotations

import difflib
import functools
import re
from pathlib import Path

from qdebug.errors import UsageError
from qdebug.run.model import Finding

_MANUAL = Path(__file__).resolve().parent.parent / "manual"
TOOLCHAINS = "toolchains"
"""Name of the page with what all fixes have in common."""
_LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./|findings/)?([a-z0-9-]+)\.md[^)]*\)")
_TITLE = re.compile(r"# (QD\d{3}) (\S+)\n\n(.+?)\n\n", re.DOTALL)


@functools.cache
def explained() -> frozenset[str]:
    """Slugs that have a page. Those of plug-ins have none here."""
    return frozenset(f.stem for f in (_MANUAL / "findings").glob("*.md")) - {"index"}


def explanation_of(finding: Finding) -> str | None:
    """The command that explains a finding; None without a page."""
    return f"qdebug explain {finding.slug}" if finding.slug in explained() else None


def page(name: str) -> str:
    """A page as Markdown; links to other pages are the commands that show them.

    Args:
        name: slug or id of a finding (``mixed-range``, ``QD301``), or ``toolchains``.

    Raises:
        UsageError: there is no such page; the hint names the nearest.
    """
    if name == TOOLCHAINS:
        return _linked((_MANUAL / "toolchains.md").read_text(encoding="utf-8"))
    slugs = {id_.lower(): slug for id_, slug, _ in entries()}
    slug = slugs.get(name.lower(), name)
    if slug not in explained():
        near = difflib.get_close_matches(name, explained(), n=1)
        hint = f"did you mean: qdebug explain {near[0]}" if near else "qdebug explain lists them"
        raise UsageError(f"there is no finding {name!r}", hint)
    return _linked(_read(slug))


def entries() -> list[tuple[str, str, str]]:
    """Id, slug and sentence of every page, in the order of the ids."""
    found = [match.groups() for match in map(_TITLE.match, map(_read, explained())) if match]
    return sorted((id_, slug, " ".join(sentence.split())) for id_, slug, sentence in found)


def _read(slug: str) -> str:
    return (_MANUAL / "findings" / f"{slug}.md").read_text(encoding="utf-8")


def _linked(text: str) -> str:
    return _LINK.sub(lambda link: f"{link[1]} (`{_command(link[2])}`)", text)


def _command(name: str) -> str:
    """What shows the page of that name, or stands for it."""
    if name == "index":
        return "qdebug explain"
    if name == TOOLCHAINS or name in explained():
        return f"qdebug explain {name}"
    return f"qdebug {name} --help"
