"""The sound files that every case begins with."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
from onnx import numpy_helper
from PIL import Image

from qdebug.cli import main
from tests.support import graphs, pictures
from tests.support.graphs import SIDE, SPEC


def make_base(folder: Path) -> Path:
    """A pair of models, pictures, tensor files, and a run in its three forms."""
    graphs.write_pair(folder)
    picture = Image.fromarray(pictures.scene(0)).resize((40, 30))
    picture.save(folder / "photo.png")
    picture.save(folder / "photo.jpg")
    value = np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)
    np.save(folder / "fed.npy", value)
    np.savez(folder / "fed.npz", images=value)
    value.tofile(folder / "fed.bin")
    (folder / "fed.pb").write_bytes(numpy_helper.from_array(value, "images").SerializeToString())
    before = Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(StringIO()):
            compare = ["compare", "float.onnx", "quant.onnx", "photo.png", "photo.jpg", "-p", SPEC]
            assert main([*compare, "-q", "-o", "run.qdrun", "--keep-tensors", "all"]) in (0, 1)
            for name in ("run.zip", "run.html"):
                assert main(["report", "run.qdrun", "-q", "-o", name]) == 0
    finally:
        os.chdir(before)
    return folder
