"""The list of findings: what matters first; what passed or does not apply folded at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style

from qdebug.reporters.ranking import gate_rank
from qdebug.run.model import Finding
from qdebug.tui.context import Look
from qdebug.tui.lines import status_glyph
from qdebug.tui.table import Cell, Column, LineTable
from qdebug.vocabulary.numbers import number

_GROUPS = (
    ("info", "For your information"),
    ("error", "Checks that could not run"),
    ("pass", "Passed"),
    ("not_applicable", "Not applicable"),
)


@dataclass(frozen=True)
class FindingRow:
    """A finding, or the heading of a group of them."""

    finding: Finding | None
    group: str = ""
    count: int = 0


class FindingTable(LineTable):
    """Findings by gate, then in the order of the run, which ranks them by what they cost."""

    def __init__(self, look: Look, findings: Sequence[Finding]) -> None:
        super().__init__(look)
        self.findings = findings
        self.open_groups = {"info"}
        self.lines: list[FindingRow] = []
        self.update_rows()

    def update_rows(self) -> None:
        """Work out the rows."""
        first = [f for f in self.findings if f.status in ("fail", "warn")]
        first.sort(key=lambda f: (f.status != "fail", gate_rank(f)))
        lines = [FindingRow(f) for f in first]
        for status, _ in _GROUPS:
            inside = [f for f in self.findings if f.status == status]
            if inside:
                lines.append(FindingRow(None, status, len(inside)))
                lines += [FindingRow(f) for f in inside if status in self.open_groups]
        self.lines = lines

    def toggle(self, group: str) -> None:
        """Fold or unfold a group."""
        self.open_groups ^= {group}
        self.update_rows()
        self.rows_changed()

    @property
    def current(self) -> FindingRow | None:
        """The row with the cursor."""
        return self.lines[self.cursor] if self.cursor < len(self.lines) else None

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def empty_text(self) -> str:
        """Why there is nothing."""
        return "no check has run"

    def columns(self) -> Sequence[Column]:
        """Status, id, title, gain."""
        return (
            Column("status", "", 2),
            Column("id", "finding", 7, 2),
            Column("title", "", 20, flexible=True, prose=True),
            Column("gain", "gain dB", 7, 1, right=True),
        )

    def cell(self, row: int, column: Column) -> Cell:
        """A cell of a finding or of a heading."""
        item = self.lines[row]
        palette, glyphs = self.look.palette, self.look.glyphs
        if item.finding is None:
            if column.key == "status":
                folded = item.group not in self.open_groups
                return (glyphs.folded if folded else glyphs.unfolded), palette.dim
            title = f"{dict(_GROUPS)[item.group]} ({item.count})"
            return (title if column.key == "title" else ""), palette.dim
        finding = item.finding
        if column.key == "status":
            return status_glyph(finding.status, self.look)
        if column.key == "gain":
            gain = finding.gain_db
            return ("" if gain is None else number(round(gain, 1))), Style()
        if column.key == "id":
            return finding.id, palette.dim
        quiet = finding.status in ("pass", "not_applicable", "info")
        return f"{finding.slug}: {finding.title}", palette.dim if quiet else palette.text
