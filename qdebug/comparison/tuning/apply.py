"""Writing the model of a plan that was changed after the search, from the record and the models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.comparison.tuning.files import save_model
from qdebug.cure.grids import Rounded
from qdebug.cure.network import Config, Network, Numbers
from qdebug.cure.setting import FREE, Setting
from qdebug.cure.sites import Site
from qdebug.cure.write import TUNED, tuned_model
from qdebug.errors import UsageError
from qdebug.graph.expand import expand
from qdebug.graph.load import load_graph
from qdebug.graph.marks import corrected_biases
from qdebug.graph.model import Graph
from qdebug.graph.pairing import pair_graphs
from qdebug.graph.twin_outputs import quant_output_names
from qdebug.run.draft import Draft
from qdebug.run.model import ModelInfo, Run
from qdebug.run.tuning import UnitSetting

Array = npt.NDArray[Any]


def apply_draft(run: Run, draft: Draft, record: Path | None, output: Path) -> Path:
    """Write the repaired model that a changed plan stands for.

    It is foretold only: `qdebug compare` measures it. The models are looked for beside the record
    and where the record's command found them, and known by their sha256.

    Args:
        run: record of a tuning.
        draft: its plan, changed.
        record: file or folder that the run was read from.
        output: file to be written, which does not exist yet.

    Raises:
        UsageError: a model is not found any more, or the plan needs one that was not kept.
    """
    files = {_sha256(file): file for file in _files(run, record) if file.is_file()}
    float_graph = load_graph(_of_record(files, run.models.float, "float"))
    tuned = _network(float_graph, load_graph(_of_record(files, run.models.quant, "repaired")))
    base = _base(files, draft, float_graph)
    if base is None and draft.numbers != draft.recorded_numbers:
        raise UsageError(
            "the quantized model that the tuning began with is not found",
            "weights and biases are only left out of it; put it beside the record",
        )
    base = base or tuned
    numbers, rounded = _kept(base, tuned, draft.numbers)
    save_model(tuned_model(base, _config(base, draft), numbers, rounded), output)
    return output


def _files(run: Run, record: Path | None) -> Iterator[Path]:
    """Where the models may lie: a record holds names and no folders."""
    yield from (Path(word) for word in run.command if word.endswith(".onnx"))
    for folder in (Path(), *([] if record is None else [record.resolve().parent])):
        yield from sorted(folder.glob("*.onnx"))


def _of_record(files: Mapping[str, Path], model: ModelInfo, what: str) -> Path:
    file = files.get(model.sha256)
    if file is None:
        raise UsageError(
            f"the {what} model, {model.file}, is not found",
            "open the record from the folder where it lies, unchanged, or put it beside the record",
        )
    return file


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _base(files: Mapping[str, Path], draft: Draft, float_graph: Graph) -> Network | None:
    """The graph that the tuning began with; None where it was made for it, from a table say."""
    file = files.get(draft.tuning.begun_with)
    return None if file is None else _network(float_graph, load_graph(file))


def _network(float_graph: Graph, quant_graph: Graph) -> Network:
    quant_graph = expand(quant_graph).graph
    pairing = pair_graphs(float_graph, quant_graph)
    names = quant_output_names(float_graph.outputs, quant_graph.outputs, pairing)
    return Network(float_graph, quant_graph, pairing, names)


def _config(network: Network, draft: Draft) -> Config:
    """The setting of each site under a plan."""
    wanted: dict[str, UnitSetting] = {}
    for at, unit in enumerate(draft.tuning.units):
        wanted |= dict.fromkeys(unit.tensors, draft.setting(at))
    sites = {network.codes_of(site): site for site in network.sites}
    missing = [codes for codes in wanted if codes not in sites and wanted[codes].bits != FREE]
    if missing:
        raise UsageError(
            f"{len(missing)} of the record's quantizers are not in the model that it began with",
            "run qdebug tune again, with --keep for what is to have more bits",
        )
    return tuple(_setting(site, wanted.get(network.codes_of(site))) for site in network.sites)


def _setting(site: Site, wanted: UnitSetting | None) -> Setting:
    if wanted is None:
        return site.given
    return Setting(wanted.scale, wanted.zero, wanted.levels, wanted.bits)


def _kept(base: Network, tuned: Network, numbers: str) -> tuple[Numbers, Mapping[str, Rounded]]:
    """Corrected biases and rounded weights of the repaired model that a plan takes over."""
    corrected = corrected_biases(tuned.quant_graph.metadata)
    there = {weight.readings[0].removesuffix(TUNED): weight for weight in tuned.weights}
    biases: dict[str, Array] = {}
    rounded: dict[str, Rounded] = {}
    for weight in base.weights:
        twin = there.get(weight.readings[0])
        if twin is None:
            continue
        if weight.role == "bias" and numbers == "bias" and twin.tensor in corrected:
            biases[weight.tensor] = twin.given
        if weight.role == "weight" and numbers != "given" and twin.tensor != weight.tensor:
            codes = tuned.quant_graph.constant(twin.tensor)
            if codes is not None and twin.quantizer is not None:
                rounded[weight.tensor] = Rounded(twin.quantizer, np.asarray(codes), twin.given)
    return biases, rounded
