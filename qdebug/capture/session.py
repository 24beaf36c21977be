"""ONNX Runtime sessions as qdebug opens them, and runs that copy nothing they need not."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from qdebug.at_work import working_on
from qdebug.errors import UsageError
from qdebug.graph.model import Graph
from qdebug.graph.problems import explain_ort_error
from qdebug.processors import fewer_processors, processors

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[Any]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""Execution providers by the name that ``--provider`` takes."""
NOT_IN_NUMPY = frozenset(
    getattr(onnx.TensorProto, name)
    for name in ("BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ")
)
"""Types of tensors that a run returns as ONNX Runtime's own values."""
_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
_MAPPED = 64 << 20
"""Bytes of external weights, as float32, from which on sessions read them where they are, in the
file. By default each keeps them twice more: in the order that its kernels like best, and codes as
the float values they stand for; a comparison holds five sessions at a time. Below, the copies cost
little and are a little faster. By judgement."""
_FOLDS_WEIGHTS = "ConstantFolding"
"""ONNX Runtime's optimization that turns codes of weights into float32, for as long as a session
lives. Without it the codes of one layer after the other are turned, each time the graph runs."""

_MOVE_QUANTIZERS = ("TransposeOptimizer", "TransposeOptimizer_CPUExecutionProvider")
"""ONNX Runtime's optimizations that put a Q/DQ pair in front of a Transpose as well, where one
stands behind it. What the Transpose reads is then given as quantized, as it is not in the graph as
written."""


@dataclass(frozen=True)
class SessionSettings:
    """How a graph is run.

    Attributes:
        declared: True runs the *declared simulation*: basic optimizations, every Q and DQ node
            executed as written. False runs as deployed: all optimizations.
        threads: intra-op threads, 0 for ONNX Runtime's own choice.
        provider: a key of ``PROVIDERS``.
        reordered: run the declared simulation with all optimizations of the floating-point part.
            Sums come in another order, so the last bits differ; 1.2 to 1.7 times as fast.
        short_lived: optimize nothing: for a session of few runs, opened in half the time. The basic
            optimizations, of which the most is to dequantize weights once, save less than that.
    """

    declared: bool = True
    threads: int = 0
    provider: str = "cpu"
    reordered: bool = False
    short_lived: bool = False

    @property
    def deployed(self) -> SessionSettings:
        """The same, as deployed."""
        return replace(self, declared=False)


_SIDE_BY_SIDE = 4
"""Runs that may go on at once, at most: each takes the memory of a plain inference."""
_MEMORY_EACH = 1 << 27
"""Bytes of the memory allowed for each of them."""


