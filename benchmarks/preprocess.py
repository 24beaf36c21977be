"""Plants preprocessing mistakes, and counts how many are named, with their numbers.

``python -m benchmarks.preprocess [fed|families|sets|gate|all] [COUNT] [SEED]`` prints tables in
Markdown. ``fed``: a fed tensor against its picture, rendered ones and photos. ``families``: COUNT
draws of each family, its photo, pipeline and strength by chance. ``sets``: calibration sets.
``gate``: the quant side's pipeline of real and sample pairs, and preprocessing planted into their
graphs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from PIL import Image

from benchmarks.faults import ROOT, ZOO
from qdebug.comparison.input_gate import InputGate
from qdebug.comparison.sides import load_sides, samples_of
from qdebug.options import CompareOptions
from qdebug.preprocess import PreprocessSpec
from qdebug.preprocess.check import check_picture
from tests.support.preprocess_families import FAMILIES, outcome
from tests.support.preprocess_faults import (
    CONTROLS,
    FAULTS,
    Picture,
    Target,
    alarms,
    expected,
    missed,
    render,
)

_SIZES = [(810, 607), (500, 375), (427, 640), (640, 480), (333, 500), (1024, 683),
          (480, 640), (900, 601), (375, 555), (701, 499)]  # fmt: skip
_IMAGENET = "mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
_TWICE = "mean 0.485,0.456,0.406 std 0.229,0.224,0.225"


@dataclass
class Tally:
    """What became of one fault over all pictures."""

    right: int = 0
    identifiable: int = 0
    silent: int = 0
    """Pictures on which the fault leaves no trace, and none was alleged."""
    missed: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> None:
    """Print the tables asked for."""
    which = arguments[0] if arguments else "all"
    count = int(arguments[1]) if len(arguments) > 1 else len(_SIZES)
    if which in ("fed", "all"):
        with tempfile.TemporaryDirectory() as folder:
            _fed_table("rendered pictures", 320, list(_rendered(Path(folder), count)))
        photos = list(_photos(count))
        if photos:
            _fed_table("photos", 640, photos)
    seed = int(arguments[2]) if len(arguments) > 2 else 0
    if which in ("families", "all"):
        _families_table(count, seed)
    if which in ("sets", "all"):
        _sets_table(seed)
    if which in ("gate", "all"):
        _gate_table()
        _graph_table()


def _rendered(folder: Path, count: int) -> Iterator[tuple[Picture, Path]]:
    for seed, size in enumerate(_SIZES[:count]):
        path = folder / f"scene{seed}.png"
        rgb = render(seed, *size)
        Image.fromarray(rgb).save(path)
        yield rgb, path


def _photos(count: int) -> Iterator[tuple[Picture, Path]]:
    """Photos of streets, objects and texts in turn, decoded as cv2 does."""
    import cv2

    groups = [sorted((ZOO / "photos" / g).glob("*.jpg")) for g in ("street", "objects", "text")]
    mixed = [path for row in zip(*groups, strict=False) for path in row]
    for path in mixed[:count]:
        bgr = cv2.imread(str(path))
        assert bgr is not None
        yield np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8), path


def _fed_table(title: str, side: int, pictures: list[tuple[Picture, Path]]) -> None:
    """Count, fault by fault, on how many pictures it is named right."""
    target = Target(side)
    spec = PreprocessSpec.parse(target.reference)
    seconds: list[float] = []
    print(f"\n## {len(pictures)} {title}, {side}x{side}\n")
    print("| planted | must be named | right | no trace, none alleged | missed |")
    print("|---|---|---|---|---|")
    every = {name: fault.slugs for name, fault in FAULTS.items()} | dict.fromkeys(CONTROLS, ())
    tallies = {}
    for name, slugs in every.items():
        tallies[name] = _tally(name, target, spec, pictures, seconds)
        _print_tally(name, slugs, tallies[name])
    faults = [tallies[name] for name in FAULTS]
    right, total = sum(t.right for t in faults), sum(t.identifiable for t in faults)
    false = sum(len(tallies[name].missed) for name in CONTROLS)
    print(f"\n{right} of {total} identifiable faults named right ({100 * right / total:.1f} %),")
    print(f"{false} false alarms on {len(CONTROLS) * len(pictures)} controls;")
    print(f"one check takes {statistics.median(seconds):.2f} s (median), {max(seconds):.2f} s most")


def _tally(
    name: str,
    target: Target,
    spec: PreprocessSpec,
    pictures: list[tuple[Picture, Path]],
    seconds: list[float],
) -> Tally:
    plant = FAULTS[name].make if name in FAULTS else CONTROLS[name]
    tally = Tally()
    for rgb, path in pictures:
        fed = plant(target, rgb)
        start = time.perf_counter()
        result = check_picture(path, fed, spec)
        seconds.append(time.perf_counter() - start)
        wrong = missed(name, target, rgb, result)
        shows = name in FAULTS and bool(expected(name, target, rgb))
        tally.identifiable += shows
        tally.right += shows and not wrong
        tally.silent += not shows and not wrong
        if wrong:
            tally.missed.append(f"{path.name}: {wrong}")
    return tally


def _print_tally(name: str, slugs: tuple[str, ...], tally: Tally) -> None:
    named = ", ".join(slugs) or "(control) nothing"
    right = f"{tally.right} of {tally.identifiable}" if tally.identifiable else ""
    silent, wrong = tally.silent or "", "; ".join(tally.missed)
    print(f"| {name} | {named} | {right} | {silent} | {wrong} |", flush=True)


def _every_photo() -> list[Path]:
    """Photos of all kinds, each once; two labelled sets more than ``fed`` looks at."""
    found = sorted(
        path
        for folder in ("photos", "coco_val128", "imagenet200")
        for path in (ZOO / folder).rglob("*.[jJ][pP]*[gG]")
    )
    return list({path.stem: path for path in found}.values())


def _read_rgb(path: Path) -> Picture:
    import cv2

    bgr = cv2.imread(str(path))
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)


_OUTCOMES = ("right", "no trace", "untold", "wrong", "fail")


def _families_table(count: int, seed: int) -> None:
    """Draw each family several times and count what was said."""
    photos = _every_photo()
    if not photos:
        return
    print(f"\n## Families, {count} draws each of {len(photos)} photos, seed {seed}\n")
    print("| family | right | no trace | said to be open | wrong | false fail | which |")
    print("|---|---|---|---|---|---|---|")
    totals, seconds = Counter[str](), []
    for number, (name, make) in enumerate(FAMILIES.items()):
        counts, missed_ones = Counter[str](), []
        for draw_number in range(count):
            rng = np.random.default_rng([seed, number, draw_number])
            path = photos[int(rng.integers(len(photos)))]
            draw = make(_read_rgb(path), rng)
            start = time.process_time()
            result = check_picture(path, draw.fed, PreprocessSpec.parse(draw.spec))
            seconds.append(time.process_time() - start)
            said = outcome(draw, result)
            counts[said] += 1
            if said in ("wrong", "fail"):
                named = ", ".join(alarms(result)) or "nothing"
                missed_ones.append(f"{path.name}, {draw.title}: {named}")
        totals += counts
        cells = " | ".join(str(counts[one] or "") for one in _OUTCOMES)
        print(f"| {name} | {cells} | {'; '.join(missed_ones)} |", flush=True)
    print("\n" + ", ".join(f"{totals[one]} {one}" for one in _OUTCOMES))
    print(f"one check takes {statistics.median(seconds):.2f} s of processor time (median), "
          f"{max(seconds):.2f} s most")  # fmt: skip


_SET_SPEC = "letterbox 320 pad 114 | rgb | /255 | nchw"


def _sets() -> Iterator[tuple[str, str, int, bool, set[str]]]:
    """Yield a title, how the set was made, of how many photos, whether they are given, slugs."""
    stretched = _SET_SPEC.replace("letterbox 320 pad 114", "resize 320x320")
    for given in (False, True):
        beside = ", pictures given" if given else ""
        yield f"(control) as the pipeline says{beside}", _SET_SPEC, 32, given, set()
        yield f"one picture{beside}", _SET_SPEC, 1, given, {"calibration-set"}
        geometry = {"resize-geometry"} if given else {"calibration-set"}
        yield f"stretched{beside}", stretched, 32, given, geometry
        order = {"channel-order"} if given else set()
        yield f"BGR{beside}", _SET_SPEC.replace("rgb", "bgr"), 32, given, order
        numbers = {"missing-scale"} if given else {"calibration-set"}
        yield f"no /255{beside}", _SET_SPEC.replace(" | /255", ""), 32, given, numbers
        twice = {"double-normalization"} if given else {"calibration-set"}
        yield f"/255 twice{beside}", _SET_SPEC.replace("/255", "/255 | /255"), 32, given, twice
        padded = {"pad-value"} if given else {"calibration-set"}
        yield f"pad 0{beside}", _SET_SPEC.replace("114", "0"), 32, given, padded


def _sets_table(seed: int) -> None:
    """Make calibration sets of photos drawn by chance, and judge them."""
    from qdebug.preprocess.apply import prepare_file
    from qdebug.preprocess.calibration_set import Entry, judge_set

    photos = _every_photo()
    if not photos:
        return
    print(f"\n## Calibration sets, seed {seed}\n")
    print("| set | named | right | seconds |\n|---|---|---|---|")
    verdicts = []
    for number, (title, made, count, given, wanted) in enumerate(_sets()):
        rng = np.random.default_rng([seed, number])
        chosen = [photos[int(k)] for k in rng.choice(len(photos), count, replace=False)]
        spec = PreprocessSpec.parse(made)
        entries = [Entry(f"{k}.npy", prepare_file(p, spec).tensor) for k, p in enumerate(chosen)]
        start = time.process_time()
        found = judge_set(entries, PreprocessSpec.parse(_SET_SPEC), chosen if given else ())
        took = time.process_time() - start
        named = {f.slug for f in found if f.status in ("warn", "fail")}
        verdicts.append(named == wanted)
        shown = ", ".join(sorted(named)) or "nothing"
        print(f"| {title} | {shown} | {'yes' if named == wanted else 'NO'} | {took:.2f} |")
    print(f"\n{sum(verdicts)} of {len(verdicts)} right")


@dataclass(frozen=True)
class Pair:
    """A sound pair and its pipeline."""

    name: str
    float_model: Path
    quant_model: Path
    picture: Path
    spec: str


def _pairs() -> Iterator[Pair]:
    photos, samples = ZOO / "photos", ROOT / "sample_models"
    known = [
        ("yolov5n", "quant_qdq_minmax_pc_headfloat", "street/bus.jpg",
         "letterbox 640 pad 114 | rgb | /255 | nchw"),
        ("yolox_nano", "quant_qdq_a16w8_pc", "street/zidane.jpg",
         "letterbox 416 pad 114 top-left | bgr | nchw"),
        ("mobilenetv2", "quant_qop_minmax_pt", "objects/ILSVRC2012_val_00001123.jpg",
         f"resize 256 cv2 linear | center-crop 224 | rgb | {_IMAGENET} | nchw"),
        ("ppocrv4_det", "quant_qdq_minmax_pc", "text/00015504.jpg",
         "letterbox 640 pad 0 top-left | bgr | mean 127.5 std 127.5 | nchw"),
        ("ultraface_rfb320", "quant_qdq_minmax_pc", "street/zidane.jpg",
         "resize 320x240 | rgb | mean 127 std 128 | nchw"),
        ("winml_tiny_resnet", "thirdparty_olive_w8a8_qdq_nhwc", "street/bus.jpg",
         f"resize 224x224 | rgb | {_IMAGENET} | nchw"),
    ]  # fmt: skip
    for name, quant, picture, spec in known:
        if (ZOO / name).is_dir():
            folder = ZOO / name
            pair = folder / "float.onnx", folder / f"{quant}.onnx"
            yield Pair(name, *pair, photos / picture, spec)
    for name, picture, spec in (
        ("detector", "scenes/scene_1.jpg", "letterbox 320 pad 114 | rgb | /255 | nchw"),
        ("classifier", "objects/cone.jpg", f"resize 96x96 | rgb | {_IMAGENET} | nchw"),
    ):
        folder = samples / name
        pair = folder / "float.onnx", folder / "int8.onnx"
        yield Pair(f"sample {name}", *pair, samples / "pictures" / picture, spec)


def _wrong_pipelines(spec: str, nhwc: bool) -> Iterator[tuple[str, str, set[str]]]:
    """Yield a title, the quant side's pipeline and the slugs that must be raised."""
    if nhwc:
        spec = spec.replace("nchw", "nhwc")
    order, other = ("rgb", "bgr") if "rgb" in spec else ("bgr", "rgb")
    yield "(control) the right one", spec, set()
    yield "R and B swapped", spec.replace(order, other), {"channel-order"}
    if "/255" in spec:
        yield "no /255", spec.replace(" | /255", ""), {"missing-scale"}
        yield "/255 twice", spec.replace("/255", "/255 | /255"), {"double-normalization"}
    else:
        added = spec.replace(" | n", " | /255 | n")
        slug = "std-not-scaled" if "mean" in spec else "missing-scale"
        yield "/255 too much at the end", added, {slug}
    if _IMAGENET in spec:
        twice = spec.replace(" | n", f" | {_TWICE} | n")
        yield "normalized twice", twice, {"double-normalization"}
        plain = spec.replace(_IMAGENET, "/255")
        yield "mean and std forgotten", plain, {"missing-normalization"}
    first, rest = spec.split(" | ", 1)
    words = first.split()
    if words[0] == "letterbox":
        yield "stretched", f"resize {words[1]}x{words[1]} | {rest}", {"resize-geometry"}
        pad = words[words.index("pad") + 1]
        wrong = spec.replace(f"pad {pad}", f"pad {128 - int(pad) // 2}")
        yield "another pad value", wrong, {"pad-value"}
    elif words[1].count("x"):
        yield "letterboxed", f"letterbox {words[1]} | {rest}", {"resize-geometry"}


