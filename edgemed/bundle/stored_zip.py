"""A ZIP archive that has exactly one form: named bytes in, the same file out, on every machine.

Rules: members are stored, sorted by name, dated 1980-01-01 00:00, mode 0644, without extra fields, comments or zip64;
the reader takes that form and no other, so that no byte of a file is outside what the reader compares.

    raw = stored_zip.write({"card.md": b"..."})
    members = stored_zip.read(raw)

Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory) and 4.3.16 (end record).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping

from edgemed.errors import BundleError

__all__ = ["ARCHIVE_LIMIT_BYTES", "MEMBERS_LIMIT", "read", "write"]

ARCHIVE_LIMIT_BYTES = 256 << 20
MEMBERS_LIMIT = 4096

# No upper case, no "..", no leading slash or dot, no backslash: such a name stays inside a folder on every file system.
_NAME = re.compile(rb"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){0,3}\Z")
_NAME_LIMIT = 128

_LOCAL = struct.Struct("<4s5H3I2H")
_DIRECTORY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MARK, _DIRECTORY_MARK, _END_MARK = b"PK\3\4", b"PK\1\2", b"PK\5\6"

_VERSION = 20  # 4.4.3: 2.0, the first with folders
_MADE_BY = (3 << 8) | _VERSION  # 4.4.2: Unix, so that the mode below counts
_TIME, _DATE = 0, (0 << 9) | (1 << 5) | 1  # 4.4.6: MS-DOS, 1980-01-01
_MODE = 0o100644 << 16  # 4.4.15: a regular file


def write(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of the members, the same bytes for the same members.

    Raises:
        BundleError: no member, too many, a name outside the rule, or more than `ARCHIVE_LIMIT_BYTES`.
    """
    if not 1 <= len(members) <= MEMBERS_LIMIT:
        raise BundleError(f"archive: expected 1 to {MEMBERS_LIMIT} members, got {len(members)}")
    headers = _END.size + sum(_LOCAL.size + _DIRECTORY.size + 2 * len(name) for name in members)
    if (total := headers + sum(map(len, members.values()))) > ARCHIVE_LIMIT_BYTES:
        raise BundleError(f"archive: {total} bytes are more than the {ARCHIVE_LIMIT_BYTES} accepted")
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name in sorted(members):
        encoded = _checked_name(name.encode())
        local, entry = _headers(encoded, members[name], offset)
        parts += (local, members[name])
        directory.append(entry)
        offset += len(local) + len(members[name])
    size = sum(map(len, directory))
    end = _END.pack(_END_MARK, 0, 0, len(members), len(members), size, offset, 0)
    return b"".join([*parts, *directory, end])


def read(raw: bytes) -> dict[str, bytes]:
    """Return the members of an archive that `write` made, in name order.

    Raises:
        BundleError: larger than `ARCHIVE_LIMIT_BYTES`, not a ZIP, a member that is compressed, repeated, misnamed or
            larger than the file, or any byte that `write` would have set otherwise.
    """
    if len(raw) > ARCHIVE_LIMIT_BYTES:
        raise BundleError(f"archive: {len(raw)} bytes are more than the {ARCHIVE_LIMIT_BYTES} accepted")
    members: dict[str, bytes] = {}
    offset = 0
    while raw[offset : offset + 4] == _LOCAL_MARK:
        if len(members) == MEMBERS_LIMIT:
            raise BundleError(f"archive: more than the {MEMBERS_LIMIT} members accepted")
        name, start, end = _member(raw, offset)
        if name in members:
            raise BundleError(f"archive: member {name!r} comes twice")
        members[name] = raw[start:end]
        offset = end
    if not members:
        raise BundleError(
            "archive: expected a ZIP that starts with a member, got something else; is it an .edgemed file?"
        )
    if write(members) != raw:
        raise BundleError(
            "archive: not in canonical form: expected stored members sorted by name, fixed times and modes, right "
            "checksums and nothing else; it was altered or made by another tool, get it again from its maker"
        )
    return members


def _headers(name: bytes, data: bytes, offset: int) -> tuple[bytes, bytes]:
    """Return the local header and the directory entry of a member whose local header lies at ``offset``."""
    shared = (_VERSION, 0, 0, _TIME, _DATE, zlib.crc32(data), len(data), len(data), len(name), 0)
    local = _LOCAL.pack(_LOCAL_MARK, *shared) + name
    return local, _DIRECTORY.pack(_DIRECTORY_MARK, _MADE_BY, *shared, 0, 0, 0, _MODE, offset) + name


def _member(raw: bytes, offset: int) -> tuple[str, int, int]:
    """Return name, first byte and end of the member whose local header lies at ``offset``."""
    if len(raw) < offset + _LOCAL.size:
        raise BundleError("archive: ends inside a member's header; it was cut short, get it again")
    fields = _LOCAL.unpack_from(raw, offset)
    method, packed, size, name_size, extra_size = fields[3], fields[7], fields[8], fields[9], fields[10]
    start = offset + _LOCAL.size + name_size
    name = _checked_name(raw[offset + _LOCAL.size : start])
    if method != 0 or packed != size or extra_size != 0:
        raise BundleError(f"archive: member {name.decode()!r}: expected stored bytes without extra fields")
    if size > len(raw) - start:
        raise BundleError(f"archive: member {name.decode()!r} claims {size} bytes, {max(len(raw) - start, 0)} are left")
    return name.decode(), start, start + size


def _checked_name(name: bytes) -> bytes:
    """Return a member name that stays inside a folder on every file system, or refuse it."""
    if len(name) > _NAME_LIMIT or not _NAME.match(name):
        shown = name[:64].decode("ascii", "backslashreplace")
        raise BundleError(f"archive: member name {shown!r}: expected at most 4 lower-case parts, as in 'golden/01.png'")
    return name
