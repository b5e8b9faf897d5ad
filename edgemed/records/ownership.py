"""Whose records are: those of the folder they lie in, whoever writes them.

A store belongs to the user who screens; its owner's bundles are often installed with sudo. What root makes there would
keep that user from writing on.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["like_folder"]

_ROOT = 0


def like_folder(path: Path) -> None:
    """Give what root has made to the owner of the folder it lies in; does nothing for any other user.

    Raises:
        OSError: the file system knows no owners.
    """
    if os.geteuid() == _ROOT:
        folder = path.parent.stat()
        if folder.st_uid != _ROOT:
            os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
