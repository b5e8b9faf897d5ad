from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.bundle import stored_zip
from edgemed.errors import BundleError

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,5}(/[a-z0-9][a-z0-9._-]{0,5}){0,3}", fullmatch=True)
MEMBERS = {"a.json": b"{}", "model/b": b"bytes"}
NOT_CANONICAL = (
    "archive: not in canonical form: expected stored members sorted by name, fixed times and modes, right "
    "checksums and nothing else; it was altered or made by another tool, get it again from its maker"
)
NO_ARCHIVE = "archive: expected a ZIP that starts with a member, got something else; is it an .edgemed file?"
BAD_NAME = "archive: member name {!r}: expected at most 4 lower-case parts, as in 'golden/01.png'"


def made(
    *members: tuple[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _: None, **extra: int
) -> bytes:
    """Return an archive that the standard library wrote in edgemed's form, but for ``change``."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **extra) as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Duplicate name": what one case is about
        for name, data in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o100644 << 16
            info.create_version = 20
            change(info)
            writer.writestr(info, data)
    return stream.getvalue()


def with_attribute(name: str, value: object) -> bytes:
    return made(*MEMBERS.items(), change=lambda info: setattr(info, name, value))


def commented(raw: bytes) -> bytes:
    return raw[:-2] + struct.pack("<H", 4) + b"note"


def patched(raw: bytes, offset: int, new: bytes) -> bytes:
    return raw[:offset] + new + raw[offset + len(new) :]


CANONICAL = stored_zip.write(MEMBERS)
SECOND = CANONICAL.index(b"PK\3\4", 1)

REFUSED = {
    "empty file": (b"", NO_ARCHIVE),
    "text": (b"not an archive", NO_ARCHIVE),
    "archive without members": (made(), NO_ARCHIVE),
    "leading bytes": (b"MZ" + CANONICAL, NO_ARCHIVE),
    "trailing bytes": (CANONICAL + b"\0", NOT_CANONICAL),
    "comment": (commented(CANONICAL), NOT_CANONICAL),
    "no end record": (CANONICAL[:-22], NOT_CANONICAL),
    "unsorted": (made(*reversed(MEMBERS.items())), NOT_CANONICAL),
    "another time": (with_attribute("date_time", (2024, 1, 1, 0, 0, 0)), NOT_CANONICAL),
    "executable": (with_attribute("external_attr", 0o100755 << 16), NOT_CANONICAL),
    "symbolic link": (with_attribute("external_attr", (stat.S_IFLNK | 0o777) << 16), NOT_CANONICAL),
    "member comment": (with_attribute("comment", b"note"), NOT_CANONICAL),
    "wrong checksum": (patched(CANONICAL, 14, b"\0\0\0\0"), NOT_CANONICAL),
    "encrypted flag": (patched(CANONICAL, 6, b"\1\0"), NOT_CANONICAL),
    "deflated": (
        with_attribute("compress_type", zipfile.ZIP_DEFLATED),
        "archive: member 'a.json': expected stored bytes without extra fields",
    ),
    "extra field": (
        with_attribute("extra", b"\1\2\0\0"),
        "archive: member 'a.json': expected stored bytes without extra fields",
    ),
    "member twice": (made(("a", b"1"), ("a", b"2")), "archive: member 'a' comes twice"),
    "path outside": (made(("../a", b"")), BAD_NAME.format("../a")),
    "path outside further down": (made(("a/../../b", b"")), BAD_NAME.format("a/../../b")),
    "absolute path": (made(("/etc/passwd", b"")), BAD_NAME.format("/etc/passwd")),
    "windows path": (made(("c:\\a", b"")), BAD_NAME.format("c:\\a")),
    "upper case": (made(("A", b"")), BAD_NAME.format("A")),
    "hidden": (made((".a", b"")), BAD_NAME.format(".a")),
    "folder": (made(("a/", b"")), BAD_NAME.format("a/")),
    "line break at the end": (made(("a\n", b"")), BAD_NAME.format("a\n")),
    "not ASCII": (made(("é", b"")), BAD_NAME.format("\\xc3\\xa9")),
    "long name": (made(("a" * 129, b"")), BAD_NAME.format("a" * 64)),
    "deep": (made(("a/b/c/d/e", b"")), BAD_NAME.format("a/b/c/d/e")),
    "huge declared size": (
        patched(CANONICAL, 18, b"\xff\xff\xff\xff" * 2),
        f"archive: member 'a.json' claims 4294967295 bytes, {len(CANONICAL) - 36} are left",
    ),
    "cut inside a member": (CANONICAL[:37], "archive: member 'a.json' claims 2 bytes, 1 are left"),
    "cut inside a header": (
        CANONICAL[: SECOND + 10],
        "archive: ends inside a member's header; it was cut short, get it again",
    ),
}


@given(st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=6))
def test_members_come_back_in_name_order(members: dict[str, bytes]) -> None:
    read = stored_zip.read(stored_zip.write(members))

    assert read == members
    assert list(read) == sorted(members)


@given(st.permutations(["a", "b/c", "b.d", "e"]))
def test_bytes_do_not_depend_on_the_order_given(order: list[str]) -> None:
    assert stored_zip.write({name: name.encode() for name in order}) == stored_zip.write(
        {name: name.encode() for name in sorted(order)}
    )


def test_archive_equals_the_one_the_standard_library_writes() -> None:
    assert stored_zip.write(MEMBERS) == made(*MEMBERS.items())


def test_standard_library_reads_the_archive() -> None:
    with zipfile.ZipFile(io.BytesIO(CANONICAL)) as reader:
        assert reader.testzip() is None
        assert {info.filename: reader.read(info) for info in reader.infolist()} == MEMBERS


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses_with_a_reason(raw: bytes, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        stored_zip.read(raw)

    assert str(caught.value) == message


def test_refuses_a_file_above_the_limit() -> None:
    with pytest.raises(BundleError) as caught:
        stored_zip.read(bytes((256 << 20) + 1))

    assert str(caught.value) == "archive: 268435457 bytes are more than the 268435456 accepted"


def test_refuses_to_write_above_the_limit() -> None:
    with pytest.raises(BundleError) as caught:
        stored_zip.write({"a": bytes(256 << 20)})

    assert str(caught.value) == "archive: 268435556 bytes are more than the 268435456 accepted"


def test_refuses_to_write_nothing() -> None:
    with pytest.raises(BundleError) as caught:
        stored_zip.write({})

    assert str(caught.value) == "archive: expected 1 to 4096 members, got 0"


def test_refuses_to_write_a_path_outside() -> None:
    with pytest.raises(BundleError) as caught:
        stored_zip.write({"../a": b""})

    assert str(caught.value) == BAD_NAME.format("../a")


def test_refuses_more_members_than_the_limit() -> None:
    member = CANONICAL[:SECOND]
    many = b"".join(member.replace(b"a.json", b"%06d" % number) for number in range(4097))

    with pytest.raises(BundleError) as caught:
        stored_zip.read(many)

    assert str(caught.value) == "archive: more than the 4096 members accepted"


@given(st.binary(max_size=200))
def test_any_bytes_give_members_or_a_bundle_error(tail: bytes) -> None:
    for raw in (tail, b"PK\3\4" + tail, CANONICAL[:30] + tail, CANONICAL[:SECOND] + tail):
        try:
            assert stored_zip.write(stored_zip.read(raw)) == raw
        except BundleError:
            continue
