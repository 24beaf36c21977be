"""Where a layer's other values begin further up, at a node that no number accuses by itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from qdebug.checks.context import CheckContext
from qdebug.checks.facts.suspect import Suspect, says_why, suspect_of
from qdebug.graph.model import Node
from qdebug.graph.operators import DEQUANTIZE_OPS, QUANTIZE_OPS
from qdebug.graph.pairing.score import base_name
from qdebug.graph.parameters import Difference, told
from qdebug.graph.regions import Comparison, Region, Regions
from qdebug.graph.walk import walk

_OF_LAYOUT = frozenset({"perm", "axis", "axes"})
"""Parameters that a turned operand changes without being one's own."""


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
        crossed = _crossed_before(context, region, suspect) if others <= _OF_LAYOUT else None
        return crossed or suspect
    if compared.differences:  # it reads something else, which says no more than where
        return _exchanged_before(context, regions, region, suspect) or suspect
    found = None
    if not says_why(compared):
        found = _exchanged_before(context, regions, region, suspect)
        turned = None if found else _behind_turned(context, regions, region, suspect)
        if turned is not None:
            found = _crossed_before(context, region, suspect) or turned
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
    ends = (*mine, *theirs) if len(mine) == len(theirs) == 1 else None
    ends = ends or _exchanged_by_name(context, regions, region)
    if ends is None:
        return None
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


def _exchanged_by_name(
    context: CheckContext, regions: Regions, region: Region
) -> tuple[int, int] | None:
    """Two pairs that a layer reads the other way round, each under the other's name.

    Without names it may as well be the layer itself that reads them so.
    """
    if not region.is_single:
        return None
    mine, theirs = regions.operands(region.float_nodes[0], region.quant_nodes[0])
    for a, b in zip(mine, theirs, strict=True):
        one, other = (context.pairing.pairs[at] for at in (a, b))
        names = (base_name(one.raw), base_name(other.raw))
        if a != b and names == (other.float_tensor, one.float_tensor):
            return a, b
    return None


def _crossed_before(context: CheckContext, region: Region, suspect: Suspect) -> Suspect | None:
    """A node with several outputs further up, of which two are read under each other's names.

    What is made of them may look like another layout: the scores of exchanged queries and keys are
    the transposed ones.
    """
    graph = context.float_graph
    behind = graph.ancestors([context.pairing.pairs[region.at].float_tensor])
    for index in sorted(behind, reverse=True):
        node = graph.nodes[index]
        ends = _crossed(context, node) if len(node.outputs) > 1 else None
        if ends is not None:
            a, b = (node.outputs.index(context.pairing.pairs[at].float_tensor) for at in ends)
            what = f"its outputs {a} and {b} are read in each other's place"
            return replace(suspect, node=node, what=what, along=ends)
    return None


def _crossed(context: CheckContext, node: Node) -> tuple[int, int] | None:
    """Layers of two outputs of a node whose readers in the quant graph have exchanged names."""
    layers = [
        i for i, pair in enumerate(context.pairing.pairs) if pair.float_tensor in node.outputs
    ]
    mine = [_float_readers(context, at) for at in layers]
    theirs = [_quant_readers(context, at) for at in layers]
    for i, j in combinations(range(len(layers)), 2):
        crossed = mine[i] and mine[j] and mine[i] <= theirs[j] and mine[j] <= theirs[i]
        if crossed and not mine[i] & theirs[i] and not mine[j] & theirs[j]:
            return layers[i], layers[j]
    return None


def _float_readers(context: CheckContext, at: int) -> set[str]:
    """What is made of a layer's tensor in the float graph, by name."""
    nodes = context.float_graph.readers.get(context.pairing.pairs[at].float_tensor, ())
    return {name for node in nodes for name in node.outputs if name}


def _quant_readers(context: CheckContext, at: int) -> set[str]:
    """The same in the quant graph, behind quantizers."""

    def onward(tensor: str) -> list[str]:
        nodes = context.quant_graph.readers.get(tensor, ())
        return [n.outputs[0] for n in nodes if n.op in QUANTIZE_OPS | DEQUANTIZE_OPS]

    held = walk([context.pairing.pairs[at].raw], onward)
    nodes = [node for tensor in held for node in context.quant_graph.readers.get(tensor, ())]
    return {base_name(name) for node in nodes for name in node.outputs if name}


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
