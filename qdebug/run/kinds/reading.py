"""The kinds that a board's final answers raise: how it reads the outputs."""

from __future__ import annotations

from qdebug.run.kinds.kind import Family, Kind


def _kind(id_: str, slug: str, passed: str, title: str) -> Kind:
    return Kind(id_, slug, Family.READING, "output", passed=passed, title=title)


READING_KINDS: tuple[Kind, ...] = (
    _kind(
        "QD801",
        "reading-codes",
        "The board turns codes into values",
        "The board decodes codes as if they were values",
    ),
    _kind(
        "QD802",
        "reading-boxes",
        "The board decodes boxes as the model means",
        "The board decodes boxes otherwise than the model means",
    ),
    _kind(
        "QD803",
        "reading-placing",
        "The board puts what it finds to the right places",
        "The board puts what it finds to wrong places",
    ),
    _kind(
        "QD804",
        "reading-scores",
        "The board makes scores as the model means",
        "The board makes other scores than the model means",
    ),
    _kind(
        "QD805",
        "reading-classes",
        "The board counts classes as the model does",
        "The board counts classes otherwise than the model",
    ),
    _kind(
        "QD806",
        "reading-suppression",
        "The board keeps the boxes that the model means",
        "The board keeps other boxes than the model means",
    ),
    _kind(
        "QD807",
        "reading-text",
        "The board reads text as the model means",
        "The board reads text otherwise than the model means",
    ),
    _kind(
        "QD808",
        "reading-mask",
        "The board reads the map as the model means",
        "The board reads the map otherwise than the model means",
    ),
    _kind(
        "QD809",
        "reading-differs",
        "The board reads the outputs as the model means",
        "The board's answers are others than qdebug reads",
    ),
)
"""In the order of the steps behind the network."""
