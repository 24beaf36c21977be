"""``compare --board``: dumps in every form, and planted faults with their controls."""

from __future__ import annotations

import functools
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import qdebug
from qdebug.board.layouts import grid_step
from qdebug.board.measure import _gain
from qdebug.reporters.run_json import JsonReporter
from qdebug.run.model import Finding, Run
from qdebug.run.redact import ANONYMOUS, redact
from tests.functional.conftest import Cli
from tests.support import dumps

Array = npt.NDArray[Any]
SPEC = "resize 96x96 cv2 linear | rgb | mean 123.675,116.28,103.53 std 58.395,57.12,57.375 | nchw"
BGR = SPEC.replace("rgb", "bgr")
BOARD = ("board-input", "board-build", "board-layer", "board-layout", "board-unstable")


@pytest.fixture(scope="module")
def models(sample_models: Path) -> tuple[Path, Path]:
    return sample_models / "classifier" / "float.onnx", sample_models / "classifier" / "int8.onnx"


@pytest.fixture(scope="module")
def photo(sample_models: Path) -> Path:
    return sample_models / "pictures" / "objects" / "cone.jpg"


@pytest.fixture(scope="module")
def dump(models: tuple[Path, Path], photo: Path) -> dumps.Dump:
    return dumps.simulated(*models, photo, SPEC)


