"""The little Markdown that findings use, as escaped HTML.

Paragraphs, ``-`` lists, fenced code, `code` and **bold**. No links, no raw HTML: advice may quote
names out of a stranger's model.
"""

from __future__ import annotations

import re
from itertools import groupby

from markupsafe import Markup, escape

from qdebug.vocabulary.names import visible

_SPAN = re.compile(r"`([^`\n]+)`|\*\*([^*\n]+)\*\*")
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)


def markdown_to_html(text: str) -> Markup:
    """Escaped HTML of a finding's advice."""
    shown = visible(text, lines=True)
    parts, position = [], 0
    for fence in _FENCE.finditer(shown):
        parts += [_blocks(shown[position : fence.start()]), _code(fence[1])]
        position = fence.end()
    return Markup("").join([*parts, _blocks(shown[position:])])


def _code(text: str) -> Markup:
    return Markup('<pre tabindex="0"><code>{}</code></pre>').format(text.rstrip("\n"))


def _blocks(text: str) -> Markup:
    parts = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
        for is_list, group in groupby(lines, lambda line: line.startswith(("- ", "* "))):
            block = list(group)
            parts.append(_list(block) if is_list else _paragraph(block))
    return Markup("").join(parts)


def _list(lines: list[str]) -> Markup:
    items = (Markup("<li>{}</li>").format(_spans(line[2:])) for line in lines)
    return Markup("<ul>{}</ul>").format(Markup("").join(items))


def _paragraph(lines: list[str]) -> Markup:
    return Markup("<p>{}</p>").format(_spans(" ".join(lines)))


def _spans(text: str) -> Markup:
    parts, position = [], 0
    for span in _SPAN.finditer(text):
        parts.append(escape(text[position : span.start()]))
        form = "<code>{}</code>" if span[1] is not None else "<strong>{}</strong>"
        parts.append(Markup(form).format(span[1] if span[1] is not None else span[2]))
        position = span.end()
    return Markup("").join([*parts, escape(text[position:])])
