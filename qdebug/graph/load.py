"""Reading a model: checked, functions inlined, every tensor's type inferred."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import external_data_helper, inliner

from qdebug.errors import ModelError
from qdebug.graph.model import FileState, Graph
from qdebug.graph.shapes import infer_types
from qdebug.graph.validity import HINT, check_size, check_structure, shortened

_BEFORE = "compare the ONNX graphs from before the conversion to the device's own format"
_TORCH = "export it: torch.onnx.export(model, example, 'float.onnx'), or yolo export format=onnx"
_TENSORFLOW = "export it: python -m tf2onnx.convert --{} MODEL --output float.onnx"
_SOPHGO = (
    "FLOAT is the ONNX file that model_transform --model_def took, QUANT may be the table of "
    "run_calibration"
)
_FOREIGN: dict[str, tuple[str, str]] = {
    ".pt": ("a PyTorch file", _TORCH),
    ".pth": ("a PyTorch file", _TORCH),
    ".pdparams": (
        "a PaddlePaddle file",
        "export it: paddle2onnx --model_dir DIR --model_filename M --params_filename P "
        "--save_file float.onnx",
    ),
    ".tflite": ("a TensorFlow Lite file", _TENSORFLOW.format("tflite")),
    ".pb": ("a TensorFlow file", _TENSORFLOW.format("graphdef")),
    ".h5": ("a Keras file", _TENSORFLOW.format("keras")),
    ".keras": ("a Keras file", _TENSORFLOW.format("keras")),
    ".engine": (
        "a TensorRT engine",
        "give the ONNX file that trtexec --onnx took; with Q/DQ nodes it is QUANT",
    ),
    ".trt": (
        "a TensorRT engine",
        "give the ONNX file that trtexec --onnx took; with Q/DQ nodes it is QUANT",
    ),
    ".rknn": (
        "an RKNN file",
        "FLOAT is the ONNX file that rknn.load_onnx took, QUANT may be the .quantization.cfg",
    ),
    ".om": ("an Ascend offline model", "give the ONNX file that atc --model took"),
    ".hbm": ("a Horizon file", "give *_original_float_model.onnx and *_calibrated_model.onnx"),
    ".xml": ("an OpenVINO file", _BEFORE),
    ".param": (
        "an ncnn file",
        "FLOAT is the ONNX file that pnnx or onnx2ncnn took, QUANT may be ncnn2table's table",
    ),
    ".mlir": ("an MLIR file", "give the ONNX file that model_transform --model_def took"),
    ".bmodel": ("a Sophgo file", _SOPHGO),
    ".cvimodel": ("a Sophgo file", _SOPHGO),
    ".ort": ("an ONNX Runtime flatbuffer", _BEFORE),
}


def load_graph(path: str | Path) -> Graph:
    """Read an ONNX model.

    Weights in external files stay there; they are read when asked for. Functions are inlined.

    Args:
        path: an ``.onnx`` file.

    Raises:
        ModelError: the file is missing, is not a complete ONNX model, needs a newer onnx package,
            or its external data is missing or lies outside the model's folder.
    """
    path = Path(path)
    content, state = _read(path)
    digest = hashlib.sha256(content).hexdigest()
    proto = _parse(content, path)
    del content  # as large as the model, which is held from here on
    _check_versions(proto, path)
    check_structure(proto, path)
    states = {path: state} | _check_external_data(proto, path)
    proto = _inlined(proto, path)
    graph = Graph(proto, path, digest, states)
    graph.types = infer_types(graph)
    return graph


def check_unchanged(graph: Graph) -> None:
    """Make sure that a model's files are those that were read.

    Raises:
        ModelError: one was replaced or written to since ``load_graph``; some of what was measured
            belongs to the old model and some to the new one.
    """
    for path, state in graph.files.items():
        if _state(path) == state:
            continue
        touched_only = path == graph.path and path.is_file() and _sha256(path) == graph.sha256
        if not touched_only:
            raise ModelError(
                f"{path} was changed while it was being compared", "run the comparison again"
            )


def file_states(*paths: Path) -> dict[Path, FileState | None]:
    """The states of files, to tell later whether one was changed; see ``check_unchanged``."""
    return {path: _state(path) for path in paths}


def _state(path: Path) -> FileState | None:
    """What changes when a file is replaced or written to; None without the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path) -> tuple[bytes, FileState | None]:
    """A model's bytes, read once, and the state of its file before that."""
    if not path.exists():
        raise ModelError(
            f"{path} does not exist", "check the path; the first two arguments are models"
        )
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not an ONNX model", "name the .onnx file inside it")
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty", "export or copy the model again")
    if path.stat().st_size > onnx.checker.MAXIMUM_PROTOBUF:
        raise ModelError(
            f"{path} has {path.stat().st_size:,} bytes; no ONNX file is larger than 2 GiB",
            "onnx.save(model, path, save_as_external_data=True) keeps weights beside it",
        )
    state = _state(path)
    try:
        return path.read_bytes(), state
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None