@pytest.fixture
def compare(models: tuple[Path, Path], photo: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(dump: Mapping[str, Array] | Path, **options: Any) -> Run:
        place = dump if isinstance(dump, Path) else dumps.write_npz(dump, tmp_path / "board.npz")
        return qdebug.compare(*models, photo, preprocess=SPEC, board=place, task="none", **options)

    return run


def found(run: Run) -> dict[str, Finding]:
    return {f.slug: f for f in run.findings if f.slug in BOARD and f.status in ("fail", "warn")}


def middle(dump: Mapping[str, Array]) -> str:
    """A convolution's result in the middle of the network."""
    names = [name for name, value in dump.items() if value.ndim == 4 and "Conv" in name]
    return names[len(names) // 2]


def test_a_board_that_is_the_simulation(compare: Callable[..., Run], dump: dumps.Dump) -> None:
    run = compare(dump)
    assert not found(run)
    assert run.board is not None
    assert run.board.mapped == len(dump)
    drift = next(f for f in run.findings if f.slug == "board-drift")
    assert (drift.status, drift.title) == ("info", "The board is as good as the simulation")
    layers = [x for x in run.layers if x.board is not None and x.board.state == "compared"]
    assert layers
    for layer in layers:
        assert layer.board is not None
        assert layer.board.against_float is not None
        assert layer.accumulated is not None
        assert layer.board.mapped_by == "tensor"


@pytest.mark.parametrize(
    "store",
    [
        lambda d, f: dumps.write_npz(dumps.channels_last(d), f / "a.npz"),
        lambda d, f: dumps.write_files(d, f / "a", ".npy"),
        lambda d, f: dumps.write_files(dumps.channels_last(d), f / "a", ".bin"),
        lambda d, f: dumps.write_files(d, f / "a", ".txt"),
        lambda d, f: dumps.write_npz({f"{n}_f32": v for n, v in d.items()}, f / "a.npz"),
        lambda d, f: dumps.write_npz(
            {n: dumps.blocked(v) if v.ndim == 4 and v.shape[1] > 3 else v for n, v in d.items()},
            f / "a.npz",
        ),
        lambda d, f: dumps.write_npz(
            {n: dumps.padded_rows(v, 64) if v.ndim == 4 else v for n, v in d.items()}, f / "a.npz"
        ),
    ],
    ids=["nhwc", "npy", "raw nhwc", "text", "suffix", "nc1hwc0", "rows"],
)
def test_forms_of_a_sound_dump(
    store: Callable[[dumps.Dump, Path], Path],
    compare: Callable[..., Run],
    dump: dumps.Dump,
    tmp_path: Path,
) -> None:
    run = compare(store(dump, tmp_path))
    assert set(found(run)) <= {"board-layout"}
    assert run.board is not None
    assert run.board.mapped == len(dump)
    for layer in run.layers:
        board = layer.board
        if board is None or board.against_quant is None:
            continue
        assert board.against_quant.sqnr_db > 18, (layer.name, board.layout)


def test_names_are_told_by_values_where_they_say_nothing(
    compare: Callable[..., Run], dump: dumps.Dump
) -> None:
    named = {f"blob{at}": value for at, value in enumerate(dump.values())}
    run = compare(named)
    assert run.board is not None
    assert run.board.mapped > len(dump) // 2
    right = {f"blob{at}": name for at, name in enumerate(dump)}
    for layer in run.layers:
        if layer.board is not None and layer.board.tensor:
            assert layer.board.mapped_by == "values"
            one, two = dump[right[layer.board.tensor]], layer.float_tensor
            assert right[layer.board.tensor] == two or np.allclose(one, dump.get(two, one))


def test_another_input(compare: Callable[..., Run], models: tuple[Path, Path], photo: Path) -> None:
    finding = found(compare(dumps.simulated(*models, photo, BGR)))
    assert set(finding) == {"board-input"}
    assert "R and B are swapped" in finding["board-input"].seen


def test_another_photo_without_its_input(
    compare: Callable[..., Run], models: tuple[Path, Path], photo: Path
) -> None:
    other = dumps.simulated(*models, photo.with_name("ring.jpg"), SPEC)
    other.pop(next(iter(other)))
    assert set(found(compare(other))) == {"board-input"}


def test_another_photo(compare: Callable[..., Run], models: tuple[Path, Path], photo: Path) -> None:
    finding = found(compare(dumps.simulated(*models, photo.with_name("ring.jpg"), SPEC)))
    assert set(finding) == {"board-input"}


@pytest.mark.parametrize("factor", [1.02, 0.9, 1.5])
def test_a_layer_that_computes_something_else(
    factor: float, compare: Callable[..., Run], dump: dumps.Dump
) -> None:
    name = middle(dump)
    run = compare(dumps.changed(dump, name, lambda v: v * np.float32(factor)))
    finding = found(run)
    assert set(finding) == {"board-layer"}
    assert run.layers[finding["board-layer"].layers[0]].float_tensor == name
    assert f"{factor:.2f}"[:3] in finding["board-layer"].seen
    drift = next(f for f in run.findings if f.slug == "board-drift")
    assert drift.status == "not_applicable"
    assert "dB" in drift.seen


def test_a_layer_that_rounds_down_is_no_factor(
    compare: Callable[..., Run], dump: dumps.Dump
) -> None:
    name = middle(dump)
    step = float(np.min(np.diff(np.unique(dump[name]))))
    run = compare(dumps.changed(dump, name, lambda v: np.where(v > v.min(), v - step / 2, v)))
    assert not found(run)
    layer = next(x for x in run.layers if x.float_tensor == name)
    assert layer.board is not None
    assert layer.board.own_gain is None or abs(layer.board.own_gain - 1) < 0.015


def test_a_channel_shifted_by_one(compare: Callable[..., Run], dump: dumps.Dump) -> None:
    name = middle(dump)
    run = compare(dumps.changed(dump, name, functools.partial(np.roll, shift=1, axis=1)))
    finding = found(run)
    assert run.layers[finding["board-layer"].layers[0]].float_tensor == name


def test_an_output_in_codes(compare: Callable[..., Run], dump: dumps.Dump) -> None:
    name = list(dump)[-1]
    scale = float(np.abs(dump[name]).max() / 127)
    run = compare(dumps.changed(dump, name, lambda v: dumps.codes(v, scale, 0, "int8")))
    finding = found(run)
    assert set(finding) == {"board-layout"}
    assert "codes worth" in finding["board-layout"].seen


def test_a_board_that_does_not_repeat_itself(
    compare: Callable[..., Run], dump: dumps.Dump, tmp_path: Path
) -> None:
    again = dumps.changed(dump, middle(dump), lambda v: v + np.float32(0.5))
    run = compare(dump, board_again=dumps.write_npz(again, tmp_path / "again.npz"))
    assert set(found(run)) == {"board-unstable"}
    same = compare(dump, board_again=dumps.write_npz(dump, tmp_path / "same.npz"))
    assert not found(same)


def test_a_layer_of_few_codes_with_another_scale(
    compare: Callable[..., Run], dump: dumps.Dump
) -> None:
    """2 % are less than a step of any of its values, and its grid tells them."""
    maps = {name: v for name, v in dump.items() if v.ndim == 4 and "Conv" in name}
    name = min(maps, key=lambda n: len(np.unique(maps[n])))
    run = compare(dumps.changed(dump, name, lambda v: v * np.float32(0.98)))
    finding = found(run)
    assert set(finding) == {"board-layer"}
    layer = run.layers[finding["board-layer"].layers[0]]
    assert layer.float_tensor == name
    assert layer.board is not None
    assert layer.board.own_gain_steps is not None
    assert "its codes are worth 0.980 times" in finding["board-layer"].seen


def test_an_error_beside_a_mask(sample_models: Path, tmp_path: Path) -> None:
    """Scores that a mask sets to -1e12 hide nothing of the others."""
    folder = sample_models / "transformer"
    models = folder / "float.onnx", folder / "int8.onnx"
    photo = sample_models / "pictures" / "textures" / "bricks.jpg"
    spec = "resize 64x64 pil bilinear | rgb | /255 | mean 0.5,0.5,0.5 std 0.5,0.5,0.5 | nchw"
    dump = dumps.simulated(*models, photo, spec)
    name = next(n for n, v in dump.items() if "attn" in n and v.min() < -1e9)
    wrong = dumps.changed(dump, name, lambda v: np.where(v < -1e9, v, np.roll(v, 1, 1)))
    place = dumps.write_npz(wrong, tmp_path / "board.npz")
    run = qdebug.compare(*models, photo, preprocess=spec, board=place, task="none")
    layers = found(run)["board-layer"].layers
    assert run.layers[layers[0]].float_tensor == name


def test_a_tensor_dumped_before_its_quantizer(
    compare: Callable[..., Run], dump: dumps.Dump
) -> None:
    """What the quantizer cuts off is no error of the layer: its readers never see it."""
    names = [n for n, v in dump.items() if "Clip" in n and v.ndim == 4 and v.min() == 0]
    name, rng = names[len(names) // 2], np.random.default_rng(8)
    step = float(np.diff(np.unique(dump[name])).min())

    def before(values: Array) -> Array:
        raw = values + rng.uniform(-0.4, 0.4, values.shape) * step
        return np.where(values == 0, -rng.uniform(0, 40 * step, values.shape), raw).astype("f4")

    assert not found(compare(dumps.changed(dump, name, before)))


@pytest.mark.parametrize(("value", "share"), [(np.nan, 1.0), (np.inf, 0.01)])
def test_values_that_are_none(
    value: float, share: float, compare: Callable[..., Run], dump: dumps.Dump
) -> None:
    """The first layer that gives them is named, and none that only passes them on."""
    name = middle(dump)
    count = max(1, int(share * dump[name].size))

    def broken(values: Array) -> Array:
        kept: Array = values.copy()
        kept.reshape(-1)[:count] = value
        return kept

    run = compare(dumps.changed(dump, name, broken))
    finding = found(run)
    assert set(finding) == {"board-layer"}
    assert run.layers[finding["board-layer"].layers[0]].float_tensor == name
    assert f"{count:d} value" in finding["board-layer"].seen
    assert "NaN or infinite on the board" in finding["board-layer"].seen


def test_a_second_dump_alone(cli: Cli, models: tuple[Path, Path], photo: Path) -> None:
    result = cli("compare", *map(str, models), str(photo), "--board-again", "again.npz")
    assert result.code == 2
    assert "--board-again says nothing without --board" in result.err


def test_another_build(compare: Callable[..., Run], models: tuple[Path, Path], photo: Path) -> None:
    other = models[1].with_name("int8_weight_rolled.onnx")
    finding = found(compare(dumps.simulated(models[0], other, photo, SPEC)))
    assert finding
    assert "board-input" not in finding


def test_ranges_of_another_table(compare: Callable[..., Run], dump: dumps.Dump) -> None:
    """Each tensor is quantized again with a step that is a fifth larger."""

    def coarser(value: Array) -> Array:
        steps = np.diff(np.unique(value))
        step = np.float32(1.2) * (steps.min() if len(steps) else np.float32(1))
        return np.asarray(np.rint(value / step) * step, np.float32)

    fed = next(iter(dump))
    run = compare({name: v if name == fed else coarser(v) for name, v in dump.items()})
    finding = found(run)
    assert set(finding) == {"board-build"}
    assert finding["board-build"].status == "warn"
    assert "another grid" in finding["board-build"].seen


@pytest.fixture
def exits(dump: dumps.Dump) -> tuple[str, str]:
    """Two linear layers of one shape, neither the other's only source."""
    names = [name for name in dump if name.endswith(("Add_output_0", "project/conv/Conv_output_0"))]
    return next(
        (one, two)
        for at, one in enumerate(names)
        for two in names[at + 1 :]
        if dump[one].shape == dump[two].shape
        and np.corrcoef(dump[one].ravel(), dump[two].ravel())[0, 1] < 0.8
    )


@pytest.fixture
def two_outputs(
    models: tuple[Path, Path], exits: tuple[str, str], tmp_path: Path
) -> tuple[Path, Path]:
    """The models with the results of two middle layers of one shape as further outputs."""
    made = []
    for model in models:
        proto = onnx.load(str(model))
        for name in exits:
            proto.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
        made.append(tmp_path / f"two_{model.name}")
        onnx.save(proto, str(made[-1]))
    return made[0], made[1]


@pytest.mark.parametrize("exchanged", [True, False])
def test_outputs_in_another_order(
    exchanged: bool,
    two_outputs: tuple[Path, Path],
    exits: tuple[str, str],
    photo: Path,
    dump: dumps.Dump,
    tmp_path: Path,
) -> None:
    one, two = exits
    given = {one: dump[two], two: dump[one]} if exchanged else {one: dump[one], two: dump[two]}
    place = dumps.write_npz(given, tmp_path / "outputs.npz")
    run = qdebug.compare(*two_outputs, photo, preprocess=SPEC, board=place, task="none")
    finding = found(run)
    assert set(finding) == ({"board-layout"} if exchanged else set())
    if exchanged:
        assert one in finding["board-layout"].title
        assert two in finding["board-layout"].title


def test_rows_read_as_dense(compare: Callable[..., Run], dump: dumps.Dump) -> None:
    """Who copies a buffer with padded rows as if it had none gets its beginning, sheared."""
    name = middle(dump)

    def sheared(value: Array) -> Array:
        return dumps.padded_rows(value, 32).reshape(-1)[: value.size].reshape(value.shape)

    run = compare(dumps.changed(dump, name, sheared))
    finding = found(run)
    assert set(finding) == {"board-layer"}
    assert run.layers[finding["board-layer"].layers[0]].float_tensor == name


def test_redacted(compare: Callable[..., Run], dump: dumps.Dump) -> None:
    secret = {f"{name}_f32": value for name, value in dump.items()}
    run = compare(secret | {"secret.blob": np.zeros((1, 7), np.float32)})
    text = JsonReporter().render(redact(run, ANONYMOUS))
    assert "secret" not in text
    assert "board.npz" not in text
    assert not any(f"{name}_f32" in text for name in dump)


def test_the_summary_names_the_dump(
    cli: Cli, models: tuple[Path, Path], photo: Path, dump: dumps.Dump, tmp_path: Path
) -> None:
    place = dumps.write_npz(dump, tmp_path / "shot.npz")
    result = cli("compare", *map(str, models), str(photo), "-p", SPEC, "--board", str(place),
                 "-v", "-o", str(tmp_path / "r"))  # fmt: skip
    assert f"{len(dump)} of {len(dump)} tensors mapped to layers" in " ".join(result.out.split())


def test_an_output_alone_that_is_alike_nothing(
    compare: Callable[..., Run], dump: dumps.Dump
) -> None:
    name = list(dump)[-1]
    value = np.random.default_rng(7).permutation(dump[name].reshape(-1))
    run = compare({name: value.reshape(dump[name].shape)})
    drift = next(f for f in run.findings if f.slug == "board-drift")
    assert (drift.status, "alike nothing" in drift.title) == ("warn", True)


def test_only_outputs(compare: Callable[..., Run], dump: dumps.Dump) -> None:
    name = list(dump)[-1]
    run = compare({name: dump[name]})
    layer = next(f for f in run.findings if f.slug == "board-layer")
    assert layer.status == "not_applicable"
    assert "dump all tensors" in layer.seen


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: f / "none.npz", "does not exist"),
        (lambda f: _written(f / "cut.npz", b"PK\x03\x04"), "is damaged or no .npz"),
        (lambda f: _written(f / "a.log", b"x"), "is no dump that qdebug reads"),
        (lambda f: _folder(f / "empty"), "holds no tensor"),
        (lambda f: _written(_folder(f / "t") / "logits.txt", b"1.0 two"), "as numbers"),
        (lambda f: _pickled(f / "p.npz"), "it holds Python objects"),
        (lambda f: _cut_off(f / "half.npz"), "is damaged or no .npz"),
        (lambda f: _npz(f / "c.npz", logits=np.zeros(3, np.complex64)), "the type complex64"),
        (lambda f: _npz(f / "s.npz", logits=np.array(["a"])), "the type <U1"),
        (lambda f: _written(_folder(f / "n") / "logits.txt", b"1.0 nan"), "1 of its 2 numbers are"),
        (lambda f: _twice(f / "two"), "holds 'logits' twice"),
        (lambda f: _repeated(f / "again.npz"), "holds 'logits' twice"),
    ],
)
def test_bad_dumps(
    make: Callable[[Path], Path],
    said: str,
    cli: Cli,
    models: tuple[Path, Path],
    photo: Path,
    tmp_path: Path,
) -> None:
    place = make(tmp_path)
    place = place.parent if place.suffix == ".txt" else place
    result = cli("compare", *map(str, models), str(photo), "-p", SPEC, "--board", str(place),
                 "-o", str(tmp_path / "r"))  # fmt: skip
    assert result.code == 2
    assert said in result.err
    assert not (tmp_path / "r").exists()


