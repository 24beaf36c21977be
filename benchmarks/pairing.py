"""How well graphs are paired, over real networks and every flavour that can be made of them.

    python -m benchmarks.pairing [--models NAME,...] [--flavours TEXT,...] [--made FOLDER]
                                 [--details]

Prints a Markdown table. The truth comes from values (``tests/support/truth.py``), not from the
package: both graphs run on a picture, the quantized one in real numbers, so that a tensor and its
counterpart agree closely and nothing else does. A pair counts as wrong where another tensor of the
quant graph is clearly nearer.

``--made`` names a folder of graphs by other tools, ``MODEL/NAME.onnx``, as
``benchmarks/toolkits.py`` writes them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime

from qdebug.graph.load import load_graph
from qdebug.graph.pairing import pair_graphs
from qdebug.preprocess import PreprocessSpec, prepare_file
from tests.support.bench import judge_models
from tests.support.flavours import FLAVOURS, Flavour
from tests.support.flavours.quantizers import Desk, copied
from tests.support.nets import Array
from tests.support.truth import Verdict

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT.parent / "shared" / "zoo"
SAMPLES = ROOT / "sample_models"
SOUND_TWINS = dict.fromkeys(
    (
        "int8_channel_scale",
        "int8_clipped",
        "int8_pads",
        "int8_pool",
        "int8_range255",
        "int8_softmax",
        "int8_weight_rolled",
    ),
    "int8",
)
"""Graphs of the same structure and names, for values where a fault leaves none to go by."""
OTHER_NETWORKS = ("int8_outlier_channel",)
"""Made from another float graph than ``float.onnx``."""
_IMAGENET = "mean 123.675,116.28,103.53 std 58.395,57.12,57.375"
_HALF = "mean 127.5 std 127.5"


@dataclass(frozen=True)
class Network:
    """A float network and pictures for it.

    Attributes:
        folder: holds ``float.onnx`` and graphs quantized from it.
        spec: preprocessing.
        pictures: the first one measures, all calibrate.
    """

    folder: Path
    spec: str
    pictures: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    def feeds(self) -> tuple[dict[str, Array], ...]:
        """Inputs made from the pictures."""
        spec = PreprocessSpec.parse(self.spec)
        name = load_graph(self.folder / "float.onnx").inputs[0]
        return tuple({name: prepare_file(file, spec).tensor} for file in self.pictures)

    def quantized(self) -> list[Path]:
        """Graphs that others made from it."""
        files = sorted(self.folder.glob("*.onnx"))
        others = ("float.onnx", *(f"{name}.onnx" for name in OTHER_NETWORKS))
        return [p for p in files if p.name not in others and not p.name.startswith("float_")]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    flavour: str
    model: str
    verdict: Verdict
    seconds: float

    def __str__(self) -> str:
        """As Markdown."""
        v = self.verdict
        share = f"{100 * v.recall:.1f} %"
        return (
            f"| {self.flavour} | {self.model} | {v.total} of {v.tensors} | {share} "
            f"| {len(v.wrong)} | {self.seconds:.2f} |"
        )


def networks() -> list[Network]:
    """The sample models and, where present, the real ones."""
    given = [
        (SAMPLES / "classifier", f"resize 96x96 cv2 linear | rgb | {_IMAGENET} | nchw", "objects"),
        (SAMPLES / "detector", "letterbox 320 pad 114 | rgb | /255 | nchw", "scenes"),
        (SAMPLES / "transformer", "resize 64x64 | rgb | mean 127.5 std 127.5 | nchw", "textures"),
        (ZOO / "ultraface_rfb320", "resize 320x240 | rgb | mean 127 std 128 | nchw", "street"),
        (
            ZOO / "mobilenetv2",
            f"resize 256 | center-crop 224 | rgb | {_IMAGENET} | nchw",
            "objects",
        ),
        (ZOO / "winml_tiny_resnet", f"resize 224x224 | rgb | {_IMAGENET} | nchw", "objects"),
        (ZOO / "yolox_nano", "letterbox 416 top-left pad 114 | bgr | nchw", "street"),
        (ZOO / "ppocrv4_det", f"letterbox 640 top-left pad 0 | bgr | {_HALF} | nchw", "text"),
        (ZOO / "ppocrv4_rec", f"resize 320x48 | bgr | {_HALF} | nchw", "text"),
        (ZOO / "yolov5n", "letterbox 640 pad 114 | rgb | /255 | nchw", "street"),
        (ZOO / "yolov8n_doclaynet", "letterbox 1024 pad 114 | rgb | /255 | nchw", "docs"),
    ]
    return [
        Network(folder, spec, tuple(_pictures(folder, album)))
        for folder, spec, album in given
        if (folder / "float.onnx").exists()
    ]


def _pictures(folder: Path, album: str) -> list[Path]:
    place = ZOO / "photos" if folder.parent == ZOO else SAMPLES / "pictures"
    pattern = "crop_*" if folder.name == "ppocrv4_rec" else "*"
    return sorted(p for p in (place / album).glob(pattern) if p.suffix in (".jpg", ".png"))[:2]


def quantizable(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network as quantizers want it: opset 13 at least, weights in initializers only."""
    opset = max(o.version for o in model.opset_import if not o.domain)
    made = onnx.version_converter.convert_version(model, 13) if opset < 13 else copied(model)
    stored = {t.name for t in made.graph.initializer}
    for info in [i for i in made.graph.input if i.name in stored]:
        made.graph.input.remove(info)
    for node in [n for n in made.graph.node if n.op_type == "Constant"]:
        if node.attribute[0].name == "value":
            node.attribute[0].t.name = node.output[0]
            made.graph.initializer.append(node.attribute[0].t)
            made.graph.node.remove(node)
    return onnx.shape_inference.infer_shapes(made)


