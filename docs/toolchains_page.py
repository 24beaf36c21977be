"""Puts the toolchains' own words into the pages of the site while ``mkdocs`` builds it."""

from __future__ import annotations

from typing import Any

from qdebug.vendors.manual import filled


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page's text, before it becomes HTML."""
    return filled(markdown)
