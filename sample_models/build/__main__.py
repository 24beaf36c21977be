"""Rebuilds the sample models: ``python -m sample_models.build [STEP ...]``.

Steps, in order: ``pictures``, ``detector``, ``classifier``, ``transformer`` (training), ``twins``,
``measure``. Without an argument all of them run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sample_models.build import measure, reading, twins
from sample_models.build.pictures import render_pictures

FOLDER = Path(__file__).resolve().parents[1]
DETECTOR, CLASSIFIER, TRANSFORMER = (
    FOLDER / name for name in ("detector", "classifier", "transformer")
)


def _train_detector() -> None:
    from sample_models.build.detector_training import train_detector

    train_detector(DETECTOR / "float.onnx")


def _train_classifier() -> None:
    from sample_models.build.classifier import train_classifier

    train_classifier(CLASSIFIER / "float.onnx", seed=2)
    train_classifier(CLASSIFIER / "float_other_run.onnx", seed=22)


def _train_transformer() -> None:
    from sample_models.build.transformer import train_transformer

    train_transformer(TRANSFORMER / "float.onnx")


def _make_twins() -> None:
    scenes = measure.scenes(48, seed=11)
    twins.detector_twins(DETECTOR, [reading.for_detector(scene.picture) for scene in scenes])
    objects, _ = measure.objects(64, seed=12)
    twins.classifier_twins(CLASSIFIER, [reading.for_classifier(picture) for picture in objects])
    textures, _ = measure.textures(64, seed=13)
    twins.transformer_twins(TRANSFORMER, [reading.for_transformer(picture) for picture in textures])


STEPS: dict[str, Callable[[], None]] = {
    "pictures": partial(render_pictures, FOLDER / "pictures"),
    "detector": _train_detector,
    "classifier": _train_classifier,
    "transformer": _train_transformer,
    "twins": _make_twins,
    "measure": partial(measure.print_table, FOLDER),
}


def main() -> None:
    """Runs the steps named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m sample_models.build", description=__doc__)
    # argparse holds the empty list of a bare call against the choices too, hence the last one
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], metavar="STEP")
    chosen = parser.parse_args().steps or list(STEPS)
    for name, step in STEPS.items():
        if name in chosen:
            step()


if __name__ == "__main__":
    main()
