"""The findings of a synthetic run: every status, and every kind of evidence."""

from __future__ import annotations

import dataclasses

from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, Layer


def synthetic_findings(
    layers: tuple[Layer, ...],
    samples: tuple[str, ...],
    *,
    input_failed: bool,
    sound: bool,
    hostile: bool,
) -> tuple[Finding, ...]:
    """Findings, most severe first; see ``synthetic_run`` for the arguments."""
    found = [_channel_order(samples)] if input_failed else []
    if not sound:
        found += [_mixed_range(layers, samples), _clipping(layers), _outlier(layers)]
    if len(samples) < 32:
        found.append(_few_samples(len(samples)))
    found += [_decoder(), *_crashed(sound), *_quiet(input_failed, sound)]
    if hostile:
        found = [_with_hostile_text(f) for f in found]
    return tuple(found)


def _channel_order(samples: tuple[str, ...]) -> Finding:
    pictures = [
        {"label": "float model", "path": "thumbs/0000.png"},
        {"label": "quant model", "path": "thumbs/0000.quant.png"},
    ]
    used = [
        ["geometry", "letterbox 640 pad 114", "letterbox 640 pad 114", "equal"],
        ["colour order", "rgb", "bgr", "differs"],
        ["scale", "/255", "/255", "equal"],
    ]
    return KINDS["channel-order"].found(
        "fail",
        "Red and blue are swapped on the quant side, before normalization",
        f"channels 0 and 2 are exchanged in {len(samples)} of {len(samples)} samples, exactly",
        "Feed RGB to the quant model: replace `bgr` by `rgb` in its preprocessing.",
        gain_db=31.5,
        confidence="high",
        evidence=(
            Evidence("images", "What each model was fed", {"items": pictures}),
            Evidence(
                "table",
                "Preprocessing",
                {"columns": ["parameter", "float", "quant", "verdict"], "rows": used},
            ),
            Evidence(
                "key_values",
                "Fitted map",
                {"items": [["gain", 1.0], ["offset", 0.0], ["bgr", "yes"]]},
            ),
        ),
    )


def _mixed_range(layers: tuple[Layer, ...], samples: tuple[str, ...]) -> Finding:
    last = layers[-1]
    before = tuple(i for i in last.inputs if i >= 0)
    parts = [["boxes", 0.0, 638.2, 2.5, 254], ["scores", 0.0, 0.94, None, 1]]
    return KINDS["mixed-range"].found(
        "fail",
        "Boxes (0..638) and scores (0..0.94) share one scale",
        "scores reach 0.94, one step is 2.5: every score becomes code 0; "
        "the cosine of the boxes alone, 0.9999, hides it",
        f"Move the last Concat (#{last.index}) out of the quantized part, or give it 16 bits.",
        gain_db=24.0,
        confidence="high",
        layers=(last.index, *before),
        evidence=(
            Evidence(
                "table",
                "Parts of the tensor",
                {"columns": ["part", "min", "max", "step", "codes"], "rows": parts},
            ),
            Evidence(
                "bars",
                "Codes each part gets",
                {"labels": ["boxes", "scores"], "values": [254, 1], "unit": "codes"},
            ),
            Evidence("boxes", "Detections of both models", _boxes(samples)),
            Evidence(
                "code",
                "ONNX Runtime",
                {
                    "language": "python",
                    "text": f"quantize_static(..., nodes_to_exclude=[{last.name!r}])",
                },
            ),
            Evidence("text", "Why", {"text": "One scale serves the largest part of a tensor."}),
        ),
    )


def _boxes(samples: tuple[str, ...]) -> dict[str, object]:
    kept = {"xyxy": [0.1, 0.2, 0.4, 0.6], "label": "car", "score": 0.91, "match": "kept"}
    lost = {"xyxy": [0.5, 0.3, 0.9, 0.8], "label": "person", "score": 0.55, "match": "lost"}
    new = {"xyxy": [0.0, 0.7, 0.2, 0.9], "label": "dog", "score": 0.27, "match": "new"}
    return {
        "sample": samples[0],
        "image": "thumbs/0000.source.png",
        "float": [kept, lost],
        "quant": [{**kept, "score": 0.84}, new],
    }


