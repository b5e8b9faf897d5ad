"""Labelled images from disk: a manifest CSV beside an image archive, a MedMNIST-style npz, one folder a class.

Files are opened when their image is asked for. A label that the recipe does not list is an error, not a guess.

    dataset = sources.load(recipe.data.source, folder)
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed.errors import ConfigError, ImageError
from edgemed.imaging import readers
from edgemed.imaging.frame import Frame
from edgemed.schema import near_match
from edgemed.training.data import Dataset

__all__ = ["ClassFolders", "ManifestCsv", "MedMnist", "Source", "load"]

Text = Annotated[str, Meta(min_length=1, max_length=128)]


class _Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Where labelled images are, and which label values mean what; a value in neither list is refused."""

    normal: Annotated[tuple[Text, ...], Meta(min_length=1)]
    abnormal: Annotated[tuple[Text, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        if both := sorted(set(self.normal) & set(self.abnormal)):
            raise ValueError(f"normal and abnormal: both list {both}")


class ManifestCsv(_Source, frozen=True, kw_only=True, tag="manifest"):
    """A CSV with one row an image; the other attributes name its columns.

    Attributes:
        file: the CSV, inside the data folder.
        images: an uncompressed zip that the paths point into; None when they point into the data folder.
        group: column of the patient; None when patients are unknown and each image stands alone.
        group_within: columns whose values keep equal groups apart, where keys of two folders may clash.
    """

    file: Text
    images: Text | None
    path: Text
    label: Text
    split: Text
    group: Text | None
    group_within: tuple[Text, ...] = ()


class MedMnist(_Source, frozen=True, kw_only=True, tag="npz"):
    """An npz with ``{train,val,test}_images`` (n, H, W) uint8 and ``_labels`` (n, 1)."""

    file: Text


class ClassFolders(_Source, frozen=True, kw_only=True, tag="folders"):
    """``SPLIT/CLASS/image`` below the data folder; the class folder's name is the label value."""


Source: TypeAlias = ManifestCsv | MedMnist | ClassFolders


def load(source: Source, folder: Path) -> Dataset:
    """Return the labelled images of a data folder.

    Raises:
        ConfigError: the folder, its index, a column or an array is missing, or no image was found.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: expected the folder of the data set, found none; check --data")
    if isinstance(source, ManifestCsv):
        dataset = _manifest(source, folder)
    elif isinstance(source, MedMnist):
        dataset = _medmnist(source, folder)
    else:
        dataset = _class_folders(source, folder)
    if not dataset.names:
        raise ConfigError(f"{folder}: expected labelled images, found none")
    if repeated := len(dataset.names) - len(set(dataset.names)):
        raise ConfigError(f"{folder}: expected every image once, {repeated} are listed again; remove the repeated rows")
    return dataset


def _label(value: str, source: Source, where: str) -> int:
    """Return 0 for a normal and 1 for an abnormal label value."""
    if value in source.abnormal:
        return 1
    if value in source.normal:
        return 0
    known = [*source.normal, *source.abnormal]
    raise ConfigError(f"{where}: label: expected one of {known}, got {value!r}{near_match(value, known)}")


def _manifest(source: ManifestCsv, folder: Path) -> Dataset:
    path = folder / source.file
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        columns = list(reader.fieldnames or [])
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ConfigError(f"{path}: expected a CSV of labelled images, got a file that cannot be read: {err}") from err
    wanted = [source.path, source.label, source.split, *source.group_within, *([source.group] if source.group else [])]
    for column in wanted:
        if column not in columns:
            raise ConfigError(f"{path}: expected a column {column!r}, got {columns}{near_match(column, columns)}")
    for line, row in enumerate(rows, start=2):
        if empty := [column for column in wanted if not row[column]]:
            raise ConfigError(f"{path}: line {line}: expected a value for {', '.join(empty)}, got none")
    names = tuple(row[source.path] for row in rows)
    keys = [(*source.group_within, source.group) if source.group else (source.path,)] * len(rows)
    return Dataset(
        names=names,
        labels=np.array(
            [_label(row[source.label], source, f"{path}: line {line}") for line, row in enumerate(rows, start=2)],
            dtype=np.int64,
        ),
        groups=tuple("/".join(row[column] for column in key) for row, key in zip(rows, keys, strict=True)),
        splits=tuple(row[source.split] for row in rows),
        read=_zip_reader(folder / source.images, names) if source.images else _file_reader(folder, names),
    )


def _medmnist(source: MedMnist, folder: Path) -> Dataset:
    path = folder / source.file
    images: list[NDArray[np.uint8]] = []
    values: list[str] = []
    splits: list[str] = []
    try:
        # An open file: given a path, NumPy leaves it open where the archive is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            for split in ("train", "val", "test"):
                pixels, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"].reshape(-1)
                if pixels.ndim != 3 or pixels.dtype != np.uint8 or len(pixels) != len(labels) or 0 in pixels.shape[1:]:
                    raise ValueError(f"{split}_images: expected (n, H, W) uint8 and n labels, got {pixels.shape}")
                images += list(pixels)
                values += [str(value) for value in labels]
                splits += [split] * len(labels)
    # TypeError and AttributeError: np.load gives a bare array for an .npy file.
    except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zlib.error, zipfile.BadZipFile) as err:
        raise ConfigError(f"{path}: expected a MedMNIST npz, got a file that is not: {err}") from err
    names = tuple(f"{split}/{index:05d}" for index, split in enumerate(splits))
    return Dataset(
        names=names,
        labels=np.array(
            [_label(value, source, f"{path}: {name}") for name, value in zip(names, values, strict=True)],
            dtype=np.int64,
        ),
        groups=names,
        splits=tuple(splits),
        read=lambda index: Frame(pixels=images[index], source=names[index]),
    )


def _class_folders(source: ClassFolders, folder: Path) -> Dataset:
    paths = [path for path in readers.expand([folder]) if len(path.relative_to(folder).parts) >= 3]
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    return Dataset(
        names=names,
        labels=np.array([_label(name.split("/")[1], source, f"{folder}: {name}") for name in names], dtype=np.int64),
        groups=names,
        splits=tuple(name.split("/")[0] for name in names),
        read=_file_reader(folder, names),
    )


def _zip_reader(path: Path, names: tuple[str, ...]) -> Callable[[int], Frame]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as err:
        raise ConfigError(f"{path}: expected the zip of the images, got a file that is not: {err}") from err

    def read(index: int) -> Frame:
        try:
            raw = archive.read(names[index])
        # RuntimeError: encrypted; NotImplementedError: a compression this Python lacks.
        except (KeyError, OSError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as err:
            raise ImageError(f"{names[index]}: listed in the manifest, but not readable in {path.name}") from err
        return _single(readers.decode(raw, source=names[index]), names[index])

    return read


def _file_reader(folder: Path, names: tuple[str, ...]) -> Callable[[int], Frame]:
    return lambda index: _single(readers.read(folder / names[index]), names[index])


def _single(frames: Iterator[Frame], name: str) -> Frame:
    """Return the only frame: a label stands for one image, and which frame of a clip it means is not known."""
    frame = next(frames)
    if next(frames, None) is not None:
        raise ImageError(f"{name}: expected one frame for its label, got several; list the frames as images")
    return frame
