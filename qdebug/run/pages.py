"""The pages of the manual that explain findings; they are part of the package."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from qdebug.errors import UsageError
from qdebug.run.kinds import KINDS, Kind
from qdebug.run.model import Finding

MANUAL = Path(__file__).resolve().parent.parent / "manual"
TOOLCHAINS = "toolchains"
"""Name of the page with what all fixes have in common, `qdebug.vendors.manual.page`."""
BOARD = "board"
"""Name of the page with what to dump on a board, and each toolchain's command for it."""
GUIDES = (TOOLCHAINS, BOARD)
"""Pages that are no finding's."""
_LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./|findings/)?([a-z0-9-]+)\.md[^)]*\)")


def explanation_of(finding: Finding) -> str | None:
    """The command that explains a finding; None for those of plug-ins, which have no page."""
    return f"qdebug explain {finding.slug}" if finding.slug in KINDS else None


def page(name: str) -> str:
    """A page as Markdown; links to other pages are the commands that show them.

    Args:
        name: slug or id of a finding (``mixed-range``, ``QD301``).

    Raises:
        UsageError: there is no such page; the hint names the nearest.
    """
    wanted = name.lower()
    kind = next((kind for kind in KINDS.values() if wanted in (kind.slug, kind.id.lower())), None)
    if kind is None:
        near = difflib.get_close_matches(wanted, KINDS, n=1)
        hint = f"did you mean: qdebug explain {near[0]}" if near else "qdebug explain lists them"
        raise UsageError(f"there is no finding {name!r}", hint)
    return linked(_read(kind.page))


def sentence(kind: Kind) -> str:
    """What a kind says, in one sentence: the paragraph under its page's heading."""
    return " ".join(_read(kind.page).split("\n\n")[1].split())


def _read(name: str) -> str:
    return (MANUAL / name).read_text(encoding="utf-8")


def linked(text: str) -> str:
    """A page's text with the command that shows it in place of each link to another page."""
    return _LINK.sub(lambda link: f"{link[1]} (`{_command(link[2])}`)", text)


def _command(name: str) -> str:
    """What shows the page of that name, or stands for it."""
    if name == "index":
        return "qdebug explain"
    if name in GUIDES or name in KINDS:
        return f"qdebug explain {name}"
    return f"qdebug {name} --help"