def judge_network(
    network: Network, flavours: list[Flavour], made: Path | None, wanted: list[str]
) -> Iterator[Row | str]:
    """Every flavour of a network, the quantized graphs that lie beside it, and those in ``made``.

    Yields:
        A row, or a line that says why there is none.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(network.folder / "float.onnx"))
    ready = quantizable(model)
    feeds = network.feeds()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for flavour in flavours:
            desk = Desk(folder, feeds)
            try:
                models = flavour.make(model, desk, ready)
            except Exception as error:  # a tool that will not take this network: said in the table
                yield _refusal(flavour.name, network, error)
                continue
            yield _row(flavour.name, network, models, desk)
        files = (
            network.quantized() if made is None else sorted((made / network.name).glob("*.onnx"))
        )
        for file in files:
            if not wanted or any(text in file.stem for text in wanted):
                right = onnx.load(file)
                twin = file.with_stem(SOUND_TWINS.get(file.stem, file.stem))
                models = model, right, onnx.load(twin)
                yield _row(file.stem, network, models, Desk(folder, feeds))


def _row(
    name: str,
    network: Network,
    models: tuple[onnx.ModelProto, onnx.ModelProto, onnx.ModelProto],
    desk: Desk,
) -> Row | str:
    try:
        verdict = judge_models(*models, desk.feeds[0], desk.folder, desk.rounded)
    except Exception as error:  # a graph whose truth cannot be computed: said in the table
        return _refusal(name, network, error)
    graphs = load_graph(desk.folder / "float.onnx"), load_graph(desk.folder / "quant.onnx")
    start = time.perf_counter()
    pair_graphs(*graphs)
    return Row(name, network.name, verdict, time.perf_counter() - start)


def _refusal(name: str, network: Network, error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())[:160]
    return f"| {name} | {network.name} | cannot be made: {text} | | | |"


def main() -> int:
    """Print the table; 1 where a pair is wrong or the recall too low."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="", help="parts of names, comma separated")
    parser.add_argument("--flavours", default="", help="parts of names, comma separated")
    parser.add_argument("--made", type=Path, help="graphs by other tools instead of the flavours")
    parser.add_argument("--details", action="store_true", help="name wrong and missed tensors")
    args = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    models, wanted = (
        [text for text in given.split(",") if text] for given in (args.models, args.flavours)
    )
    flavours = [f for f in FLAVOURS if not wanted or any(text in f.name for text in wanted)]
    print("| flavour | model | tensors with a counterpart | recall | wrong pairs | pairing, s |")
    print("|---|---|---|---|---|---|", flush=True)
    good = True
    for network in networks():
        if models and not any(text in network.name for text in models):
            continue
        for row in judge_network(network, [] if args.made else flavours, args.made, wanted):
            print(row, flush=True)
            if isinstance(row, Row):
                good &= not row.verdict.wrong and row.verdict.recall >= 0.98
                if args.details:
                    _print_details(row)
    return 0 if good else 1


def _print_details(row: Row) -> None:
    for line in row.verdict.wrong:
        print(f"  wrong: {line}", file=sys.stderr)
    for line in row.verdict.missed:
        print(f"  missed: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
