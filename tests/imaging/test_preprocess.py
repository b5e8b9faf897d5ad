from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed import schema
from edgemed.errors import BundleError, ConfigError, EdgemedError
from edgemed.imaging import intensity, preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.imaging.steps import (
    Bilateral,
    Clahe,
    Contrast,
    CropBorder,
    Denoise,
    Equalize,
    Gaussian,
    Median,
    NonLocalMeans,
    Percentile,
    Resize,
    Sharpen,
    Step,
    Unsharp,
)

AREA = Resize(method="area", fit="stretch")
STRETCH = Contrast(method=Percentile(low_percent=0.5, high_percent=99.5))

EXACT: dict[str, tuple[Step, ...]] = {
    "crop": (CropBorder(fraction=0.06), AREA),
    "median": (Denoise(method=Median(size=3)), AREA),
    "gaussian": (Denoise(method=Gaussian(size=5, sigma=1.2)), AREA),
    "non_local_means": (Denoise(method=NonLocalMeans(strength=8.0, template=7, search=21)), AREA),
    "percentile": (STRETCH, AREA),
    "equalize": (Contrast(method=Equalize()), AREA),
    "unsharp": (Sharpen(method=Unsharp(size=5, sigma=1.0, amount=0.7)), AREA),
    "area stretch": (AREA,),
    "area letterbox": (Resize(method="area", fit="letterbox"),),
    "linear stretch": (Resize(method="linear", fit="stretch"),),
    "linear letterbox": (Resize(method="linear", fit="letterbox"),),
    "all after resize": (AREA, STRETCH, Sharpen(method=Unsharp(size=3, sigma=0.8, amount=1.5))),
}
FOLDER = Path(__file__).parent


def document(*steps: Step, height: int = 48, width: int = 40) -> Preprocessing:
    return Preprocessing(schema=1, height=height, width=width, steps=steps)


def frame(pixels: NDArray[Any], bits: int = 8) -> Frame:
    return Frame(pixels=pixels.copy(), source="test", bits=bits)


def raw(**changes: Any) -> bytes:
    tree: dict[str, Any] = {
        "schema": 1,
        "height": 48,
        "width": 40,
        "steps": [{"step": "resize", "method": "area", "fit": "stretch"}],
    }
    return json.dumps({**tree, **changes}).encode()


def test_exact_steps_give_the_same_bytes_on_every_platform() -> None:
    script = runpy.run_path(str(FOLDER / "make_preprocess_checksums.py"))
    assert script["checksums"]() == json.loads((FOLDER / "preprocess_checksums.json").read_text())


@pytest.mark.parametrize("name", EXACT)
def test_declared_exact_steps_say_so(name: str) -> None:
    assert preprocess.is_exact(document(*EXACT[name]))
    assert preprocess.tolerance_gray(document(*EXACT[name])) == 0


@pytest.mark.parametrize(
    "step",
    [
        Denoise(method=Bilateral(diameter=5, sigma_gray=20.0, sigma_space=2.0)),
        Contrast(method=Clahe(clip_limit=2.0, tiles=8)),
    ],
    ids=["bilateral", "clahe"],
)
def test_step_that_differs_between_platforms_declares_a_tolerance(step: Step) -> None:
    assert not preprocess.is_exact(document(step, AREA))
    assert preprocess.tolerance_gray(document(step, AREA)) > 0


@pytest.mark.parametrize("name", EXACT)
def test_document_survives_json_and_yaml(name: str) -> None:
    value = document(*EXACT[name])
    encoded = preprocess.encode(value)
    assert preprocess.parse(encoded) == value
    assert preprocess.encode(preprocess.parse(encoded)) == encoded
    assert schema.decode_yaml(encoded, Preprocessing, source="recipe.yaml") == value


