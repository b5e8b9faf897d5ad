"""The demonstration bundles and sample images inside the package.

Rules: the bundles are signed with edgemed's own demo key, whose private half is not kept; that key opens these bundles
and nothing else, unless a user trusts it on purpose. The samples carry their source and licence.

    bundle = trust.open_bundle(shipped.bundle_path("chest-xray"), keys=[shipped.demo_key()])
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import files, schema
from edgemed.bundle import keys
from edgemed.bundle.keys import PublicKey
from edgemed.errors import ConfigError

__all__ = ["Sample", "bundle_path", "demo_key", "names", "samples"]

_SUFFIX = ".edgemed"
_LIST_LIMIT_BYTES = 1 << 20

Text = Annotated[str, Meta(min_length=1)]


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sample image.

    Attributes:
        file: name beside ``samples.json``.
        bundle: shipped bundle that screens it.
        modality: DICOM Modality of the picture.
        label: what the dataset says it shows.
        attribution: authors, licence and link, as the licence asks.
        source: path of the picture inside its dataset.
    """

    file: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*\Z")]
    bundle: Text
    modality: Text
    label: Text
    attribution: Text
    source: Text

    @property
    def path(self) -> Path:
        """Where the image lies."""
        return _folder("samples") / self.file


class _SampleList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Literal[1]
    samples: tuple[Sample, ...]


def names() -> tuple[str, ...]:
    """Return the names of the shipped bundles, sorted."""
    return tuple(sorted(path.stem for path in _folder("bundles").glob(f"*{_SUFFIX}")))


def bundle_path(name: str) -> Path:
    """Return where a shipped bundle lies.

    Raises:
        ConfigError: no bundle of that name ships with the package.
    """
    if name not in (shipped := names()):
        known = ", ".join(shipped) or "none"
        hint = schema.near_match(name, list(shipped))
        raise ConfigError(f"bundle: expected a file, or a name that ships with edgemed ({known}), got {name!r}{hint}")
    return _folder("bundles") / f"{name}{_SUFFIX}"


def demo_key() -> PublicKey:
    """Return the public half of the demo key; it vouches for the shipped bundles only.

    Raises:
        ConfigError: this installation is incomplete.
    """
    return keys.read_public(_folder() / "demo.pub")


def samples() -> tuple[Sample, ...]:
    """Return the sample images, in the order of ``samples/samples.json``.

    Raises:
        ConfigError: this installation is incomplete.
    """
    path = _folder("samples") / "samples.json"
    raw = files.read_bounded(path, limit_bytes=_LIST_LIMIT_BYTES, error=ConfigError)
    return schema.decode_json(raw, _SampleList, source=str(path)).samples


def _folder(*parts: str) -> Path:
    # importlib.resources would cost every start the import of zipfile and tempfile.
    return Path(__file__).parent.joinpath(*parts)