def _written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def _folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _npz(file: Path, **arrays: Array) -> Path:
    with file.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    return file


def _cut_off(file: Path) -> Path:
    """What a full disk leaves of an archive."""
    whole = _npz(file, logits=np.zeros((4, 1000), np.float32)).read_bytes()
    return _written(file, whole[: len(whole) // 2])


def _twice(folder: Path) -> Path:
    np.save(_folder(folder) / "logits.npy", np.zeros(3, np.float32))
    np.zeros(3, np.float32).tofile(folder / "logits.bin")
    return folder


def _repeated(file: Path) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for _ in range(2):
            with archive.open("logits.npy", "w") as stream:
                np.lib.format.write_array(stream, np.zeros(3, np.float32))
    return file


def test_tiny_values_beside_large_ones_lie_on_no_grid() -> None:
    spread = np.concatenate([np.linspace(-10, 10, 30), np.arange(1, 9) * 1e-30])
    assert grid_step(spread.astype(np.float32)) is None
    step = grid_step((np.arange(-20, 20) * 0.25).astype(np.float32))
    assert step == pytest.approx(0.25)


def test_one_value_between_the_ends_has_no_gain() -> None:
    simulated = np.array([0.0, *[0.1] * 40, 1.0], np.float32)
    assert _gain(simulated, simulated * np.float32(1.5))[0] is None
    risen = np.linspace(0, 1, 42, dtype=np.float32)
    assert _gain(risen, risen * np.float32(1.5))[0] == pytest.approx(1.5)


def test_names_are_never_paths(compare: Callable[..., Run], dump: dumps.Dump) -> None:
    name = list(dump)[-1]
    odd = {f"../../{name}:0": dump[name], "C:\\x/../y": np.zeros((1, 7), np.float32)}
    run = compare(odd)
    assert run.board is not None
    assert {tensor for tensor, _ in run.board.unmapped} <= set(odd)


def test_a_dump_that_is_larger_than_memory(
    compare: Callable[..., Run], dump: dumps.Dump, tmp_path: Path
) -> None:
    """Twelve gigabytes of tensors, sparse on the disk, which no layer has the size of."""
    resource = pytest.importorskip("resource")
    folder = dumps.write_files(dump, tmp_path / "large", ".npy")
    for number in range(12):
        shape = (1, 256, 1024, 1024 + number)
        np.lib.format.open_memmap(folder / f"kv_{number}.npy", "w+", np.float32, shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = compare(folder)
    assert run.board is not None
    assert (run.board.tensors, run.board.mapped) == (len(dump) + 12, len(dump))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 600 << 10  # KiB: not one of them was read whole


def _pickled(file: Path) -> Path:
    with file.open("wb") as stream:
        np.savez(stream, logits=np.array([{"a": 1}], dtype=object))
    return file
