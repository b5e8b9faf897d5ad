from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import schema, shipped
from edgemed.bundle import trust
from edgemed.errors import ConfigError, SignatureError
from edgemed.shipped import Sample
from tests.bundle import tiny

FIELDS = {
    "file": "a.png",
    "bundle": "chest-xray",
    "modality": "DX",
    "label": "normal",
    "attribution": "CC BY 4.0",
    "source": "test/a.png",
}


def test_two_bundles_ship() -> None:
    assert shipped.names() == ("breast-ultrasound", "chest-xray")


@pytest.mark.parametrize("name", ["breast-ultrasound", "chest-xray"])
def test_shipped_bundle_opens_with_the_demo_key_under_its_own_name(name: str) -> None:
    bundle = trust.open_bundle(shipped.bundle_path(name), keys=[shipped.demo_key()])

    assert bundle.manifest.name == name
    assert shipped.bundle_path(name).stat().st_size <= 1_500_000


def test_demo_key_opens_no_other_bundle() -> None:
    with pytest.raises(SignatureError, match=r"^signed by "):
        trust.verify(tiny.build(), keys=[shipped.demo_key()])


def test_eight_samples_ship_with_their_source() -> None:
    samples = shipped.samples()

    assert len(samples) == 8
    assert {sample.bundle for sample in samples} == set(shipped.names())
    assert all(sample.path.is_file() and "CC BY 4.0" in sample.attribution for sample in samples)


def test_unknown_name_suggests_the_near_one() -> None:
    with pytest.raises(ConfigError) as caught:
        shipped.bundle_path("chest-xrays")

    assert str(caught.value) == (
        "bundle: expected a file, or a name that ships with edgemed (breast-ultrasound, chest-xray), "
        "got 'chest-xrays'; did you mean 'chest-xray'?"
    )


@pytest.mark.parametrize("file", ["../a.png", "/a.png", "a/b.png", ".a.png", ""])
def test_sample_lies_beside_the_list(file: str) -> None:
    with pytest.raises(ConfigError, match=r"^samples\.json: file: expected `str` matching regex"):
        schema.decode_json(msgspec.json.encode({**FIELDS, "file": file}), Sample, source="samples.json")


@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), st.one_of(st.text(), st.integers(), st.none())))
def test_any_sample_is_a_value_or_a_config_error(fields: dict[str, object]) -> None:
    try:
        assert schema.decode_json(msgspec.json.encode({**FIELDS, **fields}), Sample, source="samples.json").path
    except ConfigError:
        assert fields
