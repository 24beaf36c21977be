"""The pairs of models that the benchmarks run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT.parent / "shared" / "zoo"
SAMPLES = ROOT / "sample_models"


@dataclass(frozen=True)
class Case:
    """A pair of models and pictures for it."""

    name: str
    float_model: Path
    quant_model: Path
    pictures: Path
    spec: str

    def files(self, count: int) -> list[Path]:
        """So many pictures; some more than once where there are fewer."""
        found = sorted(p for p in self.pictures.iterdir() if p.suffix in (".jpg", ".png"))
        return [found[i % len(found)] for i in range(count)]


CASES = (
    Case(
        "detector 320",
        SAMPLES / "detector/float.onnx",
        SAMPLES / "detector/int8.onnx",
        SAMPLES / "pictures/scenes",
        "letterbox 320 pad 114 | rgb | /255 | nchw",
    ),
    Case(
        "yolov5n 640",
        ZOO / "yolov5n/float.onnx",
        ZOO / "yolov5n/quant_qdq_minmax_pc.onnx",
        ZOO / "photos/street",
        "letterbox 640 pad 114 | rgb | /255 | nchw",
    ),
    Case(
        "yolov8n 1024",
        ZOO / "yolov8n_doclaynet/float.onnx",
        ZOO / "yolov8n_doclaynet/quant_qdq_minmax_pc.onnx",
        ZOO / "photos/docs",
        "letterbox 1024 pad 114 | rgb | /255 | nchw",
    ),
    Case(
        "ppocrv4_det 640",
        ZOO / "ppocrv4_det/float.onnx",
        ZOO / "ppocrv4_det/quant_qdq_minmax_pc.onnx",
        ZOO / "photos/street",
        "letterbox 640 top-left pad 0 | bgr | mean 127.5,127.5,127.5 std 127.5,127.5,127.5 | nchw",
    ),
)