def side_by_side(
    settings: SessionSettings, max_memory: int, most: int = _SIDE_BY_SIDE
) -> tuple[int, SessionSettings]:
    """How many runs may go on at once, and the settings of each.

    Each takes its share of the processors: small networks use one better than several of them.

    Args:
        settings: of a run alone.
        max_memory: bytes allowed for all.
        most: runs that there are.
    """
    if settings.provider != "cpu":
        return 1, settings
    allowed = settings.threads or processors()
    count = max(1, min(allowed, most, max_memory // _MEMORY_EACH))
    return count, shared(settings, count) if count > 1 else settings


def shared(settings: SessionSettings, count: int) -> SessionSettings:
    """How each of several runs is run that share the processors."""
    if settings.provider != "cpu":
        return settings
    return replace(settings, threads=-(-(settings.threads or processors()) // count))


class Session:
    """One ONNX Runtime session.

    Args:
        model: the model to run, or the path of its file.
        graph: the graph it came from, to explain errors and to find external data.
        settings: how to run it.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
        UsageError: the execution provider is not available.
    """

    def __init__(
        self, model: onnx.ModelProto | Path, graph: Graph, settings: SessionSettings
    ) -> None:
        self._graph = graph
        options = _options(graph, settings)
        left = _left_out(graph, settings)
        self._session = self._open(model, options, _providers(settings), left)
        self._on_cpu = settings.provider == "cpu"
        self.input_names = [item.name for item in self._session.get_inputs()]
        self.output_names = [item.name for item in self._session.get_outputs()]

    def _open(
        self, model: onnx.ModelProto | Path, options: Any, providers: list[Any], left: list[str]
    ) -> Any:
        import onnxruntime

        _share_arena()
        try:
            # Protobuf refuses more than 2 GB.
            source = str(model) if isinstance(model, Path) else model.SerializeToString()
            with working_on(self._graph.path.name):
                return onnxruntime.InferenceSession(
                    source, options, providers=providers, disabled_optimizers=left
                )
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types
            raise explain_ort_error(self._graph, str(error)) from error

    def value(self, array: Array) -> Any:
        """ONNX Runtime's own value of an array, to be fed more than once."""
        import onnxruntime

        return _as_value(onnxruntime, array)

    def output_types(self) -> dict[str, str]:
        """ONNX Runtime's type of each output, for instance ``tensor(float)``."""
        return {item.name: str(item.type) for item in self._session.get_outputs()}

    def run(
        self,
        feeds: Mapping[str, Any],
        outputs: Sequence[str] | None = None,
        buffers: Mapping[str, Array] | None = None,
        *,
        release: bool = False,
    ) -> dict[str, Any]:
        """Run once.

        Args:
            feeds: arrays or ONNX Runtime values by input name; others are
                left out.
            outputs: the outputs to compute; None for all.
            buffers: arrays that outputs are written to, of exactly their shape and dtype. Others
                are allocated by ONNX Runtime and are valid as long as the result is.
            release: give memory that is not in use back after, because the next run is far off.

        Returns:
            Arrays by output name; what is not a tensor comes as ONNX Runtime's own value.

        Raises:
            ModelError: the run failed.
        """
        import onnxruntime

        names = self.output_names if outputs is None else outputs
        given = buffers or {}
        binding = self._session.io_binding()
        # A value made of an array reads the array's memory, or that of a contiguous copy; a binding
        # keeps neither in every version of ONNX Runtime, so they are kept here until it has run.
        fed = {n: _as_value(onnxruntime, feeds[n]) for n in self.input_names if n in feeds}
        filled = {n: _as_value(onnxruntime, given[n]) for n in names if n in given}
        for name, value in fed.items():
            binding.bind_ortvalue_input(name, value)
        for name in names:
            if name in filled:
                binding.bind_ortvalue_output(name, filled[name])
            else:
                binding.bind_output(name, "cpu")
        try:
            with working_on(self._graph.path.name):
                self._session.run_with_iobinding(binding, _run_options(release and self._on_cpu))
        except Exception as error:
            raise explain_ort_error(self._graph, str(error)) from error
        values = dict(zip(names, binding.get_outputs(), strict=True))
        return {n: given[n] if n in given else _as_array(v) for n, v in values.items()}


def available_providers() -> list[str]:
    """Names of the execution providers this ONNX Runtime has, as ``--provider`` takes them."""
    import onnxruntime

    present = onnxruntime.get_available_providers()
    return [name for name, provider in PROVIDERS.items() if provider in present]


def release_memory() -> None:
    """Give back the memory that ONNX Runtime holds on to between the runs of all sessions.

    Also what closed sessions leave behind: each thread that opens one has a heap of its own in the
    GNU C library, which keeps what is freed in it.
    """
    _doing_nothing().run({"x": np.zeros(1, np.float32)}, release=True)
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _doing_nothing() -> Session:
    one = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "nothing", [one], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Session(model, Graph(model, Path(), "", is_made=True), SessionSettings(threads=1))


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """The C library's ``malloc_trim``; None where it has none."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl and macOS lack it, Windows takes no None
        return None
    return trim


@functools.cache
def _share_arena() -> None:
    """Let all sessions of this process share one arena.

    A comparison opens many sessions that run in turn. With an arena each, every one would hold on
    to its peak; with none, the system would clear the same memory anew for every run.
    """
    import onnxruntime

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    # No limit of its own; blocks that double in size, so that later tensors fit into earlier
    # ones; the other two values are ONNX Runtime's defaults.
    config = onnxruntime.OrtArenaCfg(0, 0, -1, -1)
    onnxruntime.create_and_register_allocator(memory, config)


def _as_value(onnxruntime: Any, array: Any) -> Any:
    if not isinstance(array, np.ndarray):
        return array  # ONNX Runtime's own value, from an earlier run
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    return onnxruntime.OrtValue.ortvalue_from_numpy(contiguous)


def _as_array(value: onnxruntime.OrtValue) -> Any:
    """A view of a tensor; types that numpy lacks, and sequences, stay ONNX Runtime's values."""
    if not value.is_tensor() or value.element_type() in NOT_IN_NUMPY:
        return value
    return value.numpy()


def _options(graph: Graph, settings: SessionSettings) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = settings.threads or fewer_processors()
    # Threads that spin between operators and runs take the processor from what goes on beside.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    levels = onnxruntime.GraphOptimizationLevel
    level = levels.ORT_ENABLE_ALL
    if settings.declared:
        level = level if settings.reordered else levels.ORT_ENABLE_BASIC
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if settings.short_lived else level
    if graph.external:
        options.add_session_config_entry(_EXTERNAL_FOLDER, str(graph.folder.resolve()))
    if _are_mapped(graph):
        options.add_session_config_entry("session.disable_prepacking", "1")
        # In the order of the file, in which a weight's DequantizeLinear stands beside its reader:
        # by default all of them would come first, and all their results be held at once.
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    return options


def _left_out(graph: Graph, settings: SessionSettings) -> list[str]:
    """Optimizations that are not made, by ONNX Runtime's names."""
    as_written = [*_MOVE_QUANTIZERS] if settings.declared else []
    return as_written + ([_FOLDS_WEIGHTS] if _are_mapped(graph) else [])


def _are_mapped(graph: Graph) -> bool:
    """Whether the weights are too many to be copied by each session."""
    return sum(map(_bytes_as_float, graph.external)) >= _MAPPED


def _bytes_as_float(tensor: onnx.TensorProto) -> int:
    width = max(4, helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    return int(math.prod(tensor.dims) * width)


@functools.cache
def _run_options(release: bool) -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    # The default: where it is not given, ONNX Runtime 1.32 finds out by an exception, 70 us a run.
    options.add_run_config_entry("gpu_graph_id", "0")
    if release:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _providers(settings: SessionSettings) -> list[Any]:
    if settings.provider not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise UsageError(f"there is no provider {settings.provider!r}", f"known: {known}")
    if settings.provider not in available_providers():
        have = ", ".join(available_providers())
        raise UsageError(
            f"this ONNX Runtime has no {PROVIDERS[settings.provider]}",
            f"it has: {have}; install the onnxruntime package of that provider",
        )
    cpu = (PROVIDERS["cpu"], {"arena_extend_strategy": "kSameAsRequested"})
    if settings.provider == "cpu":
        return [cpu]
    return [PROVIDERS[settings.provider], cpu]
