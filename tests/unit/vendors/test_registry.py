"""Toolchains: found in their folders and by entry point, each on its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import grimp
import onnx
import pytest

from qdebug import plugins
from qdebug.errors import UsageError
from qdebug.vendors import manual, registry
from qdebug.vendors.advice import Advice, keep_in_float, known_vendor
from qdebug.vendors.dialect import Dialect
from qdebug.vendors.dialects import dialect, is_dialect
from qdebug.vendors.reference import read_spec
from tests.conftest import ROOT

RECORD = """
from qdebug.vendors.vendor import Vendor
VENDOR = Vendor(__name__, name="acme", title="Acme", aliases=("acm",), place=45,
                dialect=".parts:DIALECT", advice=".parts:ADVICE")
NOTHING = None
BROKEN = Vendor(__name__, name="broken", title="Broken", advice=".none:ADVICE")
TAKEN = Vendor(__name__, name="rknn", title="Another")
"""
PARTS = """
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.vendors.advice import Advice
from qdebug.vendors.dialect import Dialect, Reading
DIALECT = Dialect("Acme settings", lambda text: Reading(PreprocessSpec.parse(text)), str)
ADVICE = Advice("Acme: layers", "acme.txt", "text", lambda layers: "acme", lambda item: "wider")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with one toolchain that works and three that do not."""
    package = tmp_path / "acme_tools"
    package.mkdir()
    (package / "__init__.py").write_text(RECORD)
    (package / "parts.py").write_text(PARTS)
    (package / "manual.md").write_text("## Another range\n\n| Acme | `wide` | `narrow` | |\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    names = {"acme": "VENDOR", "nothing": "NOTHING", "broken": "BROKEN", "taken": "TAKEN"}
    entries = {
        name: EntryPoint(name, f"acme_tools:{attribute}", "qdebug.vendors")
        for name, attribute in names.items()
    }
    entries["gone"] = EntryPoint("gone", "acme_tools:GONE", "qdebug.vendors")
    monkeypatch.setattr(plugins, "_entries", lambda group: entries if group == "vendors" else {})
    registry.clear()
    yield
    registry.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_tools"]:
        del sys.modules[name]


def folders() -> list[str]:
    home = ROOT / "qdebug" / "vendors"
    return sorted(path.parent.name for path in home.glob("*/__init__.py"))


def test_every_folder_is_a_toolchain_and_loads() -> None:
    packages = {vendor.package.rpartition(".")[2] for vendor in registry.toolchains()}
    assert packages == set(folders())
    assert set(registry.states().values()) == {"loaded"}
    for vendor in registry.toolchains("dialect"):
        assert isinstance(registry.load(vendor, "dialect"), Dialect)
    for vendor in registry.toolchains("advice"):
        assert isinstance(registry.load(vendor, "advice"), Advice)


def test_names_and_their_order_are_those_users_know() -> None:
    known = ["onnxruntime", "tensorrt", "tpu-mlir", "rknn", "horizon", "ncnn"]
    assert [x.name for x in registry.toolchains("advice") if x.name in known] == known
    for name in "tpu_mlir tpu-mlir sophgo horizon rknn ncnn aipp atc openvino".split():
        assert is_dialect(f"{name}:x")
    for name in "ultralytics huggingface timm hf torchvision".split():
        assert is_dialect(f"{name}:x")
    others = {"ort": "onnxruntime", "sophgo": "tpu-mlir", "tpu_mlir": "tpu-mlir"}
    others |= {"rockchip": "rknn", "TRT": "tensorrt"}
    assert {name: known_vendor(name) for name in others} == others


def test_no_operator_of_a_toolchain_is_onnx_s() -> None:
    """A graph of ONNX's operators alone is read without loading any toolchain."""
    parts = [part for _, part in registry.loaded("encodings")]
    owned = {operator for part in parts for operator in part.operators}
    assert owned
    assert not [operator for operator in owned if onnx.defs.has(operator)]


def test_one_name_may_be_a_dialect_of_one_and_the_advice_of_another() -> None:
    assert dialect("sophgo").title == "Sophgo cali_image_preprocess"
    assert known_vendor("sophgo") == "tpu-mlir"


def test_no_two_toolchains_share_a_name_for_the_same_part() -> None:
    for part in ("dialect", "advice"):
        own = [vendor.name for vendor in registry.toolchains(part)]
        names = registry.names(part)
        aliases = [name for name in names if name not in own]
        assert len(set(aliases)) == len(aliases)


def test_no_folder_imports_another_s() -> None:
    graph = grimp.build_graph("qdebug")
    for name in folders():
        module = f"qdebug.vendors.{name}"
        for inner in {module, *graph.find_descendants(module)}:
            for imported in graph.find_modules_directly_imported_by(inner):
                parts = imported.split(".")
                inside = parts[:2] == ["qdebug", "vendors"] and parts[2:] and parts[2] in folders()
                assert not inside or parts[2] == name, (inner, imported)


def test_the_manual_is_made_of_the_folders_words() -> None:
    pages = ("toolchains.md", "preprocessing.md", "encodings.md", "board.md")
    texts = [(ROOT / "docs" / page).read_text() for page in pages]
    asked = {heading for text in texts for heading in manual.headings(text)}
    page = manual.page()
    for vendor in registry.toolchains():
        words = manual.sections(vendor)
        assert words.keys() <= asked
        if vendor.has("advice"):
            assert {"Preprocessing", "Keep layers in float", "Another range"} <= words.keys()
            assert f"`{vendor.name}`" in page
        assert vendor.has("dialect") == ("Dialect" in words)
        assert vendor.has("encodings") == ("Encodings" in words)
        assert vendor.has("dumps") == ("Dumps" in words)
    assert "<!--" not in page
    assert "\n|---|---|---|\n| ONNX Runtime | your" in page


def test_a_toolchain_of_another_package_is_one_like_all(install: None) -> None:
    assert known_vendor("ACM") == "acme"
    assert str(read_spec("acme:rgb | nchw").spec) == "rgb | nchw"
    names = [vendor.name for vendor in registry.toolchains("advice")]
    assert names.index("acme") == names.index("rknn") - 1
    assert [item.data["text"] for item in keep_in_float([], "acme")] == ["acme"]
    assert "| Acme | `wide`" in manual.page()


def test_a_toolchain_that_cannot_be_loaded_is_left_out_and_told(install: None) -> None:
    assert len(keep_in_float([])) == len(registry.toolchains("advice")) - 2  # ncnn says nothing
    states = registry.states()
    assert "no qdebug.vendors.vendor.Vendor" in states["nothing"]
    assert "cannot be loaded" in states["gone"]
    assert "another toolchain named 'rknn'" in states["taken"]
    assert "advice of broken cannot be loaded" in states["broken"]
    assert states["acme"] == states["rknn"] == "loaded"
    with pytest.raises(ValueError, match="'gone' cannot be loaded"):
        known_vendor("gone")
    with pytest.raises(UsageError, match="advice of broken cannot be loaded"):
        known_vendor("broken")


def test_a_name_that_is_none() -> None:
    with pytest.raises(UsageError, match="no dialect 'onnxruntime'"):
        dialect("onnxruntime")
