"""Labelled images from disk, and their division into train, validation and test.

Readers: a manifest CSV beside an image archive, a MedMNIST-style npz, and one folder a class. Files are opened when
their image is asked for. Groups (patients, near-duplicates) never lie on both sides of train and validation, and known
patients never on both sides of train and test. A label that the recipe does not list is an error, not a guess.

    dataset = data.load(recipe.data.source, folder)
    division = data.divide(dataset, recipe.data.splits, seed=recipe.fit.seed)
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeAlias

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed.errors import ConfigError, ImageError
from edgemed.imaging import preprocess, readers
from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.schema import near_match

__all__ = [
    "ClassFolders",
    "Dataset",
    "Division",
    "ManifestCsv",
    "MedMnist",
    "Source",
    "Splits",
    "digest",
    "divide",
    "labelled_planes",
    "load",
    "near_duplicate_groups",
    "test_indices",
]

Text = Annotated[str, Meta(min_length=1, max_length=128)]

_THUMBNAIL_PX = 28
_BLOCK = 1024


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


class Splits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which split values mean what.

    Attributes:
        train, test: values of the source's split.
        validation: likewise; None cuts ``validation_fraction`` of the train groups instead.
        near_duplicate_correlation: images whose 28x28 thumbnails correlate above it form one group; None for off.
    """

    train: Text
    validation: Text | None
    test: Text
    validation_fraction: Annotated[float, Meta(gt=0.0, le=0.5)] | None = None
    near_duplicate_correlation: Annotated[float, Meta(gt=0.5, lt=1.0)] | None = None

    def __post_init__(self) -> None:
        if (self.validation is None) == (self.validation_fraction is None):
            raise ValueError("expected either validation or validation_fraction, not both and not neither")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images, read on demand.

    Attributes:
        names: one a image, unique within the data set.
        labels: (n,) int64, 0 normal and 1 abnormal.
        groups: images of one group belong to one patient or show nearly the same.
        splits: the source's own split value of each image.
        read: gives the frame of image i; ImageError when it cannot be read.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    read: Callable[[int], Frame]

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """Indices into a data set, (n,) int64 each, sorted; ``moved`` images went to validation with their group."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    moved: int

    def named(self, split: str) -> NDArray[np.int64]:
        """Return the indices of ``train``, ``validation`` or ``test``.

        Raises:
            ConfigError: another name.
        """
        known = {"train": self.train, "validation": self.validation, "test": self.test}
        if split not in known:
            raise ConfigError(
                f"split: expected one of {', '.join(known)}, got {split!r}{near_match(split, list(known))}"
            )
        return known[split]


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
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ConfigError(f"{path}: expected a CSV of labelled images, got a file that cannot be read: {err}") from err
    columns = list(rows[0]) if rows else []
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
        with np.load(path, allow_pickle=False) as arrays:
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


def labelled_planes(
    dataset: Dataset,
    indices: NDArray[np.int64],
    preprocessing: preprocess.Preprocessing,
    *,
    progress: Callable[[], None] = lambda: None,
) -> LabelledPlanes:
    """Return the images at ``indices`` as input planes with their labels.

    Raises:
        ImageError: an image cannot be read; it is named.
    """
    stack = np.empty((len(indices), preprocessing.height, preprocessing.width), dtype=np.uint8)
    for row, index in enumerate(indices):
        stack[row] = preprocess.apply(dataset.read(int(index)), preprocessing)
        progress()
    return LabelledPlanes(
        planes=stack,
        labels=dataset.labels[indices],
        names=tuple(dataset.names[index] for index in indices),
        read=lambda row: dataset.read(int(indices[row])),
    )


def digest(part: LabelledPlanes) -> str:
    """Return the digest of names, labels and planes, in order: equal digests, equal training input."""
    state = hashlib.sha256()
    for name, label in zip(part.names, part.labels, strict=True):
        state.update(os.fsencode(f"{name}\t{label}\n"))
    state.update(part.planes.tobytes())
    return "sha256:" + state.hexdigest()


def divide(dataset: Dataset, splits: Splits, *, seed: int) -> Division:
    """Return train, validation and test; no group lies in both train and validation.

    A given validation split pulls every train image of its groups over. A cut one takes whole groups of train in a
    seeded order, per label, until the asked share of each label is reached. Test images are never looked at.

    Raises:
        ConfigError: train or validation has fewer than two images of a label, or a patient lies in test as well.
    """
    values = np.array(dataset.splits)
    pool = np.flatnonzero(np.isin(values, [splits.train, *([splits.validation] if splits.validation else [])]))
    _require_both_labels(dataset.labels[pool], "train and validation")
    _require_apart(dataset, pool, values == splits.test)
    if splits.near_duplicate_correlation is not None:
        dataset = replace(dataset, groups=near_duplicate_groups(dataset, pool, limit=splits.near_duplicate_correlation))
    groups = np.array(dataset.groups)
    if splits.validation is not None:
        given = values == splits.validation
        chosen = set(groups[given])
    else:
        assert splits.validation_fraction is not None
        given = np.zeros(len(values), dtype=bool)
        chosen = _cut(groups, dataset.labels, pool, splits.validation_fraction, np.random.default_rng(seed))
    in_validation = np.isin(groups, sorted(chosen)) & np.isin(np.arange(len(values)), pool)
    division = Division(
        train=pool[~in_validation[pool]],
        validation=pool[in_validation[pool]],
        test=np.flatnonzero(values == splits.test),
        moved=int(np.count_nonzero(in_validation & ~given)) if splits.validation else 0,
    )
    for name in ("train", "validation"):
        _require_both_labels(dataset.labels[division.named(name)], name)
    return division


def _cut(
    groups: NDArray[np.str_], labels: NDArray[np.int64], pool: NDArray[np.int64], share: float, rng: np.random.Generator
) -> set[str]:
    """Return groups that hold about ``share`` of each label's images."""
    chosen: set[str] = set()
    for label in (0, 1):
        members = pool[labels[pool] == label]
        names, counts = np.unique(groups[members], return_counts=True)
        # Groups of both labels may have come over already.
        taken = int(np.isin(groups[members], sorted(chosen)).sum())
        for position in rng.permutation(len(names)):
            if taken >= share * len(members):
                break
            if str(names[position]) in chosen:
                continue
            chosen.add(str(names[position]))
            taken += int(counts[position])
    return chosen


