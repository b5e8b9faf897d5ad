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
        model: of the recipe; its path is relative to ``folder``, its digest is checked. A run folder stands for the
            model in it.
        folder: of the data set.
        given: a file or run folder named by the user, instead of the recipe's; any digest.
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
        found = _file(given)
        if not found.is_file():
            raise ConfigError(f"{found}: expected a file of weights, found none; check --pretrained")
        return found
    if model.pretrained is None:
        return None
    path = _file(folder / model.pretrained)
    if not path.is_file():
        raise ConfigError(
            f"{path}: expected the recipe's pretrained weights, found none; name them with --pretrained FILE, or start "
            "from random weights with --from-scratch"
        )
    digest = files.sha256_file(path)
    if model.pretrained_sha256 is not None and digest != model.pretrained_sha256:
        raise ConfigError(
            f"{path}: expected the recipe's weights {model.pretrained_sha256}, got {digest}; "
            "name other weights with --pretrained FILE"
        )
    return path


def _file(path: Path) -> Path:
    """Return the model's file of a run folder, or the path as it is."""
    return path / "model.keras" if path.is_dir() else path
