"""Where a layer's other values begin further up, at a node that no number accuses by itself."""

from __future__ import annotations

from dataclasses import replace

from qdebug.checks.context import CheckContext
from qdebug.checks.facts.suspect import Suspect, says_why, suspect_of
from qdebug.graph.model import Node
from qdebug.graph.parameters import Difference, told
from qdebug.graph.regions import Comparison, Region, Regions
from qdebug.graph.walk import walk


def moved_up(
    context: CheckContext,
    regions: Regions,
    region: Region,
    compared: Comparison,
    suspect: Suspect,
) -> Suspect:
    """The suspect at the node where it begins: its own, where that says what differs.

    Args:
        context: of the run.
        regions: of all layers.
        region: of the suspect's layer.
        compared: the two sides of that region.
        suspect: as its own region tells it.
    """
    others = {d.parameter for _, d in compared.differences} - {"inputs"}
    if others:
        return suspect
    if compared.differences:  # it reads something else, which says no more than where
        return _exchanged_before(context, regions, region, suspect) or suspect
    found = None
    if not says_why(compared):
        found = _exchanged_before(context, regions, region, suspect) or _behind_turned(
            context, regions, region, suspect
        )
    return found or _behind_uneven(regions, region, compared) or suspect


def _exchanged_before(
    context: CheckContext, regions: Regions, region: Region, suspect: Suspect
) -> Suspect | None:
    """A node with several outputs, as Split, of which the layer is or reads another one.

    The layer computes what it should; what differs is the order of that node's outputs. Equal
    operators of one operand may stand between.
    """
    pair = context.pairing.pairs[region.at]
    if region.is_single:
        sides = (region.float_nodes[0], pair.float_tensor), (region.quant_nodes[0], pair.raw)
        places = [n.outputs.index(t) if t in n.outputs else None for n, t in sides]
        if None not in places and places[0] != places[1]:
            return replace(suspect, what=f"its output {places[1]} stands for output {places[0]}")
    mine = region.float_sources - region.quant_sources
    theirs = region.quant_sources - region.float_sources
    if not len(mine) == len(theirs) == 1:
        return None
    ends = (*mine, *theirs)
    tensors = (
        context.pairing.pairs[ends[0]].float_tensor,
        context.pairing.pairs[ends[1]].float_tensor,
    )
    found = _common_maker(regions, *tensors)
    if found is None:
        return None
    node, wanted, read = found
    direct = tensors[0] in node.outputs
    reads = "reads" if direct else "computes with what is made of"
    what = f"{suspect.node.op} {suspect.node.label} {reads} its output {read} instead of {wanted}"
    return replace(suspect, node=node, what=what, along=ends)


def _common_maker(regions: Regions, first: str, second: str) -> tuple[Node, int, int] | None:
    """The float node that two tensors are different outputs of, behind equal operators.

    Returns:
        The node, and the places of the two among its outputs; None where they part elsewhere.
    """
    graph, constants = regions.float_graph, regions.float_constants
    while first != second:
        one, other = graph.producer.get(first), graph.producer.get(second)
        if one is None or other is None:
            return None
        if one is other:
            return one, one.outputs.index(first), one.outputs.index(second)
        reads = [[name for name in node.reads if name not in constants] for node in (one, other)]
        if one.op != other.op or len(reads[0]) != 1 or len(reads[1]) != 1:
            return None
        (first,), (second,) = reads
    return None


def _behind_uneven(regions: Regions, region: Region, compared: Comparison) -> Suspect | None:
    """A node further up of other parameters, behind which two tensors were paired unevenly.

    Of a Conv of another stride only what stands behind a later cut has its shape: the pair there
    has an operator more on one side, which the layer behind it has more on the other. Its values
    may agree and no number accuse it.
    """
    gone, new = _uneven(compared)
    for at in sorted(region.quant_sources):
        before = regions.compare(regions.region(at))
        missing, added = _uneven(before)
        if before.differences and (missing & new or added & gone):
            suspect = suspect_of(regions.region(at), before, None)
            return replace(suspect, along=(region.at,))
    return None


def _uneven(compared: Comparison) -> tuple[set[str], set[str]]:
    """Operators that only the float side has, and those that only the quant side has."""
    return {n.op for n in compared.missing}, {n.op for n in compared.added}


def _behind_turned(
    context: CheckContext, regions: Regions, region: Region, suspect: Suspect
) -> Suspect | None:
    turned = _turned_before(context, regions, region)
    if turned is None:
        return None
    at, node, difference = turned
    return replace(suspect, node=node, what=str(difference), along=(at,), turned=at)


def _turned_before(
    context: CheckContext, regions: Regions, region: Region
) -> tuple[int, Node, Difference] | None:
    """A Transpose further up, or right behind, that permutes otherwise.

    By itself it cannot be told from another layout; a layer behind it that takes the values in the
    wrong order says that it is none.
    """
    behind = _turned_behind(context, regions, region)
    if behind is not None:
        return behind

    def is_turned(at: int) -> bool:
        return context.pairing.pairs[at].raw_form.perm is not None

    def onward(at: int) -> list[int]:
        return sorted(regions.region(at).quant_sources) if is_turned(at) else []

    for at in walk(sorted(region.quant_sources), onward):
        if not is_turned(at):
            continue
        for node, difference in regions.compare(regions.region(at)).differences:
            if difference.parameter == "perm":
                return at, node, difference
    return None


def _turned_behind(
    context: CheckContext, regions: Regions, region: Region
) -> tuple[int, Node, Difference] | None:
    """A Transpose that reads the layer's tensor and permutes otherwise.

    What stands behind it told the layout before it, which therefore is not the layer's.
    """
    pair = context.pairing.pairs[region.at]
    if pair.raw_form.perm is None:
        return None
    for reader in context.float_graph.readers.get(pair.float_tensor, ()):
        at = regions.position(reader.outputs[0]) if reader.op == "Transpose" else None
        twins = regions.region(at).quant_nodes if at is not None else ()
        if at is None or len(twins) != 1 or twins[0].op != "Transpose":
            continue
        perms = [tuple(n.attributes.get("perm", ())) for n in (reader, twins[0])]
        if perms[0] != perms[1]:
            return at, reader, Difference("perm", *(told(list(perm)) for perm in perms))
    return None
