"""Horizon's hmct: does it take ``node_info`` and ``quant_config``, and give those layers int16?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from benchmarks.vendors.work import FLOAT, Bench, Row, fix_of, last_line, sqnr
from qdebug.graph.model import Graph, Node
from qdebug.vendors.encodings import Change
from qdebug.vendors.horizon.encodings import write_node_info, write_quant_config
from qdebug.vendors.quant_model import read_graph

_PROGRAM = Path(__file__).parent / "programs" / "hmct_build.py"


def steps(bench: Bench) -> list[Row]:
    """Build as it is, with ``node_info`` (hb_mapper hands it on) and with ``quant_config``."""
    tensors = [bench.tensor(file) for file in bench.pictures[:4]]
    np.savez(bench.folder / "inputs.npz", input=np.concatenate(tensors))
    plain = _built(bench, "plain")
    if not plain.ok:
        return [plain]
    change = fix_of(bench.compared(_model(bench, "plain")))
    nodes = yaml.safe_load(write_node_info(change).content)["model_parameters"]["node_info"]
    config = json.loads(write_quant_config(change).content)
    rows = [plain]
    for name, content in (("node_dict", nodes), ("quant_config", config)):
        (bench.folder / f"{name}.json").write_text(json.dumps(content))
        rows.append(_built(bench, name, change))
    kept = ", ".join(layer.node for layer in change.keep)
    return [*rows, Row("the fix", True, f"int16 for {kept}")]


def _model(bench: Bench, name: str) -> Path:
    return bench.folder / f"{name}_calibrated_model.onnx"


def _is_wide(graph: Graph, node: Node) -> bool:
    """Whether a node reads 16-bit codes."""
    makers = (graph.producer.get(name) for name in node.inputs)
    kinds = (graph.type_of(m.inputs[0]).dtype for m in makers if m and m.op == "DequantizeLinear")
    return "int16" in kinds


def _built(bench: Bench, name: str, change: Change | None = None) -> Row:
    """Build; which of the layers got int16 at their inputs, and what the model gives."""
    assert bench.python is not None, "give the program's environment: --python"
    asked = [name, f"{name}.json"] if change is not None else []
    code, said = bench.run(bench.python, _PROGRAM, FLOAT, "inputs.npz", name, *asked)
    path = _model(bench, name)
    if code or not path.exists():
        return Row(name, False, last_line(said))
    graph = read_graph(path).graph
    kept = {layer.node for layer in change.keep} if change is not None else set()
    wide = [node.label for node in graph.nodes if node.label in kept and _is_wide(graph, node)]
    made = bench.folder / "expanded.onnx"
    made.write_bytes(graph.proto.SerializeToString())
    told = f"{len(wide)} of {len(kept)} layers read int16; " if kept else ""
    return Row(
        name, len(wide) == len(kept), f"{told}{sqnr(bench.wanted, bench.output(made)):.1f} dB"
    )
