"""Digests, bounded reads and atomic writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import files
from edgemed.errors import BundleError, EdgemedError

# FIPS 180-4, SHA-256 of "abc".
ABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_digest_equals_the_published_example() -> None:
    assert files.sha256(b"abc") == ABC


@given(st.binary(max_size=3000))
def test_digest_of_a_file_equals_the_digest_of_its_bytes(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(raw)
    assert files.sha256_file(path) == files.sha256(raw)


def test_digest_of_a_file_longer_than_one_block(tmp_path: Path) -> None:
    raw = bytes(range(256)) * 9000
    (tmp_path / "file").write_bytes(raw)
    assert files.sha256_file(tmp_path / "file") == files.sha256(raw)


def test_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert files.read_bounded(tmp_path / "file", limit_bytes=5) == b"12345"


def test_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"123456")
    with pytest.raises(BundleError) as caught:
        files.read_bounded(path, limit_bytes=5, error=BundleError)
    assert str(caught.value) == f"{path}: is larger than the 5 bytes accepted here"


def test_endless_file_is_refused_instead_of_filling_memory() -> None:
    with pytest.raises(EdgemedError, match=r"^/dev/zero: is larger than the 1000 bytes accepted here$"):
        files.read_bounded(Path("/dev/zero"), limit_bytes=1000)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(EdgemedError) as caught:
        files.read_bounded(path, limit_bytes=5)
    assert str(caught.value) == (
        f"{path}: cannot be read: No such file or directory; check the path and its permissions"
    )


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgemedError) as caught:
        files.read_bounded(tmp_path, limit_bytes=5)
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory; check the path and its permissions"


def test_write_replaces_the_old_file_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    files.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - names only


@pytest.mark.parametrize("mode", [pytest.param(0o644, id="shared"), pytest.param(0o600, id="private")])
def test_written_file_has_the_mode_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        files.write_atomic(tmp_path / "file", b"", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


def test_failed_write_leaves_the_target_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "kept").write_bytes(b"kept")
    # A folder cannot be replaced by a file: the last step, the rename, fails.
    with pytest.raises(OSError, match="directory"):
        files.write_atomic(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    assert (path / "kept").read_bytes() == b"kept"


def test_write_into_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write_atomic(tmp_path / "absent" / "file", b"")
