"""DICOM files with a CSV of their labels; what stands for a patient is a keyed hash, never the header's own value.

Rules: an image is named by its line of the CSV, for file names and UIDs may tell who it shows; keys of patients and
sites are HMAC-SHA-256 under the digest of the CSV, so that whoever has only a run or a report cannot try out numbers.

    listing = dicom.read(source, folder)
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from edgemed import files
from edgemed.errors import ConfigError, ImageError
from edgemed.imaging import dicom, readers
from edgemed.imaging.frame import Frame
from edgemed.imaging.header import FILE_LIMIT_BYTES
from edgemed.training.sources import ages, manifest
from edgemed.training.sources.declared import ALL, DicomFolder, HeaderAttribute
from edgemed.training.sources.listing import Listing, single

__all__ = ["read"]

Header: TypeAlias = Mapping[str, str]

_KEYWORDS = (
    "BurnedInAnnotation",
    "InstitutionName",
    "IssuerOfPatientID",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "PatientAge",
    "PatientID",
    "PatientSex",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "ViewPosition",
)


def read(source: DicomFolder, folder: Path) -> Listing:
    """Return the images that the CSV labels; the headers are read, the pixels are not.

    A file that is missing or no DICOM keeps its row: reading its image raises an ImageError.

    Raises:
        ConfigError: the CSV cannot be read, a column is missing, a cell is empty, or two files have the same UID.
    """
    table = manifest.read_table(folder / source.file)
    key = source.path or source.uid or ""
    manifest.require(table, [key, source.label, *([source.split] if source.split else [])])
    names = tuple(f"line {line} of {source.file}" for line in range(2, len(table.rows) + 2))
    if repeated := len(names) - len(set(table.column(key))):
        raise ConfigError(f"{table.path}: expected every image once, {repeated} are listed again; remove those rows")
    paths = _by_path(table.column(key), folder) if source.path else _by_uid(table.column(key), folder, table.path)
    headers = [_header(path, name) for path, name in zip(paths, names, strict=True)]
    secret = files.sha256_file(table.path).encode()
    found = [_attributes(header, source.attributes, secret) for header in headers]
    return Listing(
        names=names,
        values=table.column(source.label),
        places=tuple(f"{table.path}: line {line}" for line in range(2, len(names) + 2)),
        groups=tuple(_group(header, source.group, secret) or name for header, name in zip(headers, names, strict=True)),
        splits=table.column(source.split) if source.split else (ALL,) * len(names),
        read=_reader(paths, names),
        attributes={name: tuple(one[name] for one in found) for name in source.attributes},
        first_number=2,
        numbered_by=f"line of {source.file}",
    )


def _by_path(values: tuple[str, ...], folder: Path) -> list[Path | None]:
    paths = [folder / value for value in values]
    return [path if path.is_file() else None for path in paths]


def _by_uid(values: tuple[str, ...], folder: Path, table: Path) -> list[Path | None]:
    """Return the file of each SOP Instance UID; every file below the folder is looked at."""
    found: dict[str, Path] = {}
    for path in readers.expand([folder]):
        header = _header(path, "a file")
        uid = header.get("SOPInstanceUID")
        if uid in found:
            raise ConfigError(
                f"{table.parent}: SOPInstanceUID: expected one file a UID, got two files with the same; remove one"
            )
        if uid is not None:
            found[uid] = path
    return [found.get(value.strip()) for value in values]


def _header(path: Path | None, name: str) -> Header:
    """Return a file's header, empty where the file has none: reading its image says why."""
    if path is not None:
        with contextlib.suppress(ImageError):
            return dicom.header(path, source=name, keywords=_KEYWORDS)
    return {}


def _group(header: Header, keyword: str, secret: bytes) -> str | None:
    """Return the key of the patient, or of the study where that is asked for or the patient is not named."""
    if keyword == "PatientID" and "PatientID" in header:
        # Two hospitals may give one number to two patients.
        return _hashed("patient", f"{header.get('IssuerOfPatientID', '')}\0{header['PatientID']}", secret)
    study = header.get("StudyInstanceUID")
    return None if study is None else _hashed("study", study, secret)


def _hashed(kind: str, value: str, secret: bytes) -> str:
    return f"{kind}-{hmac.new(secret, f'{kind}:{value}'.encode(), hashlib.sha256).hexdigest()[:16]}"


def _attributes(
    header: Header, wanted: tuple[HeaderAttribute, ...], secret: bytes
) -> dict[HeaderAttribute, str | None]:
    known: Mapping[HeaderAttribute, Callable[[], str | None]] = {
        "age_band": lambda: _age_band(header.get("PatientAge")),
        "burned_in": lambda: header.get("BurnedInAnnotation"),
        "device": lambda: _device(header),
        "modality": lambda: header.get("Modality"),
        "sex": lambda: header.get("PatientSex"),
        "site": lambda: _site(header.get("InstitutionName"), secret),
        "view": lambda: header.get("ViewPosition"),
    }
    return {name: known[name]() for name in wanted}


def _age_band(age: str | None) -> str | None:
    """Return the band of an age; free text in its place is dropped, for it may say anything."""
    band = None if age is None else ages.band(age)
    return None if band == age else band


def _device(header: Header) -> str | None:
    words = [header.get(keyword) for keyword in ("Manufacturer", "ManufacturerModelName")]
    return " ".join(word for word in words if word) or None


def _site(institution: str | None, secret: bytes) -> str | None:
    return None if institution is None else _hashed("site", institution, secret)


def _reader(paths: list[Path | None], names: tuple[str, ...]) -> Callable[[int], Frame]:
    def read(index: int) -> Frame:
        path, name = paths[index], names[index]
        if path is None:
            raise ImageError(f"{name}: expected the DICOM file it names in or below the data folder, found none")
        try:
            raw = files.read_bounded(path, limit_bytes=FILE_LIMIT_BYTES, error=ImageError)
        except ImageError:
            # Its message holds the path, which may name the patient.
            raise ImageError(f"{name}: its file cannot be read, or is larger than {FILE_LIMIT_BYTES} bytes") from None
        return single(dicom.decode(raw, source=name), name)

    return read
