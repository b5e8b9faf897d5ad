"""The errors edgemed raises for the world's faults, each with the exit code of its class.

Rules: a message says what was got, what was expected, where, and what to do; a fact that a caller may branch
on is an attribute; no message carries patient data. A caller's own mistake stays a ``TypeError`` or ``ValueError``.

    try:
        bundle = trust.open_bundle(path, keys=keys)
    except errors.BundleError as error:
        print(error, error.exit_code)
"""

from __future__ import annotations

__all__ = [
    "BundleError",
    "ConfigError",
    "ConversionError",
    "DeviceError",
    "DigestError",
    "EdgemedError",
    "GateError",
    "ImageError",
    "InferenceError",
    "InstallError",
    "MissingDependencyError",
    "RollbackError",
    "SignatureError",
    "TargetMismatchError",
    "printable",
]


class EdgemedError(Exception):
    """Anything edgemed refuses; ``exit_code`` is what the command line ends with."""

    exit_code: int = 1


class ConfigError(EdgemedError):
    """A YAML, recipe or manifest value is missing, mistyped or out of range."""

    exit_code = 2


class GateError(EdgemedError):
    """Parity, accuracy, budget or regression lies outside its limit."""

    exit_code = 3


class TargetMismatchError(EdgemedError):
    """No member of the bundle admits this target."""

    exit_code = 4


class ConversionError(EdgemedError):
    """Unsupported operator, model not fully int8, or the compiler refused."""

    exit_code = 4


class BundleError(EdgemedError):
    """The bundle is not what a bundle must be."""

    exit_code = 5


class SignatureError(BundleError):
    """A signature is absent, invalid, or by a key that is not trusted."""


class DigestError(BundleError):
    """A member's bytes differ from the digest that was signed."""


class RollbackError(BundleError):
    """The release counter lies below the floor of the store."""


class DeviceError(EdgemedError):
    """The device is unreachable, busy, too small, or reads back something else."""

    exit_code = 6


class InstallError(EdgemedError):
    """The health check failed; the previous bundle is active again."""

    exit_code = 7


class ImageError(EdgemedError):
    """Pixels cannot be read or have no defined meaning."""

    exit_code = 8


class InferenceError(EdgemedError):
    """A tensor does not match its specification, or the back end failed."""

    exit_code = 8


class MissingDependencyError(EdgemedError, ImportError):
    """A library of an optional extra is absent; the message names the extra to install."""


def printable(line: str) -> str:
    """Return text with line breaks and control characters written as escapes: one line, whatever it quotes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
