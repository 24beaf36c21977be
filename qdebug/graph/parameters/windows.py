"""Parameters of operators that look at a neighbourhood: convolutions, pools, resizing."""

from __future__ import annotations

from qdebug.graph.parameters.site import Meaning, Parameters, Site


def window(site: Site, op: str) -> Meaning:
    """Convolutions and pools: the window, and where it stands."""
    spatial = _spatial(site, site.node.inputs[0])
    kernel = _kernel(site, op, len(spatial) if spatial is not None else None)
    count = len(kernel) if kernel is not None else None
    found: Parameters = {
        "kernel_shape": kernel,
        "strides": _filled(site, "strides", 1, count),
        "dilations": _filled(site, "dilations", 1, count),
        "group": int(site.attribute("group", 1)),
    }
    found["pads"] = _pads(site, op, found, spatial)
    if op == "AveragePool":
        padded = found["pads"] is None or any(found["pads"])
        found["count_include_pad"] = int(site.attribute("count_include_pad", 0)) if padded else None
    if op == "ConvTranspose":
        found["output_padding"] = _filled(site, "output_padding", 0, count)
    if op in ("MaxPool", "AveragePool", "LpPool"):
        found.pop("group")
    if op == "LpPool":
        found["p"] = int(site.attribute("p", 2))
    return Meaning(op, found)


def _kernel(site: Site, op: str, spatial: int | None) -> list[int] | None:
    given = site.attribute("kernel_shape")
    if given is not None:
        return [int(size) for size in given]
    if "Conv" not in op or len(site.node.inputs) < 2:
        return None
    slot = 3 if site.node.op.startswith("QLinear") else 1
    shape = site.shape(site.node.inputs[slot])
    if shape is None or any(not isinstance(size, int) for size in shape[2:]):
        return None
    return [int(size) for size in shape[2:]] if spatial in (None, len(shape) - 2) else None  # type: ignore[arg-type]


def _filled(site: Site, name: str, neutral: int, count: int | None) -> list[int] | None:
    given = site.attribute(name)
    if given is not None:
        return [int(item) for item in given]
    return None if count is None else [neutral] * count


def _spatial(site: Site, tensor: str) -> list[int | None] | None:
    shape = site.shape(tensor)
    if shape is None or len(shape) < 3:
        return None
    chosen = shape[1:-1] if site.channels_last else shape[2:]
    return [dim if isinstance(dim, int) else None for dim in chosen]


def _pads(
    site: Site, op: str, found: Parameters, spatial: list[int | None] | None
) -> list[int] | None:
    """Explicit padding: begin of every axis, then end of every axis."""
    mode = site.attribute("auto_pad", "NOTSET")
    kernel, strides, dilations = (found[k] for k in ("kernel_shape", "strides", "dilations"))
    if mode in ("NOTSET", ""):
        count = None if kernel is None else 2 * len(kernel)
        return _filled(site, "pads", 0, count)
    if kernel is None:
        return None
    if mode == "VALID":
        return [0] * (2 * len(kernel))
    if spatial is None or None in spatial or op == "ConvTranspose":
        return None
    begins, ends = [], []
    for size, window, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True):
        assert size is not None
        reach = (window - 1) * dilation + 1
        total = max(0, (-(-size // stride) - 1) * stride + reach - size)
        less, more = total // 2, total - total // 2
        begins.append(more if mode == "SAME_LOWER" else less)
        ends.append(less if mode == "SAME_LOWER" else more)
    return begins + ends


def global_pool(site: Site, op: str) -> Meaning:
    """A mean, or another reduction, over all of the picture."""
    rank = site.rank
    if op != "GlobalAveragePool":
        return Meaning(op, {})
    axes = None if rank is None else list(range(2, rank))
    return Meaning("ReduceMean", {"axes": axes, "keepdims": 1})


def resize(site: Site, op: str) -> Meaning:
    """How positions are mapped and values interpolated."""
    mode = str(site.attribute("mode", "nearest"))
    found: Parameters = {"mode": {"bilinear": "linear", "trilinear": "linear"}.get(mode, mode)}
    old = op == "Upsample" or site.graph.opset < 11
    default = "asymmetric" if old else "half_pixel"
    coordinates = str(site.attribute("coordinate_transformation_mode", default))
    found["coordinate_transformation_mode"] = coordinates
    if found["mode"] == "nearest":
        default = "floor" if old else "round_prefer_floor"
        found["nearest_mode"] = str(site.attribute("nearest_mode", default))
    if found["mode"] == "cubic":
        found["cubic_coeff_a"] = float(site.attribute("cubic_coeff_a", -0.75))
        found["exclude_outside"] = int(site.attribute("exclude_outside", 0))
    found["antialias"] = int(site.attribute("antialias", 0))
    return Meaning("Resize", _without_effect(found, _ratios(site)))


def _without_effect(found: Parameters, ratios: list[float] | None) -> Parameters:
    """Nearest neighbours of a whole factor: several spellings pick the same neighbour."""
    whole = ratios is not None and all(r >= 1 and float(r).is_integer() for r in ratios)
    mode = found.get("nearest_mode"), found["coordinate_transformation_mode"]
    half = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
    rounds = mode[0] in ("round_prefer_floor", "round_prefer_ceil") and mode[1] in half
    if found["mode"] == "nearest" and whole and (rounds or mode == ("floor", "asymmetric")):
        return {**found, "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    return found


def _ratios(site: Site) -> list[float] | None:
    shapes = site.shape(site.node.inputs[0]), site.shape(site.node.outputs[0])
    if None in shapes:
        return None
    before, after = shapes[0] or (), shapes[1] or ()
    if len(before) != len(after):
        return None
    known = all(isinstance(dim, int) and dim for dim in (*before, *after))
    return [b / a for a, b in zip(before, after, strict=True)] if known else None  # type: ignore[operator]
