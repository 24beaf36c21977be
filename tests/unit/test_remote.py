"""URLs: what is one, what is copied, and what becomes of bad ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest

from qdebug.errors import InputError, UsageError
from qdebug.remote import Fetched, is_copied, is_url, shown


@pytest.fixture
def memory() -> Any:
    system = fsspec.filesystem("memory")
    system.pipe({"/box/a.txt": b"a", "/box/in/b.txt": b"b", "/other/a.txt": b"other"})
    yield system
    system.store.clear()


@pytest.mark.parametrize(
    "path", ["a.jpg", "C:\\a.jpg", "C://a", "images=/a.jpg", "://", "s3://", Path("s3://b")]
)
def test_paths_are_no_urls(path: Any) -> None:
    assert not is_url(path)
    with Fetched() as urls:
        assert urls.path(path) is path


def test_a_file_is_not_copied(tmp_path: Path) -> None:
    place = tmp_path / "a b.txt"
    place.write_text("here", encoding="utf-8")
    assert is_url(place.as_uri())
    assert not is_copied(place.as_uri())
    with Fetched() as urls:
        assert urls.path(place.as_uri()) == place


@pytest.mark.usefixtures("memory")
def test_copies_are_there_as_long_as_they_are_needed() -> None:
    with Fetched() as urls:
        one, two, folder = map(
            Path, urls.paths(["memory://box/a.txt", "memory://other/a.txt", "memory://box"])
        )
        assert (one.read_bytes(), two.read_bytes()) == (b"a", b"other")
        assert one.name == two.name == "a.txt"
        found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.txt")}
        assert found == {"a.txt": b"a", "in/b.txt": b"b"}
    assert not one.exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("memory://nowhere/a.jpg", InputError, r"memory://a\.jpg does not exist"),
        ("nonsense://me:secret@host/a.jpg", UsageError, r"nonsense://a\.jpg: Protocol not known"),
    ],
)
def test_a_bad_url_is_one_sentence(url: str, error: type[Exception], message: str) -> None:
    with Fetched() as urls, pytest.raises(error, match=message) as raised:
        urls.path(url)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_a_file_system_raises_is_one_sentence(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("no credentials\nsecond line")

    monkeypatch.setattr(type(memory), "get_file", refuse)
    with Fetched() as urls, pytest.raises(InputError, match=r"cannot be read: no credentials$"):
        urls.path("memory://box/a.txt")


def test_names_that_lead_out_of_the_folder_are_refused(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(memory), "find", lambda *_, **__: ["/box/../../gone.txt"])
    with Fetched() as urls, pytest.raises(InputError, match="leads out of its folder"):
        urls.path("memory://box")


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with Fetched() as urls, pytest.raises(UsageError, match="need fsspec"):
        urls.path("memory://box")


def test_secrets_are_not_shown() -> None:
    assert shown("https://me:secret@host/shots/a.jpg?token=1") == "https://a.jpg"
    assert shown("https://me:secret@host/") == "https://host"
