"""Products with a weight: convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdebug.cure.reverse.rule import Step, rule
from qdebug.cure.reverse.tape import NoRuleError
from qdebug.cure.reverse.windows import Windows


@dataclass(frozen=True)
class _Kernel:
    """A convolution's weight ``[outputs, inputs of a group, *kernel]`` and how it is moved."""

    windows: Windows
    group: int
    shape: tuple[int, ...]

    @property
    def is_pointwise(self) -> bool:
        """One position to one position, all channels to all channels."""
        w = self.windows
        plain = not any(w.before) and not any(w.after)
        return self.group == 1 and plain and {*w.kernel, *w.strides} == {1}

    @property
    def is_depthwise(self) -> bool:
        """Each channel by itself, every position, with padding that can be mirrored."""
        w = self.windows
        edges = [*zip(w.before, w.reach, strict=True), *zip(w.after, w.reach, strict=True)]
        alone = self.group == self.shape[0] and self.shape[1] == 1
        return alone and {*w.strides} == {1} and all(pad < reach for pad, reach in edges)


@rule("Conv")
def _conv(step: Step) -> Mapping[int, str]:
    step.only(0, 2)
    found = {}
    if 0 in step.wanted:
        found[0] = _conv_input(step)
    if 2 in step.wanted:
        found[2] = _bias(step)
    return found


def _bias(step: Step) -> str:
    """Sum over everything but the channels."""
    axes = [0, *range(2, len(step.y_shape))]
    return step.tape.reduce_sum(step.cotangent, axes, keep=False)


def _conv_input(step: Step) -> str:
    tape, weight = step.tape, step.node.inputs[1]
    shape, group = step.shape(1), int(step.node.attributes.get("group", 1))
    windows = Windows.of_convolution(step.node, step.shape(0)[2:], shape[2:])
    kernel = _Kernel(windows, group, shape)
    if kernel.is_pointwise:
        swapped = tape.transpose(weight, [1, 0, *range(2, len(shape))])
        return tape.emit("Conv", step.cotangent, swapped)
    if kernel.is_depthwise:
        pads = [
            reach - 1 - pad
            for pad, reach in zip((*windows.before, *windows.after), windows.reach * 2, strict=True)
        ]
        return tape.emit(
            "Conv",
            step.cotangent,
            _flipped(step, weight, shape),
            group=group,
            dilations=windows.dilations,
            pads=pads,
        )
    return _transposed(step, windows, group)


def _flipped(step: Step, weight: str, shape: Sequence[int]) -> str:
    """The kernel turned about its centre."""
    for axis in range(2, len(shape)):
        if shape[axis] > 1:
            order = step.tape.integers(range(shape[axis])[::-1])
            weight = step.tape.emit("Gather", weight, order, axis=axis)
    return weight


def _transposed(step: Step, windows: Windows, group: int) -> str:
    """``ConvTranspose``, with the rows that no window has reached added at the end."""
    sizes, outputs = step.shape(0)[2:], step.y_shape[2:]
    missed = windows.missed(sizes, outputs)
    return step.tape.emit(
        "ConvTranspose",
        step.cotangent,
        step.node.inputs[1],
        group=group,
        strides=windows.strides,
        dilations=windows.dilations,
        pads=[*windows.before, *windows.after],
        output_padding=missed,
    )


@rule("ConvTranspose")
def _conv_transpose(step: Step) -> Mapping[int, str]:
    step.only(0, 2)
    found = {}
    if 0 in step.wanted:
        found[0] = _conv_transpose_input(step)
    if 2 in step.wanted:
        found[2] = _bias(step)
    return found


def _conv_transpose_input(step: Step) -> str:
    """``Conv`` with the same weight; where it gives a row too many, that one is cut off."""
    tape, sizes, outputs = step.tape, step.shape(0)[2:], step.y_shape[2:]
    windows = Windows.of_transposed(step.node, sizes, outputs, step.shape(1)[2:])
    found = tape.emit(
        "Conv",
        step.cotangent,
        step.node.inputs[1],
        group=int(step.node.attributes.get("group", 1)),
        strides=windows.strides,
        dilations=windows.dilations,
        pads=[*windows.before, *windows.after],
    )
    for axis, (size, made) in enumerate(zip(sizes, windows.count(outputs), strict=True), 2):
        if made != size:
            found = tape.slice(found, axis, 0, size)
    return found


