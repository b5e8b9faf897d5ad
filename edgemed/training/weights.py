"""Where pretrained weights are, and that they are the ones a recipe was written for.

path = weights.locate(recipe.model, data_folder)
"""

from __future__ import annotations

from pathlib import Path

from edgemed import files
from edgemed.errors import ConfigError
from edgemed.training.network import Network

__all__ = ["locate"]


def locate(model: Network, folder: Path, *, given: Path | None = None, from_scratch: bool = False) -> Path | None:
    """Return the weights to start from; None for random ones.

    Args:
        model: of the recipe; its path is relative to ``folder``, its digest is checked.
        folder: of the data set.
        given: a file named by the user, instead of the recipe's; any digest.
        from_scratch: random weights, asked for by the user.

    Raises:
        ConfigError: the folder or the file is missing, or the file is not the one the recipe names; the ways out are in
            the message.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: expected the folder of the data set, found none; check --data")
    if from_scratch:
        return None
    if given is not None:
        if not given.is_file():
            raise ConfigError(f"{given}: expected a file of weights, found none; check --pretrained")
        return given
    if model.pretrained is None:
        return None
    path = folder / model.pretrained
    if not path.is_file():
        raise ConfigError(
            f"{path}: expected the recipe's pretrained weights, found none; name them with --pretrained FILE, or start "
            "from random weights with --from-scratch"
        )
    found = files.sha256_file(path)
    if model.pretrained_sha256 is not None and found != model.pretrained_sha256:
        raise ConfigError(
            f"{path}: expected the recipe's weights {model.pretrained_sha256}, got {found}; "
            "name other weights with --pretrained FILE"
        )
    return path