@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    plane_shape=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    bits=st.integers(8, 16),
    name=st.sampled_from(sorted(EXACT)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_frame_ends_as_a_plane_of_its_own(
    shape: tuple[int, int], plane_shape: tuple[int, int], bits: int, name: str, seed: int
) -> None:
    kind = np.uint8 if bits == 8 else np.uint16
    source = frame(np.random.default_rng(seed).integers(0, 1 << bits, shape, dtype=kind), bits)
    before = source.pixels.copy()
    plane = preprocess.apply(source, document(*EXACT[name], height=plane_shape[0], width=plane_shape[1]))
    assert (plane.shape, plane.dtype) == (plane_shape, np.uint8)
    assert plane.flags.c_contiguous
    plane[:] = 0  # the caller's own: writable, and not the frame's
    np.testing.assert_array_equal(source.pixels, before)


def test_frame_that_fits_already_is_copied(picture: NDArray[np.uint8]) -> None:
    source = frame(picture)
    plane = preprocess.apply(source, document(AREA, height=96, width=130))
    np.testing.assert_array_equal(plane, picture)
    assert not np.shares_memory(plane, source.pixels)


def test_stretch_that_comes_first_sees_the_full_depth(rng: np.random.Generator) -> None:
    # 40 levels of 65536: the top 8 bits hold one level of them.
    deep = frame(rng.integers(1000, 1040, (48, 40), dtype=np.uint16), 16)
    stretched = preprocess.apply(deep, document(CropBorder(fraction=0.0), STRETCH, AREA))
    assert len(np.unique(stretched)) == 40
    reduced = preprocess.apply(deep, document(Denoise(method=Median(size=3)), STRETCH, AREA))
    assert len(np.unique(reduced)) <= 2


def test_deep_frame_is_cut_to_its_top_8_bits_before_other_steps(rng: np.random.Generator) -> None:
    deep = rng.integers(0, 1 << 12, (96, 130), dtype=np.uint16)
    steps = (CropBorder(fraction=0.1), Sharpen(method=Unsharp(size=3, sigma=1.0, amount=1.0)), AREA)
    expected = preprocess.apply(frame(intensity.to_8_bits(deep, bits=12)), document(*steps))
    np.testing.assert_array_equal(preprocess.apply(frame(deep, 12), document(*steps)), expected)


def test_steps_run_in_the_order_given(picture: NDArray[np.uint8]) -> None:
    sharpen = Sharpen(method=Unsharp(size=5, sigma=1.5, amount=2.0))
    first = preprocess.apply(frame(picture), document(sharpen, AREA))
    last = preprocess.apply(frame(picture), document(AREA, sharpen))
    assert (first != last).any()


REFUSED = {
    "not json": (b"{", "preprocessing.json: expected JSON, got bytes that are not: Input data was truncated"),
    "unknown key": (raw(heigth=8), "preprocessing.json: heigth: unknown key; did you mean 'height'?"),
    "schema 2": (raw(schema=2), "preprocessing.json: schema: invalid enum value 2, value 2"),
    "too large": (raw(height=1025), "preprocessing.json: height: expected `int` <= 1024, value 1025"),
    "unknown step": (
        raw(steps=[{"step": "resise"}]),
        "preprocessing.json: steps[0].step: invalid value 'resise', value 'resise'",
    ),
    "no resize": (
        raw(steps=[{"step": "crop_border", "fraction": 0.1}]),
        "preprocessing.json: steps: expected exactly one resize, got 0",
    ),
    "two resizes": (
        raw(steps=[{"step": "resize", "method": "area", "fit": "stretch"}] * 2),
        "preprocessing.json: steps: expected exactly one resize, got 2",
    ),
    "crop after resize": (
        raw(steps=[*json.loads(raw())["steps"], {"step": "crop_border", "fraction": 0.1}]),
        "preprocessing.json: steps: expected every crop_border before resize, got one after it; move it up",
    ),
    "crop of everything": (
        raw(steps=[{"step": "crop_border", "fraction": 0.5}]),
        "preprocessing.json: steps[0].fraction: expected `float` <= 0.45, value 0.5",
    ),
    "even median": (
        raw(steps=[{"step": "denoise", "method": {"kind": "median", "size": 4}}]),
        "preprocessing.json: steps[0].method.size: invalid enum value 4, value 4",
    ),
    "percentiles crossed": (
        raw(steps=[{"step": "contrast", "method": {"kind": "percentile", "low_percent": 9.0, "high_percent": 9.5}}]),
        "preprocessing.json: steps[0].method: high_percent: expected at least 1 above low_percent 9.0, got 9.5",
    ),
}


@pytest.mark.parametrize(("document", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_document_is_refused(document: bytes, message: str) -> None:
    with pytest.raises(BundleError) as refusal:
        preprocess.parse(document)
    assert str(refusal.value) == message


def test_caller_names_source_and_error_class() -> None:
    with pytest.raises(ConfigError, match=r"^recipe\.json: height: "):
        preprocess.parse(raw(height=0), source="recipe.json", error=ConfigError)


@given(st.binary(max_size=200) | st.sampled_from(sorted(EXACT)).map(lambda n: preprocess.encode(document(*EXACT[n]))))
def test_any_bytes_give_a_document_or_an_error(junk: bytes) -> None:
    try:
        value = preprocess.parse(junk)
    except EdgemedError:
        return
    assert isinstance(value, Preprocessing)


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), name=st.sampled_from(sorted(EXACT)))
def test_any_changed_byte_gives_a_document_or_an_error(place: int, byte: int, name: str) -> None:
    changed = bytearray(preprocess.encode(document(*EXACT[name])))
    changed[place % len(changed)] = byte
    try:
        value = preprocess.parse(bytes(changed))
    except EdgemedError:
        return
    assert isinstance(value, Preprocessing)


def test_documents_cannot_be_changed() -> None:
    value = document(AREA)
    with pytest.raises(AttributeError):
        value.height = 9  # type: ignore[misc]  # the point of the test
    with pytest.raises(AttributeError):
        value.steps[0].method = "linear"  # type: ignore[misc,union-attr]  # the point of the test
    assert msgspec.structs.replace(value, height=9).height == 9


def test_steps_in_a_file_are_read_as_json_or_yaml(tmp_path: Path) -> None:
    expected = Preprocessing(schema=1, height=64, width=48, steps=(CropBorder(fraction=0.04), AREA))
    as_json, as_yaml = tmp_path / "preprocessing.json", tmp_path / "steps.yaml"
    as_json.write_bytes(preprocess.encode(expected))
    as_yaml.write_text(
        "schema: 1\nheight: 64\nwidth: 48\nsteps:\n"
        "  - {step: crop_border, fraction: 0.04}  # a comment\n  - {step: resize, method: area, fit: stretch}\n"
    )
    assert preprocess.read(as_json) == preprocess.read(as_yaml) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("steps.yaml", "schema: 1\nheight: 64\n", "width: required key is missing"),
        (
            "steps.json",
            "schema: 1",
            "expected JSON, got bytes that are not: JSON is malformed: invalid character (byte 0)",
        ),
    ],
    ids=["key missing", "YAML called JSON"],
)
def test_file_that_holds_no_steps_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        preprocess.read(path)
    assert str(caught.value) == f"{path}: {message}"


def test_absent_file_of_steps_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "steps.yaml"
    with pytest.raises(ConfigError) as caught:
        preprocess.read(path)
    assert str(caught.value) == (
        f"{path}: cannot be read: No such file or directory; check the path and its permissions"
    )