def _gate_table() -> None:
    print("\n## The quant side's pipeline, judged by the gate of `compare`\n")
    print("| pair | quant side | named | right | seconds |\n|---|---|---|---|---|")
    verdicts = []
    for pair in _pairs():
        quant_shape = _channels_last(pair.quant_model)
        for title, text, wanted in _wrong_pipelines(pair.spec, quant_shape):
            named, seconds = _gate(pair, pair.quant_model, text)
            right = named == wanted
            verdicts.append(right)
            shown = ", ".join(sorted(named)) or "nothing"
            mark = "yes" if right else "NO"
            print(f"| {pair.name} | {title} | {shown} | {mark} | {seconds:.2f} |", flush=True)
    print(f"\n{sum(verdicts)} of {len(verdicts)} right")


def _channels_last(path: Path) -> bool:
    model = onnx.load(str(path), load_external_data=False)
    sides = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return len(sides) == 4 and sides[3] == 3


def _gate(pair: Pair, quant_model: Path, quant_spec: str | None) -> tuple[set[str], float]:
    asked = CompareOptions(
        pair.float_model,
        quant_model,
        pair.picture,
        preprocess=pair.spec,
        quant_preprocess=quant_spec,
    )
    sides = load_sides(asked)
    (sample,) = samples_of(asked, sides)
    start = time.perf_counter()
    findings = InputGate(sides, sample).findings()
    seconds = time.perf_counter() - start
    return {f.slug for f in findings if f.status in ("warn", "fail")}, seconds


