"""Reading an HTML page the way a browser without JavaScript shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "input", "link", "hr"}
HIDDEN = ("script", "style", "title")


@dataclass
class Page(HTMLParser):
    """A parsed page.

    Attributes:
        elements: start tags in order, with their attributes.
        texts: text outside scripts and styles.
        scripts: attributes and content of the scripts.
        unbalanced: end tags that do not fit.
    """

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    scripts: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def parse(cls, source: str) -> Page:
        """Parse a whole page."""
        page = cls()
        page.feed(source)
        page.close()
        page.unbalanced += page._open
        return page

    @property
    def text(self) -> str:
        """All text that shows."""
        return " ".join(self.texts)

    def attributes(self, name: str) -> list[str]:
        """Values of an attribute over all elements."""
        return [
            value or "" for _, given in self.elements for key, value in given.items() if key == name
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "script":
            given, content = self.scripts[-1]
            self.scripts[-1] = (given, content + data)
        elif inside not in HIDDEN and data.strip():
            self.texts.append(" ".join(data.split()))
