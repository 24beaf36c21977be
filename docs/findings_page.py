"""A hook of mkdocs: the list of findings, made from the kinds.

Nothing of it is kept in the repository, so that a new kind needs its page and nothing here.
"""

from __future__ import annotations

from typing import Any

from qdebug.run.kinds import KINDS, Family
from qdebug.run.pages import sentence

LIST = "findings/index.md"
_HEAD = """# Findings

Every check has a page: what it means when it finds something, how to verify that without believing
qdebug, and how to fix it. Their order below is no ranking; a run orders its findings by what they
cost at the output. What all fixes have in common stands in
[The fixes, per toolchain](../toolchains.md).
"""


def page() -> str:
    """The text of the list: a table a family."""
    return "\n".join([_HEAD, *map(_section, Family)])


def on_files(files: Any, *, config: Any) -> Any:
    """Add the list."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, LIST, content=page()))
    return files


def _section(family: Family) -> str:
    rows = [
        f"| {kind.id} | [`{kind.slug}`]({kind.slug}.md) | {sentence(kind)} |"
        for kind in KINDS.values()
        if kind.family is family
    ]
    table = "\n".join(["| id | finding | what |", "|---|---|---|", *rows])
    return f"## {family.value}\n\n{table}\n"