def _parse(content: bytes, path: Path) -> onnx.ModelProto:
    try:
        proto = onnx.load_model_from_string(content)
    except DecodeError:
        raise _not_onnx(path, content) from None
    if not proto.HasField("graph") or not proto.opset_import:
        raise _not_onnx(path, content)
    if not proto.graph.output:
        raise ModelError(f"{path} has no outputs", "export the model again")
    return proto


def _inlined(proto: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    if not proto.functions:
        return proto
    try:
        inlined = inliner.inline_local_functions(proto)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        reason = shortened(str(error))
        raise ModelError(f"{path} has functions that cannot be inlined: {reason}", HINT) from error
    check_structure(inlined, path)
    return inlined


def is_foreign(path: Path) -> bool:
    """Whether a file's name is that of a model in a known format other than ONNX."""
    return path.suffix.lower() in _FOREIGN


def _not_onnx(path: Path, content: bytes) -> ModelError:
    start = content[:64]
    if start.startswith(b"version https://git-lfs"):
        return ModelError(f"{path} is a Git LFS pointer, not the model", "run: git lfs pull")
    kind = _FOREIGN.get(path.suffix.lower())
    if kind:
        return ModelError(f"{path} is {kind[0]}, not an ONNX model", kind[1])
    if start.lstrip()[:1] in (b"<", b"{"):
        return ModelError(f"{path} is text, not an ONNX model", "download or export it again")
    return ModelError(
        f"{path} is not a complete ONNX model",
        "it is truncated or of another format; copy or export it again",
    )


def _check_versions(proto: onnx.ModelProto, path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset > newest:
        raise ModelError(
            f"{path} needs opset {opset}; onnx {onnx.__version__} knows up to {newest}",
            "pip install -U onnx onnxruntime, or export with an older opset",
        )
    if proto.ir_version > onnx.IR_VERSION:
        raise ModelError(
            f"{path} has IR version {proto.ir_version}; onnx {onnx.__version__} "
            f"knows up to {onnx.IR_VERSION}",
            "pip install -U onnx onnxruntime",
        )


def _check_external_data(proto: onnx.ModelProto, path: Path) -> dict[Path, FileState | None]:
    """Check where weights are kept; gives the state of those files."""
    folder = path.parent.resolve()
    outside = [
        (tensor, external_data_helper.ExternalDataInfo(tensor))
        for tensor in external_data_helper._get_all_tensors(proto)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    locations: dict[str, int] = {}
    for _, info in outside:
        end = (info.offset or 0) + (info.length or 0)
        locations[info.location] = max(end, locations.get(info.location, 0))
    for location, end in sorted(locations.items()):
        _check_location(path, folder, location, end)
    sizes = {location: (folder / location).stat().st_size for location in locations}
    for tensor, info in outside:
        rest = sizes[info.location] - (info.offset or 0)
        check_size(tensor, rest if info.length is None else info.length, path)
    return {folder / location: _state(folder / location) for location in locations}


def _check_location(path: Path, folder: Path, location: str, end: int) -> None:
    # The same rule as ONNX Runtime's: a model must not read files outside its folder.
    target = (folder / location).resolve()
    if not location or Path(location).is_absolute() or not target.is_relative_to(folder):
        raise ModelError(
            f"{path} keeps weights in {location!r}, outside its own folder",
            "save it again: onnx.save(model, path, save_as_external_data=True, location='w.data')",
        )
    if not target.is_file():
        raise ModelError(
            f"{path} keeps weights in {location!r}, which is missing",
            f"copy that file to {path.parent} as well",
        )
    if target.stat().st_size < end:
        raise ModelError(
            f"{path} needs {end:,} bytes of {location!r}, which has {target.stat().st_size:,}",
            "the weights file is truncated or belongs to another export; copy it again",
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
