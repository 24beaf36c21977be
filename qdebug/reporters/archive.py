"""The run as one zip: the whole ``NAME.qdrun`` folder, kept tensors included."""

from __future__ import annotations

import io
import zipfile

from qdebug.reporters.base import Reporter
from qdebug.run.files import RUN_JSON
from qdebug.run.model import Run
from qdebug.run.store import run_to_json

_EPOCH = (1980, 1, 1, 0, 0, 0)
_COMPRESSED = (".json",)


class ZipReporter(Reporter):
    """A zip that every qdebug command takes in place of the folder."""

    suffixes = (".zip", ".qdrun.zip")

    def render(self, run: Run) -> bytes:
        """The archive; equal runs give equal bytes.

        Only ``run.json`` is compressed: tensors hardly shrink, arrays and pictures already are.
        """
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            _add(archive, RUN_JSON, run_to_json(run).encode())
            for name in run.files.names():
                if name != RUN_JSON:
                    _add(archive, name, run.files.read(name))
        return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.external_attr = 0o644 << 16
    is_text = name.endswith(_COMPRESSED)
    member.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
    archive.writestr(member, content)


zip = ZipReporter()
