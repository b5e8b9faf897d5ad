"""The error tree: every class with its exit code, as the command line documents them."""

from __future__ import annotations

import inspect

import pytest

from edgemed import errors

EXIT_CODES = {
    "EdgemedError": 1,
    "MissingDependencyError": 1,
    "ConfigError": 2,
    "GateError": 3,
    "TargetMismatchError": 4,
    "ConversionError": 4,
    "BundleError": 5,
    "SignatureError": 5,
    "DigestError": 5,
    "RollbackError": 5,
    "DeviceError": 6,
    "InstallError": 7,
    "ImageError": 8,
    "InferenceError": 8,
}


@pytest.mark.parametrize("name", EXIT_CODES)
def test_class_has_its_documented_exit_code(name: str) -> None:
    assert getattr(errors, name).exit_code == EXIT_CODES[name]


def test_public_names_are_exactly_the_documented_classes() -> None:
    defined = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert defined == set(EXIT_CODES)
    assert set(errors.__all__) == {*EXIT_CODES, "printable"}


@pytest.mark.parametrize("name", EXIT_CODES)
def test_every_class_is_caught_as_edgemed_error(name: str) -> None:
    with pytest.raises(errors.EdgemedError, match=r"^what, where, what to do$"):
        raise getattr(errors, name)("what, where, what to do")


@pytest.mark.parametrize("name", ["SignatureError", "DigestError", "RollbackError"])
def test_children_of_a_refused_bundle_are_caught_as_bundle_error(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.BundleError)


def test_missing_dependency_is_also_an_import_error() -> None:
    assert issubclass(errors.MissingDependencyError, ImportError)
