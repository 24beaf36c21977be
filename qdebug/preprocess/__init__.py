"""Preprocessing: the spec, running it on pictures, samples from files, naming a mistake."""

from qdebug.preprocess.apply import Prepared, prepare, prepare_file
from qdebug.preprocess.display import picture_of_tensor, picture_of_values, thumbnail
from qdebug.preprocess.geometry import Geometry
from qdebug.preprocess.implied import ImpliedSpec, implied_spec, quant_side
from qdebug.preprocess.model_input import ModelInput
from qdebug.preprocess.presets import DESCRIPTIONS, PRESETS
from qdebug.preprocess.samples import Contract, RawFormat, Sample, find_samples
from qdebug.preprocess.spec import Affine, PreprocessSpec

__all__ = [
    "DESCRIPTIONS",
    "PRESETS",
    "Affine",
    "Contract",
    "Geometry",
    "ImpliedSpec",
    "ModelInput",
    "Prepared",
    "PreprocessSpec",
    "RawFormat",
    "Sample",
    "find_samples",
    "implied_spec",
    "picture_of_tensor",
    "picture_of_values",
    "prepare",
    "prepare_file",
    "quant_side",
    "thumbnail",
]
