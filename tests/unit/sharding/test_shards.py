"""Sharing work: the order of the results, workers that die, and a real Dask cluster."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qdebug.bounds import bound, unpacking
from qdebug.errors import InputError, UsageError
from qdebug.progress import Silent
from qdebug.sharding import run_shards, shards_of
from qdebug.sharding.cluster import Cluster, _work_on
from qdebug.sharding.files import Sent
from qdebug.sharding.local import Processes
from qdebug.sharding.shards import InProcess, in_order
from tests.support.shards import two_dask_workers


@dataclass(frozen=True)
class Square:
    """Squares; the first process that meets ``deadly`` dies on it, once."""

    mark: Path | None = None
    deadly: int = -1

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        for item in items:
            if item == self.deadly and self.mark is not None and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return [item * item for item in items]


@dataclass(frozen=True)
class Refuse:
    """Work that cannot be done."""

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        raise InputError(f"{items[0]} is broken", "mend it")


@dataclass(frozen=True)
class TellBound:
    """The bound that holds where the work is done."""

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        return [bound() for _ in items]


@dataclass(frozen=True)
class TellCopy:
    """The place and the content of a file that was sent."""

    files: Sent
    path: Path

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        place = self.files.places[self.path]
        time.sleep(0.05)  # so that both workers get some
        return [(str(place), place.read_bytes()) for _ in items]


@dataclass(frozen=True)
class TellProcess:
    """The process where the work is done."""

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        return [os.getpid() for _ in items]


@dataclass(frozen=True)
class Touch:
    """Leaves a file for each item."""

    folder: Path

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        for item in items:
            (self.folder / str(item)).touch()
            time.sleep(0.005)
        return list(items)


@dataclass(frozen=True)
class Die:
    """Kills every worker."""

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []


class Counted(Silent):
    """Counts the steps."""

    steps = 0

    def advance(self, steps: int = 1) -> None:
        self.steps += steps


ITEMS = list(range(50))
SQUARES = [item * item for item in ITEMS]


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 80])
@pytest.mark.parametrize("count", [1, 5, 200])
def test_shards_hold_every_item_once_in_order(workers: int, count: int) -> None:
    shards = shards_of(list(range(count)), workers)
    assert [item for shard in shards for item in shard] == list(range(count))
    assert all(shards)
    assert max(map(len, shards)) <= 16


def test_in_process() -> None:
    progress = Counted()
    assert run_shards(Square(), ITEMS, InProcess(), progress) == SQUARES
    assert progress.steps == len(ITEMS)


def test_processes_and_one_that_dies(tmp_path: Path) -> None:
    with Processes(2) as processes:
        found = run_shards(Square(tmp_path / "died", 31), ITEMS, processes, Silent())
    assert found == SQUARES
    assert (tmp_path / "died").exists()


def test_processes_stay_for_the_next_work(tmp_path: Path) -> None:
    with Processes(1) as processes:
        first, second = (run_shards(TellProcess(), [0], processes, Silent()) for _ in range(2))
        assert first == second != [os.getpid()]
        deadly = run_shards(Square(tmp_path / "died", 2), ITEMS, processes, Silent())
        assert deadly == SQUARES
        assert run_shards(TellProcess(), [0], processes, Silent()) != first


def test_work_that_nobody_waits_for_is_not_begun(tmp_path: Path) -> None:
    with Processes(1) as processes:
        coming = in_order(Touch(tmp_path), list(range(400)), processes)
        assert next(coming) == 0
        coming.close()
        run_shards(TellProcess(), [0], processes, Silent())
    assert len(list(tmp_path.iterdir())) < 400


def test_processes_that_always_die_are_given_up() -> None:
    with pytest.raises(UsageError, match="ended 3 times"), Processes(2) as processes:
        run_shards(Die(), ITEMS[:2], processes, Silent())


def test_what_a_file_may_unpack_to_holds_in_processes() -> None:
    with unpacking(12345), Processes(2) as processes:
        assert run_shards(TellBound(), ITEMS[:2], processes, Silent()) == [12345, 12345]


def test_what_the_work_raises_reaches_the_caller() -> None:
    with pytest.raises(InputError, match=r"\d is broken"), Processes(2) as processes:
        run_shards(Refuse(), ITEMS, processes, Silent())


def test_threads_of_a_dask_worker_take_turns() -> None:
    inside: list[int] = []
    most = []

    def work(items: Sequence[Any]) -> list[Any]:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return list(items)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(_work_on, work, [number]) for number in range(8)]
        assert [future.result() for future in futures] == [[number] for number in range(8)]
    assert max(most) == 1


def test_no_scheduler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdebug.sharding.cluster._TIMEOUT_S", 1)
    with pytest.raises(UsageError, match="no Dask scheduler answers"), Cluster("tcp://127.0.0.1:9"):
        pass


def wait_for_two(cluster: Cluster) -> None:
    """Until both workers are there."""
    deadline = time.monotonic() + 30
    while cluster.workers < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert cluster.workers == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Dask's own processes complain when one of them is killed
def test_a_cluster_whose_worker_is_killed(tmp_path: Path) -> None:
    seen = tmp_path / "file"
    seen.write_text("here", encoding="utf-8")
    with two_dask_workers() as address, Cluster(address) as cluster:
        wait_for_two(cluster)
        assert cluster.sees(seen)
        found = run_shards(Square(tmp_path / "died", 31), ITEMS, cluster, Silent())
        with pytest.raises(InputError, match="is broken"):
            run_shards(Refuse(), ITEMS, cluster, Silent())
    assert found == SQUARES
    assert (tmp_path / "died").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Dask's own processes complain when one of them is killed
def test_files_are_sent_once_and_to_a_worker_that_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"weights")
    monkeypatch.setattr(Cluster, "sees", lambda *_: False)
    with two_dask_workers() as address:
        with Cluster(address) as cluster:
            sent = cluster.send([model])
            model.unlink()
            work = TellCopy(sent, model)
            first = set(run_shards(work, ITEMS, cluster, Silent()))
            # One worker dies in the middle, and another one takes its place.
            run_shards(Square(tmp_path / "died", 31), ITEMS, cluster, Silent())
            wait_for_two(cluster)
            assert {content for _, content in first} == {b"weights"}
            second = set(run_shards(work, ITEMS, cluster, Silent()))
            places = {place for place, _ in first | second}
            # Its folder is the worker's own: nobody was sent a second copy.
            assert len({Path(place).parents[2] for place in places}) == len(places) <= 3
            assert {content for _, content in second} == {b"weights"}
        assert not [place for place, _ in second if Path(place).exists()]
    with pytest.raises(UsageError, match="lacks the files"):
        _ = sent.places
