"""The digest covers names and bytes, and nothing changes unnoticed while it is taken."""

import hashlib
import os

import fsspec
import pytest

from gate.domain.canonical import digest
from gate.domain.dataset import dataset
from gate.errors import DatasetError
from gate.scan.digest import Manifest, measure
from gate.scan.location import copy_to, list_files, read_chunks
from gate.scan.progress import Progress, told


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.csv").write_text("n\n1\n")
    (tmp_path / "b.csv").write_text("n\n2\n")
    return tmp_path


def test_digest_is_of_the_sorted_list_of_path_size_and_sha256(lake):
    version, manifest = measure(dataset(str(lake)))
    rows = [
        ["a/x.csv", 4, hashlib.sha256(b"n\n1\n").hexdigest()],
        ["b.csv", 4, hashlib.sha256(b"n\n2\n").hexdigest()],
    ]
    assert manifest.to_list() == rows
    assert (version.digest, version.files, version.size) == (digest(rows), 2, 8)


@pytest.mark.parametrize(
    "change",
    [
        lambda lake: (lake / "b.csv").write_text("n\n3\n"),
        lambda lake: (lake / "b.csv").rename(lake / "c.csv"),
        lambda lake: (lake / "a/x.csv").rename(lake / "x.csv"),
        lambda lake: (lake / "_SUCCESS").touch(),
        lambda lake: (lake / ".hidden").write_text("x"),
        lambda lake: (lake / "b.csv").unlink(),
    ],
)
def test_every_change_of_names_or_bytes_changes_the_digest(lake, change):
    before, old = measure(dataset(str(lake)))
    change(lake)
    after, new = measure(dataset(str(lake)))
    assert before.digest != after.digest
    assert old.first_difference(new) is not None


def test_times_and_modes_do_not_change_the_digest(lake):
    before = measure(dataset(str(lake)))
    (lake / "b.csv").chmod(0o600)
    (lake / "b.csv").touch()
    assert measure(dataset(str(lake))) == before


def test_same_bytes_have_the_same_digest_wherever_they_are(lake):
    memory = fsspec.filesystem("memory")
    memory.put(str(lake) + "/", "/digests/", recursive=True)
    assert measure(dataset("memory://digests"))[0].digest == measure(dataset(str(lake)))[0].digest


def test_manifest_survives_being_written_down(lake):
    _, manifest = measure(dataset(str(lake)))
    again = Manifest.from_list(manifest.dataset, manifest.to_list())
    assert again == manifest
    assert again.first_difference(manifest) is None


def test_first_difference_names_the_file(lake):
    _, before = measure(dataset(str(lake)))
    (lake / "b.csv").write_text("n\n22\n")
    assert before.first_difference(measure(dataset(str(lake)))[1]) == "b.csv"


def test_progress_adds_up_to_the_size(lake):
    seen = []
    with told(seen.append):
        version, _ = measure(dataset(str(lake)))
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert seen[-1] == Progress("hashing", version.size, version.size, "bytes")


@pytest.mark.parametrize("write", ["append", "same_size", "replace", "truncate"])
def test_file_that_changes_while_it_is_read_is_refused(tmp_path, write):
    path = tmp_path / "big"
    path.write_bytes(b"x" * (3 << 20))
    (file,) = list_files(dataset(str(path)))
    chunks = read_chunks(file)
    next(chunks)
    match write:
        case "append":
            with path.open("ab") as out:
                out.write(b"y")
        case "same_size":
            with path.open("r+b") as out:
                out.write(b"y")
        case "replace":
            (tmp_path / "other").write_bytes(b"x" * (3 << 20))
            (tmp_path / "other").rename(path)
        case "truncate":
            path.write_bytes(b"x")
    with pytest.raises(DatasetError) as caught:
        list(chunks)
    assert caught.value.reason == "dataset_changed"


@pytest.mark.parametrize("write", ["append", "replace", "truncate", "pipe"])
def test_a_file_that_is_another_by_now_is_not_copied(tmp_path, write):
    path, out = tmp_path / "big", tmp_path / "copy"
    path.write_bytes(b"x" * (3 << 20))
    (file,) = list_files(dataset(str(path)))
    match write:
        case "append":
            path.write_bytes(b"x" * (3 << 20) + b"y")
        case "replace":
            path.write_bytes(b"yes")
        case "truncate":
            path.write_bytes(b"")
        case "pipe":  # which would wait for ever
            path.unlink()
            os.mkfifo(path)
    with out.open("wb") as target, pytest.raises(DatasetError) as caught:
        copy_to(file, target)
    assert caught.value.reason == "dataset_changed"


@pytest.mark.parametrize("kernel", [True, False])
def test_a_copy_has_the_very_bytes(tmp_path, kernel, monkeypatch):
    if not kernel:
        monkeypatch.delattr(os, "copy_file_range")
    path, out = tmp_path / "big", tmp_path / "copy"
    path.write_bytes(os.urandom((3 << 20) + 5))
    (file,) = list_files(dataset(str(path)))
    with out.open("wb") as target:
        copy_to(file, target)
    assert out.read_bytes() == path.read_bytes()


def test_file_that_comes_while_others_are_read_is_refused(lake):
    with told(lambda _: (lake / "new.csv").write_text("n\n")), pytest.raises(DatasetError) as caught:
        measure(dataset(str(lake)))
    assert caught.value.reason == "dataset_changed"


def test_remote_file_that_changes_after_listing_is_refused():
    memory = fsspec.filesystem("memory")
    memory.pipe("/changing/a", b"one")
    (file,) = list_files(dataset("memory://changing"))
    memory.pipe("/changing/a", b"three")
    with pytest.raises(DatasetError) as caught:
        list(read_chunks(file))
    assert caught.value.reason == "dataset_changed"
