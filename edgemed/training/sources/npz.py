"""A MedMNIST-style npz: ``{train,val,test}_images`` and ``_labels``.

listing = npz.read(source, folder)
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConfigError
from edgemed.imaging.frame import Frame
from edgemed.training.sources.declared import MedMnist
from edgemed.training.sources.listing import Listing

__all__ = ["read"]


def read(source: MedMnist, folder: Path) -> Listing:
    """Return the images in an npz; names are ``SPLIT/ROW``.

    Raises:
        ConfigError: the file is not such an npz.
    """
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
    return Listing(
        names=names,
        values=tuple(values),
        places=tuple(f"{path}: {name}" for name in names),
        groups=names,
        splits=tuple(splits),
        read=lambda index: Frame(pixels=images[index], source=names[index]),
    )
