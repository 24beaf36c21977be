"""YAML as toolchains write it: read as nodes with their lines, and lines put into it.

Nothing in it is constructed, and what could refer to itself or name a type is refused. What is
written is inserted as text, so that every other byte stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import yaml

from qdebug.encodings.source import Source
from qdebug.graph.validity import name_of

_PLAIN = re.compile(r"[A-Za-z_/][\w./-]*$", re.ASCII)
_WORDS = frozenset("true false yes no on off null y n".split())


def root_of(source: Source) -> yaml.Node:
    """The file as nodes.

    Raises:
        EncodingsError: it is no YAML, has an anchor, an alias or a tag, or is empty.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = source.text or ""
    try:
        for event in yaml.parse(text, loader):
            line = event.start_mark.line + 1 if event.start_mark is not None else None
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise source.fault(
                    "it refers to another place of itself, as no such file does", line
                )
            if getattr(event, "tag", None):
                raise source.fault("it has a tag, as no such file does", line)
        root: yaml.Node | None = yaml.compose(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark is not None else None
        hint = "the file is cut off, or was edited by hand"
        raise source.fault(f"it is no YAML: {error.problem}", line, hint) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise source.fault(f"it is no YAML: {error}") from None
    if root is None:
        raise source.fault("it has no entries")
    return root


def line_of(node: yaml.Node) -> int:
    """Where a node begins, from 1."""
    return int(node.start_mark.line) + 1


def mapping(source: Source, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
    """Names and values; nothing for an empty place.

    Raises:
        EncodingsError: it is none, or a name stands in it twice.
    """
    if isinstance(node, yaml.ScalarNode) and not node.value:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise source.fault(f"{what} is no list of names and values", line_of(node))
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        if name in found:
            raise source.fault(f"{name_of(name)} stands in it twice", line_of(key))
        found[name] = value
    return found


def numbers(source: Source, node: yaml.Node | None, what: str) -> Iterator[float]:
    """The numbers of a list, or a single one; none where there is no node.

    Raises:
        EncodingsError: one is no finite number.
    """
    if node is None:
        return
    if not isinstance(node, (yaml.SequenceNode, yaml.ScalarNode)):
        raise source.fault(f"{what} is no list", line_of(node))
    for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        yield source.number(str(item.value), what, line_of(item))


def inserted(text: str, section: str, rows: Iterable[tuple[str, str]]) -> str:
    """The text with a row for each name below a section's heading, which is made where missing."""
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = "".join(f"    {scalar(key)}: {value}{ending}" for key, value in rows)
    if not lines:
        return text
    found = re.search(rf"^{section}:[^\n]*\n?", text, re.MULTILINE)
    if found is None:
        return f"{section}:{ending}{lines}{text}"
    heading = found[0]
    if re.match(rf"{section}:\s*{{\s*}}", heading):
        heading = re.sub(r"\s*{\s*}", "", heading, count=1)
    if not heading.endswith("\n"):
        heading += ending
    return text[: found.start()] + heading + lines + text[found.end() :]


def scalar(name: str) -> str:
    """A name as YAML reads it back as text; bare where that is safe, as toolchains write it."""
    if _PLAIN.match(name) and name.lower() not in _WORDS:
        return name
    if name.isascii() and name.isprintable():
        return "'" + name.replace("'", "''") + "'"
    return json.dumps(name)
