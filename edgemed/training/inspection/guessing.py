"""Find out by looking how a data folder is organised; what is guessed is said, what is ambiguous is refused.

described = guessing.guess(Path("chest_xray_224"), Given(split="folder_split"))
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgemed.errors import ConfigError
from edgemed.imaging import readers
from edgemed.schema import near_match
from edgemed.training import sources
from edgemed.training.inspection import columns
from edgemed.training.inspection.columns import UNKNOWN, Given
from edgemed.training.inspection.described import Described
from edgemed.training.sources import ClassFolders, DicomFolder, MedMnist, Source, manifest

__all__ = ["KINDS", "guess", "roles"]

KINDS = ("manifest", "npz", "folders", "dicom")
"""The forms, as the caller names them."""

_ROLES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "holdout"),
}
_MOST_LABELS = 64


def guess(path: Path, given: Given) -> Described:
    """Return the images of a folder, of a CSV or of an npz, read as it looks.

    Raises:
        ConfigError: nothing to read, or more than one way to read it; the message says how to choose.
    """
    form, file = _form(path, given)
    folder = path if path.is_dir() else path.parent
    source: Source
    words: Sequence[str]
    if form == "npz":
        source, words = MedMnist(file=file, normal=UNKNOWN[0], abnormal=UNKNOWN[1]), [f"{file}: MedMNIST arrays"]
    elif form == "folders":
        source, words = ClassFolders(normal=UNKNOWN[0], abnormal=UNKNOWN[1]), ["folders: SPLIT/CLASS/image"]
    else:
        source, words = columns.source_of(manifest.read_table(folder / file), folder, given)
    listing = sources.read(source, folder)
    values = sorted(set(listing.values))
    if len(values) > _MOST_LABELS:
        raise ConfigError(
            f"{path}: label: expected up to {_MOST_LABELS} values, got {len(values)}; name its column with --label"
        )
    return Described(
        form="dicom" if isinstance(source, DicomFolder) else form,
        listing=listing,
        meaning={value: value for value in values},
        label_names=tuple(values),
        roles=roles(listing.splits),
        patients_known=sources.patients_known(source),
        assumed=tuple(words),
    )


def roles(splits: tuple[str, ...]) -> Mapping[str, str]:
    """Return the split value of train, validation and test, as far as one value is called like it."""
    present = sorted(set(splits))
    found = {role: [split for split in present if split.lower() in names] for role, names in _ROLES.items()}
    return {role: called[0] for role, called in found.items() if len(called) == 1}


def _form(path: Path, given: Given) -> tuple[str, str]:
    """Return the form and the name of the file that tells the labels."""
    if given.kind is not None and given.kind not in KINDS:
        hint = near_match(given.kind, list(KINDS))
        raise ConfigError(f"--source: expected one of {', '.join(KINDS)}, got {given.kind!r}{hint}")
    if path.is_file():
        forms = {".npz": "npz", ".csv": "manifest"}
        if path.suffix.lower() not in forms:
            raise ConfigError(f"{path}: expected a folder, a .csv or a .npz, got another file; give the data folder")
        found = [(forms[path.suffix.lower()], path.name)]
    elif path.is_dir():
        found = _forms_in(path)
    else:
        raise ConfigError(f"{path}: expected the folder of the data set, found none; check the path")
    if given.kind is not None:
        # Whether a CSV speaks of DICOM files shows in its columns.
        wanted = "manifest" if given.kind == "dicom" else given.kind
        found = [(given.kind, file) for form, file in found if form == wanted]
    elif any(file for _, file in found):
        # Class folders beside a CSV or an npz hold the images that it lists.
        found = [one for one in found if one[1]]
    if not found:
        raise ConfigError(
            f"{path}: expected a manifest CSV, an npz, folders SPLIT/CLASS/image, or DICOM files with a CSV, found "
            "none; write a recipe that says where labels are, and give it with --recipe"
        )
    if len(found) > 1:
        listed = ", ".join(file or form for form, file in found)
        raise ConfigError(f"{path}: expected one data set, found {listed}; give the path of one of the files")
    return found[0]


def _forms_in(folder: Path) -> list[tuple[str, str]]:
    found = [("npz", file.name) for file in sorted(folder.glob("*.npz")) if _is_medmnist(file)]
    for file in sorted(folder.glob("*.csv")):
        if columns.lists_images(manifest.read_table(file)):
            found.append(("manifest", file.name))
    if any(_class_level(path, folder) for path in readers.expand([folder])):
        found.append(("folders", ""))
    return found


def _class_level(path: Path, folder: Path) -> bool:
    return len(path.relative_to(folder).parts) == 3


def _is_medmnist(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "train_images.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
