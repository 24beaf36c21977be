"""Reading what is given as the quant model: an ONNX graph, or a toolchain's file."""

from __future__ import annotations

from qdebug.errors import UsageError
from qdebug.graph.model import Graph
from qdebug.vendors.quant_model import QuantModel, QuantRequest, is_onnx, read_graph


def load_quant(request: QuantRequest, float_graph: Graph, whole: Graph | None = None) -> QuantModel:
    """Read the quant model, or make it of a toolchain's file.

    Args:
        request: what was given.
        float_graph: the float model.
        whole: that model with what was cut off of it; entries may speak of that.

    Raises:
        ModelError: a graph cannot be read.
        EncodingsError: the file is of no known format, unusable, or of another model.
        UsageError: an option does not fit the file.
    """
    if _is_graph(request):
        for option, value in (("--qtable", request.second), ("--names", request.names)):
            if value is not None:
                raise UsageError(
                    f"{option} goes with a toolchain's table, and {request.path.name} is a graph"
                )
        return read_graph(request.path)
    from qdebug.vendors.quant_files import made_of_file  # here: no graph needs the toolchains

    return made_of_file(request, float_graph, whole)


def _is_graph(request: QuantRequest) -> bool:
    """Whether the quant model is to be read as an ONNX graph, with its own words on what is wrong.

    ONNX files begin with their IR version, field 1 of the protocol buffer: with byte 8.
    """
    path = request.path
    if request.form is not None:
        return False
    unusable = not path.is_file() or path.stat().st_size == 0
    return unusable or is_onnx(path)
