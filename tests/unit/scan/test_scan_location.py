"""Which files belong to a dataset, and which things in a folder are refused."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from gate.domain.dataset import dataset
from gate.errors import DatasetError
from gate.scan.location import FileRef, is_single_file, list_files, read_chunks, read_head


def make(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def paths(uri: object) -> list[str]:
    return [file.path for file in list_files(dataset(str(uri)))]


def test_single_file_is_known_by_its_own_name(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert list_files(dataset(str(tmp_path / "a.csv"))) == (FileRef("a.csv", str(tmp_path / "a.csv"), 4),)


def test_folder_is_walked_with_hidden_files_and_markers(tmp_path):
    make(tmp_path, b="1", DOThidden="2", _SUCCESS="", deep__er__a="3")
    assert paths(tmp_path) == [".hidden", "_SUCCESS", "b", "deep/er/a"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.csv", ["a.csv"]),
        ("**/*.csv", ["a.csv", "x/b.csv", "x/y/c.csv"]),
        ("x*", ["x/b.csv", "x/y/c.csv"]),
        ("x/*", ["b.csv", "y/c.csv"]),
        ("?.csv", ["a.csv"]),
    ],
)
def test_globs_take_files_and_walk_folders_relative_to_their_fixed_part(tmp_path, pattern, found):
    make(tmp_path, aDOTcsv="1", x__bDOTcsv="2", x__y__cDOTcsv="3", z="4")
    assert paths(f"{tmp_path}/{pattern}") == found


def test_a_name_with_glob_characters_is_taken_literally_when_it_exists(tmp_path):
    make(tmp_path, **{"a[1]": "x", "a1": "y"})
    assert paths(tmp_path / "a[1]") == ["a[1]"]


def test_single_file_is_told_from_a_folder_with_one_file(tmp_path):
    make(tmp_path, d__a="1")
    for uri, single in ((tmp_path / "d/a", True), (tmp_path / "d", False), (tmp_path / "d/*", False)):
        source = dataset(str(uri))
        assert is_single_file(source, list_files(source)) is single


@pytest.mark.parametrize("uri", ["/no/such/place", "/no/such/*.csv"])
def test_missing_is_an_error_of_exit_code_4(uri):
    with pytest.raises(DatasetError) as caught:
        list_files(dataset(uri))
    assert caught.value.exit_code == 4
    assert uri in str(caught.value)


def test_empty_folder_is_an_error(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(DatasetError, match="holds no files"):
        list_files(dataset(str(tmp_path)))


def test_uri_without_absolute_path_is_an_error():
    with pytest.raises(DatasetError, match="absolute path"):
        list_files(dataset("file://lake/x"))


def test_pipe_in_the_folder_is_refused_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match=r"pipe: is neither a file nor a folder"):
        list_files(dataset(str(tmp_path)))


def test_socket_in_the_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # socket names are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(DatasetError, match="neither a file nor a folder"):
            list_files(dataset(str(tmp_path)))


def test_a_pipe_put_in_the_place_of_a_listed_file_does_not_hang(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    (file,) = list_files(dataset(str(path)))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DatasetError) as caught:
        list(read_chunks(file))
    assert caught.value.reason == "dataset_changed"


def test_link_to_a_file_within_the_dataset_is_followed(tmp_path):
    make(tmp_path, a="1")
    (tmp_path / "b").symlink_to("a")
    assert [read_head(file, 9) for file in list_files(dataset(str(tmp_path)))] == [b"1", b"1"]


def test_the_dataset_itself_may_be_a_link(tmp_path):
    make(tmp_path, v1__a="1")
    (tmp_path / "latest").symlink_to("v1")
    (tmp_path / "file").symlink_to("v1/a")
    assert paths(tmp_path / "latest") == ["a"]
    assert paths(tmp_path / "file") == ["file"]


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "sub", ".", "loop", "nowhere"])
def test_links_out_of_the_dataset_to_folders_in_circles_and_to_nothing_are_refused(tmp_path, target):
    make(tmp_path, outside="x", data__a="1", data__sub__b="2")
    (tmp_path / "data/loop").symlink_to(target)
    for uri in (tmp_path / "data", f"{tmp_path}/data/l*"):
        with pytest.raises(DatasetError, match=r"loop: is a link"):
            list_files(dataset(str(uri)))


def test_name_that_is_not_utf8_is_refused(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_text("x")
    with pytest.raises(DatasetError, match="not UTF-8"):
        list_files(dataset(str(tmp_path)))


UNREADABLE = """
import sys
from gate.domain.dataset import dataset
from gate.errors import DatasetError
from gate.scan.digest import measure
try:
    measure(dataset(sys.argv[1]))
except DatasetError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
@pytest.mark.parametrize("closed", ["lake/secret.csv", "lake"])
def test_unreadable_names_the_file(tmp_path, closed):
    make(tmp_path, lake__secretDOTcsv="x\n1\n")
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    (tmp_path / closed).chmod(0)
    code = (
        f"import os, gate.scan.digest, encodings.idna; os.setuid(65534)\n{UNREADABLE}"  # imported while still allowed
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lake")], capture_output=True, text=True, check=True
    )
    assert "may not be read by this user" in done.stdout
    assert Path(closed).name in done.stdout


def test_remote_folder_glob_and_file():
    memory = fsspec.filesystem("memory")
    for name in ("a.csv", "x/b.csv", "x/c.txt"):
        memory.pipe(f"/loc/{name}", name.encode())
    assert paths("memory://loc") == ["a.csv", "x/b.csv", "x/c.txt"]
    assert paths("memory://loc/x") == ["b.csv", "c.txt"]
    assert paths("memory://loc/**/*.csv") == ["a.csv", "x/b.csv"]
    (file,) = list_files(dataset("memory://loc/x/b.csv"))
    assert (file.path, b"".join(read_chunks(file))) == ("b.csv", b"x/b.csv")


def test_remote_missing_and_unknown_protocols():
    with pytest.raises(DatasetError, match="does not exist"):
        list_files(dataset("memory://never-there"))
    with pytest.raises(DatasetError, match="cannot be read"):
        list_files(dataset("nosuchscheme://bucket/key"))
    with pytest.raises(DatasetError, match="not installed") as caught:
        list_files(dataset("s3://bucket/key"))
    assert "s3fs" in str(caught.value.hint)


def test_remote_name_that_points_elsewhere_is_refused():
    fsspec.filesystem("memory").store["/evil/../../x"] = (
        fsspec.filesystem("memory").pipe("/evil/ok", b"1") or (fsspec.filesystem("memory").store["/evil/ok"])
    )
    try:
        with pytest.raises(DatasetError, match="points elsewhere"):
            list_files(dataset("memory://evil"))
    finally:
        del fsspec.filesystem("memory").store["/evil/../../x"]