def _require_both_labels(labels: NDArray[np.int64], name: str) -> None:
    abnormal = int(labels.sum())
    if min(abnormal, len(labels) - abnormal) < 2:  # an AUC has no variance below
        raise ConfigError(
            f"{name} split: expected two normal and two abnormal images at least, got {len(labels) - abnormal} normal "
            f"and {abnormal} abnormal; check the recipe's label and split columns"
        )


def _require_apart(dataset: Dataset, pool: NDArray[np.int64], test: NDArray[np.bool_]) -> None:
    """Refuse a data set whose test split shares a patient with train or validation: its figures would flatter."""
    groups = np.array(dataset.groups)
    if shared := set(groups[pool]) & set(groups[test]):
        raise ConfigError(
            f"test split: {len(shared)} patients lie in train or validation as well; correct the split column, or name "
            "group_within where equal keys of two folders mean different patients"
        )


def test_indices(dataset: Dataset, splits: Splits) -> NDArray[np.int64]:
    """Return the indices of the test split, sorted, without a look at any other image.

    Raises:
        ConfigError: the split is empty.
    """
    indices = np.flatnonzero(np.array(dataset.splits) == splits.test)
    if len(indices) == 0:
        known = sorted(set(dataset.splits))
        raise ConfigError(f"test split: expected images of {splits.test!r}, found none; the data set has {known}")
    return indices


def near_duplicate_groups(dataset: Dataset, indices: NDArray[np.int64], *, limit: float) -> tuple[str, ...]:
    """Return groups in which images at ``indices`` with nearly equal thumbnails were joined.

    Args:
        dataset: its groups are kept together.
        indices: images to compare; the others keep their group.
        limit: Pearson correlation of 28x28 area-averaged thumbnails above which two images are joined.

    Returns:
        One group an image of the data set; a joined group carries its smallest member's name.
    """
    thumbnails = np.stack([_thumbnail(dataset.read(int(index))) for index in indices])
    parent = {group: group for group in dataset.groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for first, second in _pairs_above(thumbnails, limit):
        a, b = sorted((root(dataset.groups[indices[first]]), root(dataset.groups[indices[second]])))
        parent[b] = a
    return tuple(root(group) for group in dataset.groups)


def _pairs_above(vectors: NDArray[np.float32], limit: float) -> Iterator[tuple[int, int]]:
    """Yield (i, j), i < j, of vectors of length 1 whose product exceeds the limit; memory grows with n, not n * n."""
    for start in range(0, len(vectors), _BLOCK):
        products = vectors[start : start + _BLOCK] @ vectors[start:].T
        for row, column in np.argwhere(products > limit):
            if column > row:
                yield start + int(row), start + int(column)


def _thumbnail(frame: Frame) -> NDArray[np.float32]:
    """Return the frame at 28x28 as a vector of mean 0 and length 1."""
    small = cv2.resize(frame.pixels, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    vector = small.astype(np.float32).reshape(-1)
    vector -= vector.mean()
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
