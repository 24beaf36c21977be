"""Writes the list of findings: ``python docs/findings_page.py``.

The list is made of the first two paragraphs of every page: its id with its slug, and one sentence.
A test checks that ``findings/index.md`` and the navigation are what this makes.
"""

from __future__ import annotations

from pathlib import Path

from qdebug.run.pages import entries

DOCS = Path(__file__).parent
FOLDER = DOCS / "findings"
_FAMILIES = {
    "1": "The input",
    "2": "Pairing and graph",
    "3": "Ranges and scales",
    "4": "Weights",
    "5": "Numerics and error",
    "6": "Reading of the output",
    "9": "Quality of the run",
}
_HEAD = """# Findings

Every check has a page: what it means when it finds something, how to verify that without believing
qdebug, and how to fix it. Their order below is no ranking; a run orders its findings by what they
cost at the output. What all fixes have in common stands in
[The fixes, per toolchain](../toolchains.md).
"""


def page() -> str:
    """The text of ``findings/index.md``."""
    parts = [_HEAD]
    for family, title in _FAMILIES.items():
        rows = [
            f"| {id_} | [`{slug}`]({slug}.md) | {sentence} |"
            for id_, slug, sentence in entries()
            if id_[2] == family
        ]
        parts.append(
            "\n".join([f"## {title}", "", "| id | finding | what |", "|---|---|---|", *rows])
        )
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def navigation() -> str:
    """The lines of ``mkdocs.yml`` for the findings."""
    lines = [f"      - {id_} {slug}: findings/{slug}.md" for id_, slug, _ in entries()]
    return "\n".join(["  - Findings:", "      - All findings: findings/index.md", *lines, ""])


if __name__ == "__main__":
    (FOLDER / "index.md").write_text(page(), encoding="utf-8")
