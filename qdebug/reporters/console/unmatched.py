"""The tensors without a counterpart, grouped by their reason."""

from __future__ import annotations

from rich.text import Text

from qdebug.reporters.console.look import Look
from qdebug.run.model import Run, Unpaired
from qdebug.vocabulary.numbers import plural


def section(run: Run, look: Look) -> list[Text]:
    """Both sides, the float graph first."""
    lines = _side("float", run.unpaired.float, look)
    lines += _side("quant", run.unpaired.quant, look)
    return lines or [look.line("Every tensor has a counterpart.")]


def _side(side: str, unpaired: tuple[Unpaired, ...], look: Look) -> list[Text]:
    if not unpaired:
        return []
    lines = look.hanging("", f"{plural(len(unpaired), 'tensor')} only in {side}", style="bold")
    by_reason: dict[str, list[Unpaired]] = {}
    for item in unpaired:
        by_reason.setdefault(item.reason, []).append(item)
    for reason, items in by_reason.items():
        lines += look.hanging("  ", f"{reason} ({len(items)})")
        lines += [_tensor(item, look) for item in items]
    return lines


def _tensor(item: Unpaired, look: Look) -> Text:
    op = f"  {look.cut(item.op, 16)}" if item.op else ""
    name = look.cut(item.tensor, look.width - 4 - len(op))
    return look.line(f"    {name}", (op, "dim"))
