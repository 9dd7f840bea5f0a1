"""Object stores that answer slowly, in part, or with another version at each reading: the right answer or an error."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from gate.domain.dataset import dataset
from gate.errors import CannotDecide, DatasetError
from gate.scan.census import look
from gate.scan.coverage import account_ids
from gate.scan.digest import measure

OLD = b"account_id\nacme\nacme\n"
NEW = b"account_id\nbolt\nbolt\n"  # as long: nothing that the store tells differs


class Store(MemoryFileSystem):
    """A store whose answers a test decides about."""

    protocol = "unsteady"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    answers: ClassVar[list[bytes]] = []
    how: ClassVar[str] = "whole"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("unsteady://").strip("/")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            return super()._open(path, mode, **options)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        match self.how:
            case "part":
                answer = answer[: len(answer) // 2]
            case "slow":
                return Slow(answer)
            case "broken":
                return Broken(answer)
        return io.BytesIO(answer)


class Slow(io.BytesIO):
    """Gives a byte at a time, after a while."""

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(0.01)
        return super().read(1 if size is None or size > 0 else size)


class Broken(io.BytesIO):
    """Breaks off in the middle."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise TimeoutError("the store did not answer")
        return super().read(5)


@pytest.fixture
def store() -> Iterator[type[Store]]:
    fsspec.register_implementation("unsteady", Store, clobber=True)
    Store.store.clear()
    Store.answers, Store.how = [OLD], "whole"
    Store().pipe_file("/lake/t.csv", OLD)
    yield Store
    Store.store.clear()


SOURCE = dataset("unsteady://lake/t.csv", "account_id")


def test_what_is_counted_is_what_was_hashed(store: type[Store], tmp_path: Path) -> None:
    for answers in ([OLD, NEW, OLD, NEW], [NEW, OLD, NEW, OLD]):
        store.answers = list(answers)
        seen = look(SOURCE, tmp_path)
        (tmp_path / "plain").mkdir(exist_ok=True)
        (tmp_path / "plain" / "t.csv").write_bytes(answers[0])
        plain = dataset(str(tmp_path / "plain" / "t.csv"), "account_id")
        assert seen.version.digest == measure(plain)[0].digest
        assert account_ids(seen.census) == account_ids(plain)
        assert seen.census.dataset == SOURCE


@pytest.mark.parametrize(("how", "what"), [("part", "changed while"), ("broken", "cannot be read")])
def test_half_an_answer_is_none(store: type[Store], tmp_path: Path, how: str, what: str) -> None:
    store.how = how
    with pytest.raises(DatasetError, match=what):
        look(SOURCE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_slow_answer_is_one(store: type[Store], tmp_path: Path) -> None:
    store.how = "slow"
    assert account_ids(look(SOURCE, tmp_path).census) == ["acme"]


def test_errors_name_the_dataset_and_not_our_copy(store: type[Store], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no column") as told:
        look(dataset("unsteady://lake/t.csv", "nobody"), tmp_path)
    assert told.value.where == "unsteady://lake/t.csv"


def test_no_room_for_the_copy(store: type[Store], tmp_path: Path) -> None:
    with pytest.raises(CannotDecide, match="no copy can be made"):
        look(SOURCE, tmp_path / "not there")