Change = Callable[[onnx.ModelProto], None]


def _prepend(operator: str, *constants: object, **attributes: object) -> Change:
    """Return what puts a node in front of a graph's input."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        inner = {item.name for item in graph.initializer}
        name = next(item.name for item in graph.input if item.name not in inner)
        behind = f"{name}_behind_{operator}"
        for node in graph.node:
            node.input[:] = [behind if tensor == name else tensor for tensor in node.input]
        names = [f"{behind}_{k}" for k in range(len(constants))]
        for constant, value in zip(names, constants, strict=True):
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), constant))
        node = helper.make_node(operator, [name, *names], [behind], f"front_{operator}")
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        graph.node.insert(0, node)

    return change


def _fronts(pair: Pair) -> Iterator[tuple[str, list[Change], set[str]]]:
    """Yield preprocessing to put into the quant graph, and what is wrong then without more."""
    affine = PreprocessSpec.parse(pair.spec).affine
    yield "(control) Identity", [_prepend("Identity")], set()
    swap = _prepend("Gather", np.array([2, 1, 0]), axis=1)
    yield "Gather reverses the channels", [swap], {"channel-order"}
    std = np.array(affine.std, np.float32).reshape(1, -1, 1, 1)
    mean = np.array(affine.mean, np.float32).reshape(1, -1, 1, 1)
    if any(affine.offset):
        changes = [_prepend("Div", std), _prepend("Sub", mean)]
        yield "Sub and Div by mean and std", changes, {"double-normalization"}
        bare = _prepend("Mul", 1 / std), _prepend("Add", np.float32(-1) * mean)
        yield "Add and Mul by the same", list(bare), {"double-normalization"}
    elif max(affine.gain) < 1:
        yield "Div by 255", [_prepend("Div", np.float32(255))], {"double-normalization"}


def _graph_table() -> None:
    print("\n## Preprocessing planted into the quant graph\n")
    print("| pair | in the graph | fed as before | fed what the advice says |\n|---|---|---|---|")
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in _pairs():
            if _channels_last(pair.quant_model):
                continue
            for title, changes, wanted in _fronts(pair):
                model = onnx.load(str(pair.quant_model))
                for change in changes:
                    change(model)
                path = Path(folder) / "quant.onnx"
                onnx.save(model, path)
                named, _ = _gate(pair, path, None)
                cured = _gate(pair, path, _advised(pair, path))[0]
                verdicts += [named == wanted, not cured]
                told = [", ".join(sorted(found)) or "nothing" for found in (named, cured)]
                marks = ["" if named == wanted else " (NO)", "" if not cured else " (NO)"]
                print(f"| {pair.name} | {title} | {told[0]}{marks[0]} | {told[1]}{marks[1]} |")
    print(f"\n{sum(verdicts)} of {len(verdicts)} right")


def _advised(pair: Pair, quant_model: Path) -> str | None:
    """The pipeline that the advice gives for the quant side."""
    from qdebug.preprocess.contracts import contract_of
    from qdebug.preprocess.model_facts import load_facts

    facts = load_facts(pair.float_model), load_facts(quant_model)
    wanted = contract_of(PreprocessSpec.parse(pair.spec), *facts)
    return str(wanted) if wanted else None


if __name__ == "__main__":
    main(sys.argv[1:])