def _clipping(layers: tuple[Layer, ...]) -> Finding:
    at = len(layers) // 2
    edges = [-4.0 + i for i in range(9)]
    series = {"float": [2, 9, 40, 120, 110, 38, 11, 4], "quant": [0, 0, 51, 120, 110, 53, 0, 0]}
    return KINDS["activation-clipping"].found(
        "warn",
        "4.2 % of values lie outside the calibrated range",
        f"the float values of #{at} reach 41.7, the uint8 scale ends at 3.14",
        "Recalibrate this tensor with min/max over more pictures, or keep it in float.",
        gain_db=6.5,
        layers=(at,),
        evidence=(
            Evidence(
                "histogram",
                "Values and the representable range",
                {"edges": edges, "series": series, "marks": {"qmin": -1.9, "qmax": 3.14}},
            ),
        ),
    )


def _outlier(layers: tuple[Layer, ...]) -> Finding:
    at = len(layers) // 5
    return KINDS["outlier-channel"].found(
        "warn",
        "One channel sets the range of all",
        f"channel 5 of #{at} is 100 times wider than the median channel",
        "Quantize the weights per channel.",
        gain_db=None,
        confidence="low",
        layers=(at,),
        evidence=(
            Evidence(
                "bars",
                "Largest absolute weight per channel",
                {
                    "labels": [str(i) for i in range(8)],
                    "values": [1, 1, 2, 1, 1, 100, 1, 1],
                    "unit": "",
                },
            ),
        ),
    )


def _few_samples(count: int) -> Finding:
    return KINDS["few-samples"].found(
        "warn",
        "Few samples",
        f"{count} given; verdicts settle from about 32",
        "Give more pictures.",
        confidence="medium",
    )


def _decoder() -> Finding:
    return KINDS["decoder-difference"].found(
        "info",
        "The JPEG decoders differ by one code",
        "3.1 % of the input values differ, none by more than 1",
        "Nothing to do.",
        confidence="high",
    )


def _crashed(sound: bool) -> list[Finding]:
    if sound:
        return []
    seen = "the check ended with ZeroDivisionError: division by zero"
    return [
        KINDS["runtime-mismatch"].found(
            "error",
            "The check could not be carried out",
            seen,
            "Run again with `--debug` and report it.",
        )
    ]


def _quiet(input_failed: bool, sound: bool) -> list[Finding]:
    passed = [
        ("double-normalization", "Normalization is applied once"),
        ("resize-geometry", "Both sides resize alike"),
        ("interpolation", "Both sides resample alike"),
        ("wrong-model", "The quant weights come from the float model"),
        ("unpaired-layers", "99 % of the layers are paired"),
        ("bad-scale", "All scales are usable"),
        ("weight-mismatch", "All weights agree beyond rounding"),
        ("bias-clipped", "No bias is at its limit"),
    ]
    if not input_failed:
        passed.append(("channel-order", "Both sides feed the same colour order"))
    if sound:
        passed.append(("mixed-range", "No tensor holds parts of very different range"))
    absent = [
        ("float16-overflow", "No float16 in either graph"),
        ("ceiling", "No 16-bit ceiling was asked for"),
    ]
    return [
        *(KINDS[s].found("pass", t, t.lower(), confidence="high") for s, t in passed),
        *(KINDS[s].found("not_applicable", t, t.lower()) for s, t in absent),
    ]


def _with_hostile_text(finding: Finding) -> Finding:
    poison = "[bold]a[/b]c</script> 名前\n\x1b[31m| `x` |"
    evidence = tuple(dataclasses.replace(e, title=f"{e.title} {poison}") for e in finding.evidence)
    return dataclasses.replace(
        finding,
        title=f"{finding.title} {poison}",
        seen=f"{finding.seen} {poison}",
        advice=f"{finding.advice} {poison}" if finding.advice else "",
        evidence=evidence,
    )