@rule("Gemm")
def _gemm(step: Step) -> Mapping[int, str]:
    """``y = alpha A' B' + beta C``; A' and B' are A and B, transposed where the node says so."""
    tape, attributes = step.tape, step.node.attributes
    a, b = step.node.inputs[:2]
    flip_a, flip_b = bool(attributes.get("transA", 0)), bool(attributes.get("transB", 0))
    d = (step.d * float(attributes.get("alpha", 1.0))).name
    found = {}
    if 0 in step.wanted:
        right = b if flip_b else tape.transpose(b, [1, 0])
        da = tape.emit("MatMul", d, right)
        found[0] = tape.transpose(da, [1, 0]) if flip_a else da
    if 1 in step.wanted:
        left = a if flip_a else tape.transpose(a, [1, 0])
        db = tape.emit("MatMul", left, d)
        found[1] = tape.transpose(db, [1, 0]) if flip_b else db
    if 2 in step.wanted:
        dc = (step.d * float(attributes.get("beta", 1.0))).name
        found[2] = tape.unbroadcast(dc, step.y_shape, step.shape(2))
    return found


@rule("MatMul")
def _matmul(step: Step) -> Mapping[int, str]:
    """``dA = d B^T`` and ``dB = A^T d`` over the last two axes; a vector counts as one row."""
    tape = step.tape
    names = list(step.node.inputs)
    shapes = [step.shape(0), step.shape(1)]
    full = list(step.y_shape)
    if len(shapes[0]) == 1:
        full.insert(len(full) - (len(shapes[1]) > 1), 1)
        names[0], shapes[0] = tape.reshape(names[0], (1, *shapes[0])), (1, *shapes[0])
    if len(shapes[1]) == 1:
        full.append(1)
        names[1], shapes[1] = tape.reshape(names[1], (*shapes[1], 1)), (*shapes[1], 1)
    d = step.cotangent if full == list(step.y_shape) else tape.reshape(step.cotangent, full)
    found = {}
    for slot in sorted(step.wanted):
        other = shapes[1 - slot]
        turned = tape.transpose(names[1 - slot], _last_two_swapped(len(other)))
        gradient = tape.emit("MatMul", *((d, turned) if slot == 0 else (turned, d)))
        made = (*full[:-2], *shapes[slot][-2:])
        summed = tape.unbroadcast(gradient, made, shapes[slot])
        given = step.shape(slot)
        found[slot] = summed if given == shapes[slot] else tape.reshape(summed, given)
    return found


def _last_two_swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


@rule("Einsum")
def _einsum(step: Step) -> Mapping[int, str]:
    """Of each operand: the product of the gradient with the others, summed to its own letters."""
    terms, result = _equation(step)
    sizes = _sizes(step, terms)
    found = {}
    for slot in sorted(step.wanted):
        others = [t for at, t in enumerate(terms) if at != slot]
        known = set(result).union(*others)
        made = "".join(letter for letter in terms[slot] if letter in known)
        names = [name for at, name in enumerate(step.node.inputs) if at != slot]
        equation = ",".join([result, *others]) + "->" + made
        gradient = step.tape.emit("Einsum", step.cotangent, *names, equation=equation)
        if made != terms[slot]:  # a letter that was only summed: the same gradient all along it
            kept = [sizes[letter] if letter in known else 1 for letter in terms[slot]]
            gradient = step.tape.reshape(gradient, kept)
            gradient = step.tape.expand(gradient, [sizes[letter] for letter in terms[slot]])
        found[slot] = gradient
    return found


def _equation(step: Step) -> tuple[list[str], str]:
    """The letters of each operand and of the result."""
    text = step.node.attributes["equation"].replace(" ", "")
    left, arrow, result = text.partition("->")
    terms = left.split(",")
    if "." in text:
        raise NoRuleError("its equation has an ellipsis")
    if any(len(set(term)) != len(term) for term in terms):
        raise NoRuleError("its equation takes a diagonal")
    if not arrow:  # letters that occur once, in alphabetical order
        result = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    return terms, result


def _sizes(step: Step, terms: Sequence[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for slot, term in enumerate(terms):
        for letter, size in zip(term, step.shape(slot), strict=True):
            if sizes.setdefault(letter, size) != size:
                raise NoRuleError("its equation broadcasts an axis")
    return sizes
