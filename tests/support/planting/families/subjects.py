"""Sound pairs to plant into: small networks drawn at random, quantized in a way drawn as well."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnxruntime import quantization as q

from tests.support.flavours.quantizers import Desk, copied, quiet, static
from tests.support.nets import sample_inputs
from tests.support.planting.families.family import (
    Family,
    Model,
    Planting,
    Rng,
    Subject,
    UnsuitableError,
)
from tests.support.random_nets import random_net

SAMPLES = 2
CALIBRATION = 4


def random_subject(rng: Rng, net: Callable[[int], Model] = random_net) -> Subject:
    """A network drawn at random with its QDQ twin by ONNX Runtime's quantizer.

    Args:
        rng: draws the network's seed and the quantizer's options.
        net: makes a network of a seed.
    """
    seed = int(rng.integers(1 << 31))
    float_model = net(seed)
    feeds = sample_inputs(float_model, SAMPLES + CALIBRATION, seed)
    quantize = random_quantizer(rng, tuple(feeds))
    return Subject(
        f"net {seed}", float_model, quantize(float_model), tuple(feeds[:SAMPLES]), quantize
    )


def planted_at_random(
    family: Family, seed: int, net: Callable[[int], Model] = random_net
) -> tuple[Subject, Planting]:
    """A family's planting into the first network drawn that has a place for it."""
    rng = np.random.default_rng(seed)
    while True:
        subject = random_subject(rng, net)
        try:
            return subject, family(subject, rng)
        except UnsuitableError:
            continue


def random_quantizer(
    rng: Rng, feeds: tuple[dict[str, np.ndarray], ...]
) -> Callable[[Model], Model]:
    """Static QDQ quantization with options drawn at random, the same ones each time."""
    signed = bool(rng.random() < 0.3)
    options = {
        "per_channel": bool(rng.random() < 0.7),
        "activation_type": q.QuantType.QInt8 if signed else q.QuantType.QUInt8,
        "weight_type": q.QuantType.QInt8,
        "extra_options": {"ActivationSymmetric": signed and bool(rng.random() < 0.5)},
    }

    def quantize(model: Model) -> Model:
        # per-channel DequantizeLinear came with opset 13
        per_channel = options["per_channel"] and model.opset_import[0].version >= 13
        step = static(q.QuantFormat.QDQ, **{**options, "per_channel": per_channel})
        with tempfile.TemporaryDirectory() as name, quiet():
            return step(copied(model), Desk(Path(name), feeds))

    return quantize
