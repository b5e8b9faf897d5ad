"""What the columns of a CSV of images mean, by their names; what could mean two things is refused.

source, words = columns.source_of(table, folder, Given(label="class"))
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgemed.errors import ConfigError
from edgemed.training.sources import manifest
from edgemed.training.sources.ages import ATTRIBUTE
from edgemed.training.sources.declared import DicomFolder, ManifestCsv
from edgemed.training.sources.manifest import Table

__all__ = ["UNKNOWN", "Given", "lists_images", "source_of"]

UNKNOWN = (("0",), ("1",))
"""Label values of a source that is only listed: they are not looked at."""

_PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_file")
_UIDS = ("sopinstanceuid", "sop_instance_uid", "uid")
_LABELS = ("class", "target", "diagnosis", "finding", "category", "abnormal", "malignant", "pathology")
_PATIENTS = ("patient", "patient_id", "patientid", "patient_key", "subject", "subject_id", "case", "case_id")
_SPLITS = re.compile(r"split|subset|partition|set|(.+_)split")
_ATTRIBUTES = {"age": ATTRIBUTE, ATTRIBUTE: ATTRIBUTE, "gender": "sex"} | {
    name: name
    for name in (
        "sex",
        "site",
        "hospital",
        "institution",
        "device",
        "manufacturer",
        "model",
        "scanner",
        "probe",
        "view",
        "type",
        "licence",
        "source",
    )
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the caller says, so that it need not be guessed: the form, and columns of its CSV."""

    kind: str | None = None
    label: str | None = None
    split: str | None = None
    patient: str | None = None


def lists_images(table: Table) -> bool:
    """Return whether a CSV has a column that names images."""
    return bool(_named(table, (*_PATHS, *_UIDS)))


def source_of(table: Table, folder: Path, given: Given) -> tuple[ManifestCsv | DicomFolder, tuple[str, ...]]:
    """Return the source that a CSV describes, and what its columns were taken for.

    What its label values mean is not known; the source's ``normal`` and ``abnormal`` say nothing.

    Raises:
        ConfigError: a column is missing, or several could be meant; the message says how to choose.
    """
    paths, uids = _named(table, _PATHS), _named(table, _UIDS)
    name = _only(table, paths, "file", "") if paths else _only(table, uids, "UID", "")
    labels = _named(table, ("label",)) or _named(table, _LABELS)
    label = _chosen(table, given.label) or _only(table, labels, "label", "--label")
    splits = [column for column in table.columns if _SPLITS.fullmatch(column.lower())]
    split = _chosen(table, given.split) or (_only(table, splits, "split", "--split") if splits else None)
    words = [f"{table.path.name}: {name} names the image, {label} the label, {split or 'nothing'} the split"]
    if given.kind == "dicom" or not paths or _is_dicom(folder, table.column(name)):
        words.append("patients: PatientID of the DICOM headers")
        return (
            DicomFolder(
                normal=UNKNOWN[0],
                abnormal=UNKNOWN[1],
                file=table.path.name,
                path=name if paths else None,
                uid=None if paths else name,
                label=label,
                split=split,
                attributes=("device", "sex", "age_band", "site", "view", "burned_in"),
            ),
            tuple(words),
        )
    return _manifest(table, folder, given, path=name, label=label, split=split, words=words)


def _manifest(
    table: Table, folder: Path, given: Given, *, path: str, label: str, split: str | None, words: list[str]
) -> tuple[ManifestCsv, tuple[str, ...]]:
    patients = _named(table, _PATIENTS)
    patient = _chosen(table, given.patient) or (_only(table, patients, "patient", "--patient") if patients else None)
    words.append(f"patients: {patient}" if patient else "patients: not known")
    attributes = {_ATTRIBUTES[column.lower()]: column for column in table.columns if column.lower() in _ATTRIBUTES}
    if attributes:
        words.append(f"attributes: {', '.join(attributes.values())}")
    images = _zip_of(table.column(path), folder)
    return (
        ManifestCsv(
            normal=UNKNOWN[0],
            abnormal=UNKNOWN[1],
            file=table.path.name,
            images=images,
            path=path,
            label=label,
            split=split,
            group=patient,
            attributes=attributes,
        ),
        tuple(words),
    )


def _named(table: Table, names: tuple[str, ...]) -> list[str]:
    return [column for column in table.columns if column.lower() in names]


def _chosen(table: Table, column: str | None) -> str | None:
    if column is not None:
        manifest.require_columns(table, [column])
    return column


def _only(table: Table, columns: list[str], what: str, option: str) -> str:
    """Return the only column of its kind."""
    if len(columns) == 1:
        return columns[0]
    fix = f"say which with {option} COLUMN, or" if option else ""
    got = f"{' and '.join(columns)} could all be it" if columns else f"none of {list(table.columns)} is called like it"
    raise ConfigError(f"{table.path}: expected one column of the {what}, but {got}; {fix} give a recipe with --recipe")


def _is_dicom(folder: Path, values: tuple[str, ...]) -> bool:
    """Judge by the first file that exists."""
    for value in values:
        path = folder / value
        if path.is_file():
            with path.open("rb") as stream:
                return stream.read(132)[128:] == b"DICM"
    return False


def _zip_of(values: tuple[str, ...], folder: Path) -> str | None:
    """Return the zip that holds the most images, or None where they lie in the folder."""
    held: dict[str, int] = {}
    for path in sorted(folder.glob("*.zip")) if not any((folder / value).is_file() for value in values[:1]) else ():
        try:
            with zipfile.ZipFile(path) as archive:
                held[path.name] = len(set(values).intersection(archive.namelist()))
        except zipfile.BadZipFile:
            continue
    most = max(held.values(), default=0)
    best = [name for name, count in held.items() if count == most and count]
    if len(best) > 1:
        raise ConfigError(f"{folder}: expected one zip of the images, {' and '.join(best)} hold as many; use a recipe")
    return best[0] if best else None
