from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import convert
from converters.convert import Conversion, Options
from edgemed import targets
from edgemed.bundle import archive, trust
from edgemed.bundle.manifest import Description
from edgemed.errors import ConfigError
from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.runtime import backends, golden
from edgemed.training import recipe as recipes
from tests.bundle.tiny import KEY
from tests.converters.test_card import FACTS
from tests.training import blobs

pytestmark = pytest.mark.tensorflow

RECIPE = recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml")
DESCRIPTION = Description(
    name="blobs",
    task="classify",
    intended_use="Tests.",
    modalities=("US",),
    body_part="PHANTOM",
    labels=("plain", "blob"),
)


def _part(count: int, *, seed: int, where: Path) -> LabelledPlanes:
    """Return pictures that carry a patient's name in theirs, as hospitals' do."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    names = tuple(f"MUELLER-{index:03d}.png" for index in range(count))
    frames = [
        Frame(pixels=blobs.picture(rng, blob=bool(label)), source=str(where / name))
        for label, name in zip(labels, names, strict=True)
    ]
    planes = np.stack([preprocess.apply(frame, RECIPE.preprocessing) for frame in frames])
    return LabelledPlanes(planes=planes, labels=labels, names=names, read=frames.__getitem__)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Return a network that needs no training: evidence is how far a patch lies above the speckle."""
    plane = keras.Input((32, 32, 1), name="plane")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="range")(plane)
    features = layers.ReLU(6.0, name="relu")(layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(x))
    pooled = layers.GlobalAveragePooling2D(name="embedding")(features)
    evidence = layers.Conv2D(1, 1, name="evidence")(features)
    logit = layers.GlobalAveragePooling2D(name="logit")(evidence)
    made = keras.Model(plane, {"logit": logit, "evidence": evidence, "embedding": pooled})
    gains = np.linspace(0.5, 1.5, 8)
    made.get_layer("conv").set_weights([np.ones((3, 3, 1, 8)) / 9 * gains, np.linspace(-0.1, 0.3, 8) * gains])
    made.get_layer("evidence").set_weights([np.ones((1, 1, 8, 1)), np.array([-2.0])])
    return made


def _converted(model: keras.Model, where: Path, *, validation: LabelledPlanes | None = None) -> Conversion:
    return convert.convert(
        model,
        description=DESCRIPTION,
        preprocessing=RECIPE.preprocessing,
        quality=RECIPE.quality,
        train=_part(48, seed=1, where=where),
        validation=validation or _part(64, seed=2, where=where),
        fit=lambda twin: None,
        options=Options(calibration=32, operating_point="rule-out", sensitivity=0.9, margin=0.05),
        facts=FACTS,
    )


@pytest.fixture(scope="module")
def conversion(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    return _converted(model, tmp_path_factory.mktemp("images"))


def test_artifact_has_every_member_of_the_design(conversion: Conversion) -> None:
    assert sorted(conversion.members) == [
        "card.md",
        "decision.json",
        "evidence/parity.json",
        "evidence/training.json",
        *(f"golden/{number:02d}{kind}.png" for number in range(4) for kind in (".plane", "")),
        "golden/tolerance.json",
        "golden/vectors.json",
        "model/int8.tflite",
        "preprocessing.json",
    ]
    assert conversion.description.outputs == ("embedding", "evidence", "logit")
    assert conversion.description.targets == convert.cpu_targets()


def test_no_member_names_an_image_or_a_path(conversion: Conversion, tmp_path: Path) -> None:
    words = [b"MUELLER", str(tmp_path.parent.parent).encode(), str(Path(__file__).parents[2]).encode()]
    assert [name for name, raw in conversion.members.items() if any(word in raw for word in words)] == []


def test_parity_holds_and_counts_what_it_names_outside_the_bundle(conversion: Conversion) -> None:
    assert conversion.parity.passed
    assert conversion.parity.flipped == len(conversion.flipped)
    stored = msgspec.json.decode(conversion.members["evidence/parity.json"])
    assert (stored["n"], stored["n_abnormal"], stored["flipped"]) == (64, 32, len(conversion.flipped))


def test_indeterminate_zone_is_at_least_one_lsb_to_both_sides(conversion: Conversion) -> None:
    rule = conversion.rule
    interpreter = backends.load(conversion.members["model/int8.tflite"], backend="litert")
    q = interpreter.outputs["logit"].quantization
    assert q is not None
    zone, threshold = rule.indeterminate, rule.operating_point.threshold
    low, centre, high = (
        (math.log(score / (1 - score)) - rule.calibration.intercept) / rule.calibration.slope
        for score in (zone.low, threshold, zone.high)
    )
    assert min(centre - low, high - centre) >= q.scale * (1 - 1e-9)


def test_golden_vectors_replay_exactly_on_the_back_end_that_made_them(conversion: Conversion) -> None:
    raw = archive.build(conversion.description, conversion.members, version="1.0.0", release=1, private_keys=[KEY])
    bundle = trust.verify(raw, keys=[KEY.public])
    report = golden.replay(bundle, backends.load(bundle.members["model/int8.tflite"], backend="litert"))
    assert report.verdict is golden.Verdict.WITHIN
    assert {(vector.plane_gray, *vector.lsb.values(), vector.score) for vector in report.vectors} == {(0, 0, 0, 0, 0.0)}


@pytest.mark.parametrize(
    ("target", "lacks"),
    [
        ("generic-x86-64", ()),
        (
            "coral-usb",
            (
                "coral-usb needs model/edgetpu.tflite, which this release does not write; the artifact admits CPU "
                "targets only",
            ),
        ),
    ],
)
def test_target_that_needs_another_member_is_told_so(
    conversion: Conversion, target: str, lacks: tuple[str, ...]
) -> None:
    assert tuple(convert.lacking(conversion, targets.load(target))) == lacks


def test_validation_without_two_of_a_label_is_refused_before_the_work(tmp_path: Path) -> None:
    few = _part(64, seed=2, where=tmp_path)
    labels = np.zeros(64, np.int64)
    labels[5] = 1
    lone = LabelledPlanes(planes=few.planes, labels=labels, names=few.names, read=few.read)
    with pytest.raises(ConfigError) as caught:
        _converted(keras.Sequential(), tmp_path, validation=lone)
    assert str(caught.value) == (
        "validation: expected at least 2 normal and 2 abnormal images, got 63 normal and 1 abnormal; give the "
        "validation split more images"
    )
