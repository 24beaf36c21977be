"""The input gate of a comparison: what both graphs are fed, and what was really fed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.comparison.pictures import input_picture
from qdebug.comparison.sides import Side
from qdebug.errors import QdebugError, UsageError
from qdebug.preprocess import PreprocessSpec, Sample, prepare_file
from qdebug.preprocess.contracts import contract_of
from qdebug.preprocess.fed import read_fed
from qdebug.preprocess.gate import Effect, prove_models, prove_range
from qdebug.preprocess.model_facts import ModelFacts, facts_of
from qdebug.preprocess.steps import Layout
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding

_LOG = logging.getLogger(__name__)
_FIRST = Layout("nchw")
Array = npt.NDArray[Any]
Model = Callable[[Array], Sequence[Array]]


@dataclass(frozen=True)
class InputGate:
    """Both sides and the first sample, and the file of what was fed beside it.

    Attributes:
        sides: the float and the quant side.
        sample: the first one; ``fed`` belongs to it.
        fed: a tensor file, None without.
    """

    sides: tuple[Side, Side]
    sample: Sample
    fed: Path | None = None

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the input, and what was ruled out.

        Raises:
            QdebugError: the tensor file is unusable, or does not belong to a picture.
        """
        try:
            return self._judged()
        except QdebugError:
            raise
        except Exception as error:
            _LOG.debug("the input gate crashed", exc_info=True)
            seen = f"{type(error).__name__}: {error}"
            kind = KINDS["input"]
            return (kind.found("error", kind.title, seen, confidence="low"),)

    def fed_picture(self) -> npt.NDArray[np.uint8] | None:
        """What was fed, shown as the pipeline that is right would show it.

        Returns:
            uint8 ``[height, width, 3]``, small; None without ``fed`` or where it is no picture.

        Raises:
            QdebugError: the tensor file is unusable.
        """
        spec = self.sides[0].contract.spec
        if self.fed is None:
            return None
        facts = self._facts()
        fed = self._read_fed(facts[1], spec)
        reference = self._reference(spec, facts, fed) if spec and self.sample.picture else None
        if reference is not None and self.sample.picture is not None:
            right = prepare_file(self.sample.picture, reference).tensor
            reference = reference if right.shape == fed.shape else None
        return input_picture(fed, reference)

    def _judged(self) -> tuple[Finding, ...]:
        facts = self._facts()
        spec = self.sides[0].contract.spec
        declared: tuple[Finding, ...] = ()
        if self.sample.picture and spec:
            other = self.sides[1].contract.spec
            effect = None if facts[0].front.changes else self._effect(spec)
            guessed = self.sides[0].preprocess.origin in ("assumed", "inferred")
            declared = prove_models(facts[0], spec, facts[1], other, effect, assumed=guessed)
            declared = tuple(map(unproven, declared)) if guessed else declared
        elif facts[1].input.layout:
            declared = self._range(facts)
        if self.fed is None:
            return declared
        return _merged(declared, self._fed(facts, spec))

    def _facts(self) -> tuple[ModelFacts, ModelFacts]:
        one, two = (facts_of(side.graph.proto, side.graph.folder) for side in self.sides)
        return one, two

    def _range(self, facts: tuple[ModelFacts, ModelFacts]) -> tuple[Finding, ...]:
        """Judge a tensor file, whose pipeline is not known, by its range."""
        values = self.sample.load("quant")[facts[1].input.name]
        return prove_range(facts[1], float(np.nanmin(values)), float(np.nanmax(values)))

    def _effect(self, spec: PreprocessSpec) -> Effect:
        picture = self.sample.picture

        def measure(other: PreprocessSpec) -> float | None:
            from qdebug.preprocess.compare_specs import compare_specs

            return compare_specs(spec, other, picture, self._model()).output_sqnr_db

        return measure

    def _model(self) -> Model:
        from qdebug.preprocess.model_facts import model_runner

        return model_runner(self.sides[0].graph.path)

    def _fed(
        self, facts: tuple[ModelFacts, ModelFacts], spec: PreprocessSpec | None
    ) -> tuple[Finding, ...]:
        """Judge what was fed against what should have been."""
        from qdebug.preprocess.check import check_picture, check_tensor

        fed = self._read_fed(facts[1], spec)
        if self.sample.picture is None:
            reference = self.sample.load("float")[facts[0].input.name]
            return check_tensor(reference, fed, None, model=self._model()).findings
        if spec is None:
            raise UsageError("--fed needs the pipeline that is right", "give it with -p")
        reference_spec = self._reference(spec, facts, fed)
        model = self._model_of(reference_spec) if reference_spec.affine == spec.affine else None
        result = check_picture(
            self.sample.picture, fed, reference_spec, model=model, own_layout=False
        )
        return result.findings

    def _read_fed(self, facts: ModelFacts, spec: PreprocessSpec | None) -> Array:
        assert self.fed is not None
        item = facts.input
        if item.layout is None:
            raise UsageError(
                f"--fed proves pictures, and input {item.name!r} takes {item.describe()}",
                "leave it out: all inputs of such a model come from the files given",
            )
        return read_fed(self.fed, item=item, size=item.size or (spec.size if spec else None))

    def _reference(
        self, spec: PreprocessSpec, facts: tuple[ModelFacts, ModelFacts], fed: Array
    ) -> PreprocessSpec:
        """The pipeline that would have made what was fed: the float side's, or the quant's."""
        wanted = contract_of(spec, *facts) or self.sides[1].contract.spec or spec
        is_float = fed.dtype.kind == "f"
        return spec if is_float and np.dtype(wanted.dtype).kind != "f" else wanted

    def _model_of(self, spec: PreprocessSpec) -> Model:
        """The float model, fed in the layout of another pipeline."""
        from qdebug.preprocess.apply import arrange, unarrange

        model, item = self._model(), self.sides[0].contract.spec
        own, other = (s.find(Layout) if s else None for s in (item, spec))

        def run(tensor: Array) -> Sequence[Array]:
            return model(arrange(unarrange(tensor, other or _FIRST), own or _FIRST))

        return run


def unproven(finding: Finding) -> Finding:
    """A failure of a pipeline that nobody gave is a warning: qdebug's own guess convicts nobody."""
    if finding.status != "fail":
        return finding
    return replace(finding, status="warn", severity="warning")


def _merged(declared: Sequence[Finding], fed: Sequence[Finding]) -> tuple[Finding, ...]:
    """Both, with what one of them raised no longer listed as passed by the other."""
    told = [replace(f, seen=f"In what was fed: {f.seen}") if _raised(f) else f for f in fed]
    every = [*declared, *told]
    raised = {finding.slug for finding in every if _raised(finding)}
    return tuple(f for f in every if f.status != "pass" or f.slug not in raised)


def _raised(finding: Finding) -> bool:
    return finding.status in ("fail", "warn", "info")
