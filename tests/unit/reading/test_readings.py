"""Classes, texts, masks and places: the rule that leads from qdebug's answers to the board's."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.preprocess.geometry import Geometry
from qdebug.reading.classes import COCO_IDS, compare_classes
from qdebug.reading.labels import read_labels
from qdebug.reading.maps import read_maps
from qdebug.reading.numbers import Match, anchors, shift
from qdebug.reading.texts import read_texts


def test_coco_s_ids_are_eighty_of_ninety() -> None:
    assert len(COCO_IDS) == 80
    assert sorted(set(range(1, 91)) - set(COCO_IDS)) == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]


def test_class_numbers_that_are_shifted() -> None:
    own = [0, 3, 3, 5, 2, 1]
    assert compare_classes(own, own, 6) == ([], "")
    (found,), _ = compare_classes(own, [c + 1 for c in own], 7)
    assert (found.names, found.numbers) == (("class-shift",), (("shift", 1.0),))


def test_coco_s_ids_are_no_mistake_and_counting_from_one_is() -> None:
    own = [0, 2, 20, 45, 79, 60]
    ids = [COCO_IDS[c] for c in own]
    assert compare_classes(own, ids, 80) == ([], "classes are COCO's category ids")
    (found,), _ = compare_classes(own, [c + 1 for c in own], 80)
    assert found.names == ("class-shift",)
    # Classes below 11 have ids that are one higher: both fit, so that nothing is wrong for certain.
    assert compare_classes([0, 2, 5], [1, 3, 6], 80)[0] == []


def test_another_list_of_classes() -> None:
    own, other = [0, 1, 0, 1, 2, 2], {0: 4, 1: 0, 2: 2}
    (found,), _ = compare_classes(own, [other[c] for c in own], 6)
    assert found.names == ("class-list",)
    scattered = compare_classes([0, 0, 0, 1, 1, 1], [3, 4, 5, 2, 0, 3], 6)
    assert scattered == ([], "")


def scores(best: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(len(best), 10))
    table[np.arange(len(best)), best] = 9
    return list(table)


def test_classes_of_pictures() -> None:
    best = [1, 4, 7, 2, 2]
    plain = read_labels({"quant": scores(best)}, [np.array([c]) for c in best], None, "b", "CSV")
    assert (plain.state, plain.agreeing) == ("same", 5)
    moved = [np.array([c + 1]) for c in best]
    found = read_labels({"quant": scores(best)}, moved, None, "b", "CSV")
    assert (found.state, found.mistakes[0].slug) == ("explained", "reading-classes")
    least = [np.array([int(s.argmin())]) for s in scores(best)]
    found = read_labels({"quant": scores(best)}, least, None, "b", "CSV")
    assert found.mistakes[0].names == ("least-score",)


def test_signed_codes_that_are_read_as_unsigned() -> None:
    table = [np.array(row, np.float64) for row in ([3.0, -1, -2], [-0.5, 4, -1], [-3, 1, -2])]
    wrapped = [np.array([int((np.rint(s / 0.05) % 256).argmax())]) for s in table]
    found = read_labels({"quant": table}, wrapped, (0.05, 0), "b", "CSV")
    assert found.mistakes[0].slug == "reading-codes"
    assert read_labels({"quant": table}, wrapped, None, "b", "CSV").state == "unexplained"


WAYS = ("right", "blank", "list-shift-up", "not-merged")


def ways(text: str) -> dict[str, str]:
    doubled = "".join(c * 2 for c in text)
    up = "".join(chr(ord(c) + 1) for c in text)
    return dict(zip(WAYS, (text, "x" * len(text), up, doubled), strict=True))


def test_texts() -> None:
    texts = [ways("hello"), ways("worlds"), ways("again")]
    same = read_texts({"quant": texts}, ["hello", "worlds", "again"], "b", "texts")
    assert (same.state, same.agreeing, same.mistakes) == ("same", 3, ())
    near = read_texts({"quant": texts}, ["hallo", "worlds", None], "b", "texts")
    assert (near.state, near.answers) == ("same", 2)
    up = [t["list-shift-up"] for t in texts]
    found = read_texts({"quant": texts}, up, "b", "texts")
    assert (found.state, found.explained, found.mistakes[0].names) == (
        "explained",
        3,
        ("list-shift-up",),
    )
    other = read_texts({"quant": texts}, ["12345", "67890", "00000"], "b", "texts")
    assert other.state == "unexplained"


def test_a_rare_mistake_is_told_by_texts_that_agree_to_the_letter() -> None:
    """Few letters are affected, and one text is another one on the board anyway."""
    words = ["hello", "rooms", "plain", "other"]
    kept = ["helllo", "roooms", "plain", "other"]
    texts = [{"right": one, "not-merged": two} for one, two in zip(words, kept, strict=True)]
    board = [*kept[:3], "zzzzz"]
    found = read_texts({"quant": texts}, board, "b", "texts")
    assert found.mistakes[0].names == ("not-merged",)
    one = read_texts({"quant": texts}, [kept[0], words[1], words[2], "zzzzz"], "b", "texts")
    assert one.mistakes == ()


def test_a_rare_mistake_is_told_by_texts_that_all_come_nearer() -> None:
    """None agrees to the letter: int8 changed another letter of each."""
    words = ["hello", "rooms", "books", "plain", "other"]
    kept = ["helllo", "roooms", "boooks", "plain", "other"]
    texts = [{"right": one, "not-merged": two} for one, two in zip(words, kept, strict=True)]
    found = read_texts({"quant": texts}, [f"{w[:-1]}z" for w in kept], "b", "texts")
    assert found.mistakes[0].names == ("not-merged",)
    # Two letters doubled by int8 where three texts hold none: chance, and none is named.
    chance = ["helllz", "roomz", "bookz", "plain", "other"]
    assert read_texts({"quant": texts}, chance, "b", "texts").mistakes == ()


def test_one_letter_convicts_nobody() -> None:
    texts = [{"right": "to be", "blank": "tobe"}, {"right": "again", "blank": "again"}]
    found = read_texts({"quant": texts}, ["tobe", "again"], "b", "texts")
    assert (found.state, found.mistakes) == ("same", ())


def letterboxed() -> Geometry:
    return Geometry((80, 40), (40, 40), (0.5, 0, 0, 0, 0.5, 10))


@pytest.mark.parametrize(
    ("change", "name"),
    [("none", ""), ("transposed", "transposed"), ("not-undone", "not-undone"), ("shift", "shift")],
)
def test_masks(change: str, name: str) -> None:
    own = np.zeros((40, 40), np.int64)
    own[14:26, 4:18], own[12:16, 24:38] = 1, 2
    held = {"right": own, "transposed": own.T}
    rows = (np.arange(40) * 0.5 + 10).astype(int)
    mask = own[np.ix_(rows, np.arange(80) // 2)]
    if change == "transposed":
        mask = own.T[np.ix_(rows, np.arange(80) // 2)]
    elif change == "not-undone":
        mask = own[np.ix_(np.arange(40), np.arange(80) // 2)]
    elif change == "shift":
        mask = mask + 1
    found = read_maps({"quant": [(held, letterboxed())]}, [mask], "b", "masks")
    assert found.state == ("explained" if name else "same")
    told = [n for m in found.mistakes for n in m.names]
    assert all(name in n for n in told)
    assert len(told) == bool(name)


def matches(move: tuple[float, float], factor: float = 1.0, noise: float = 0.0) -> list[Match]:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(20):
        corner = rng.uniform(50, 300, 2)
        own = np.concatenate([corner, corner + rng.uniform(40, 150, 2)])
        board = own * factor + [*move, *move] + rng.normal(0, noise, 4)
        found.append(Match(board, own, (640, 480), 1.0))
    return found


def test_a_shift_is_told_from_noise() -> None:
    assert shift(matches((0, 0))) is None
    assert shift(matches((0, 0), noise=3)) is None
    rounded = shift(matches((0.5, 0), noise=0.2))
    assert rounded is not None
    assert rounded.names == ("rounding",)
    assert abs(dict(rounded.numbers)["offset_x"] - 0.5) < 0.2
    far = shift(matches((12, 0), noise=1))
    assert far is not None
    assert far.names == ("shift",)
    scaled = shift(matches((0, 0), factor=1.02))
    assert scaled is not None
    assert scaled.names == ("scale",)
    assert shift(matches((5, 5))[:3]) is None


def test_anchors_of_another_model() -> None:
    groups = {(8.0, 10.0, 13.0): (1.9, 2.1), (16.0, 30.0, 61.0): (3.2, 1.1)}
    found = []
    for group, factor in groups.items():
        for at in range(4):
            own = np.array([200, 200, 230 + 5 * at, 220 + 7 * at], np.float64)
            board = np.concatenate([own[:2], own[:2] + (own[2:] - own[:2]) * factor])
            found.append(Match(board, own, (640, 640), 1.0, group))
    told = anchors(found)
    assert told is not None
    assert "10x13 as 19x27" in told.words
    same = [Match(m.own, m.own, m.limits, 1.0, m.group) for m in found]
    assert anchors(same) is None
