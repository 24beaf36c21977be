"""The manual's words on toolchains: each toolchain's ``manual.md`` put in where a page asks for it.

A page asks with ``<!-- toolchains: HEADING -->``. In its place comes what stands under that
heading in the ``manual.md`` of every toolchain, rows of a table or paragraphs, in the order in
which toolchains are listed. ``names`` stands for the names that ``--vendor`` takes.
"""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.util import find_spec

from qdebug.run.pages import MANUAL, TOOLCHAINS, linked
from qdebug.vendors import registry
from qdebug.vendors.vendor import Vendor

_SLOT = re.compile(r"<!-- toolchains: (.+?) -->")


def page(name: str = TOOLCHAINS) -> str:
    """A guide of ``qdebug.run.pages.GUIDES``, as ``qdebug explain`` shows it."""
    return linked(filled((MANUAL / f"{name}.md").read_text(encoding="utf-8")))


def filled(text: str) -> str:
    """A page with the toolchains' words in their places."""
    return _SLOT.sub(lambda slot: _words(slot[1]), text)


def headings(text: str) -> set[str]:
    """What a page asks the toolchains for."""
    return set(_SLOT.findall(text)) - {"names"}


def sections(vendor: Vendor) -> dict[str, str]:
    """A toolchain's part of the manual, text by heading; empty where it has none."""
    spec = find_spec(vendor.package)
    if spec is None or not spec.submodule_search_locations:
        return {}
    file = files(vendor.package) / "manual.md"
    if not file.is_file():
        return {}
    parts = re.split(r"^## (.+)\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {head: body.strip("\n") for head, body in zip(parts[1::2], parts[2::2], strict=True)}


def _words(heading: str) -> str:
    if heading == "names":
        return ", ".join(f"`{vendor.name}`" for vendor in registry.toolchains("advice"))
    found = [sections(vendor).get(heading, "") for vendor in registry.toolchains()]
    texts = [text for text in found if text]
    are_rows = all(text.startswith("|") for text in texts)
    return ("\n" if are_rows else "\n\n").join(texts)
