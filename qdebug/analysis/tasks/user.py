"""A user's own measure of the outputs, ``--task module:function``.

The function receives the outputs of both models for one sample and returns numbers::

    def measure(float_outputs: Mapping[str, numpy.ndarray],
                quant_outputs: Mapping[str, numpy.ndarray]) -> Mapping[str, float]:
        return {"depth_error": float(abs(float_outputs["d"] - quant_outputs["d"]).mean())}

Both mappings go by the float model's output names; arrays are float32, in the float model's
layout, with the batch dimension. The run holds the numbers of every sample and their means. A
limit on a mean is set with ``--fail-under task.NAME=VALUE``.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from qdebug.analysis.tasks.task import Effect, Outputs, Task, share
from qdebug.errors import UsageError

Function = Callable[[Outputs, Outputs], Mapping[str, float]]
_SAMPLES = "samples"


def user_task(text: str) -> Task:
    """The task of ``module:function`` or ``file.py:function``.

    Modules are looked for in the working directory first.

    Raises:
        UsageError: there is no such module or function, or importing it failed.
    """
    place, _, name = text.rpartition(":")
    module = _module(place)
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"--task: {place} has no function {name!r}", "write MODULE:FUNCTION")
    return Task(
        kind=f"{Path(place).name if place.endswith('.py') else place}:{name}",
        form="a user's function",
        judge=_Judge(text, function),
        total=_means,
        describe=_describe,
        limits=None,
        decisions=_SAMPLES,
    )


def _module(place: str) -> ModuleType:
    try:
        if place.endswith(".py"):
            return _from_file(Path(place))
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(place)
        finally:
            sys.path.remove(str(Path.cwd()))
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise UsageError(
            f"--task: {place} cannot be imported: {type(error).__name__}: {error}",
            "the module is looked for in the working directory, then where Python looks",
        ) from error


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class _Judge:
    name: str
    function: Function

    def __call__(self, reference: Outputs, test: Outputs) -> Effect:
        try:
            found = self.function(reference, test)
        except (Exception, SystemExit) as error:
            raise UsageError(f"--task: {self.name} raised {_brief(error)}") from error
        numbers = self._checked(found)
        return Effect(numbers, {**numbers, _SAMPLES: 1.0}, 0.0)

    def _checked(self, found: Any) -> dict[str, float]:
        if not isinstance(found, Mapping) or not found:
            raise UsageError(
                f"--task: {self.name} returned {type(found).__name__}, not a mapping of numbers",
                'return for instance {"error": 0.1}',
            )
        try:
            return {str(key): float(value) for key, value in found.items()}
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"--task: {self.name} returned what is not a number: {error}"
            ) from error


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _means(counts: Mapping[str, float]) -> dict[str, float]:
    samples = counts[_SAMPLES]
    return {name: share(v, samples) for name, v in counts.items() if name != _SAMPLES}


def _describe(numbers: Mapping[str, float]) -> str:
    told = (f"{k} {v:.4g}" if math.isfinite(v) else f"{k} {v}" for k, v in numbers.items())
    return "mean over the samples: " + ", ".join(told)
