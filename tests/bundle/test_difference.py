from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgemed import files, schema
from edgemed.bundle import archive, difference, trust
from edgemed.bundle.difference import SECTIONS, Change
from edgemed.bundle.keys import PrivateKey
from edgemed.bundle.trust import Inspection
from edgemed.errors import BundleError
from tests.bundle import test_archive, tiny
from tests.runtime import tiny as screening

POINT = {
    "name": "rule-out",
    "criterion": "sensitivity >= 0.95",
    "threshold": 0.4,
    "sensitivity": 0.96,
    "sensitivity_ci95": [0.9, 0.99],
}
DECISION = {
    "version": 1,
    "active": "rule-out",
    "calibration": {"slope": 1.0, "intercept": 0.0},
    "operating_points": [POINT],
    "out_of_distribution": {"mean": "A" * 400, "limit": 2.0},
}
STEPS = [{"step": "crop_border", "fraction": 0.04}, {"step": "resize", "method": "area", "fit": "stretch"}]
TOLERANCE = {"backend": "litert", "kernels": "xnnpack", "architecture": "x86-64", "n": 9, "plane_gray": 0}


def bundle(
    *,
    model: bytes = tiny.MODEL,
    decision: dict[str, Any] = DECISION,
    steps: list[dict[str, Any]] = STEPS,
    lsb: int = 1,
    extra: dict[str, bytes] | None = None,
    version: str = "1.0.0",
    release: int = 1,
    key: PrivateKey = tiny.KEY,
    targets: tuple[str, ...] = ("generic-x86-64",),
) -> Inspection:
    entry = {**TOLERANCE, "logit_lsb": lsb, "score": 0.01 * lsb}
    members = {
        **tiny.MEMBERS,
        "model/int8.tflite": model,
        "decision.json": schema.encode_json({"model": files.sha256(model), **decision}),
        "preprocessing.json": schema.encode_json({"height": 16, "width": 16, "steps": steps}),
        "golden/tolerance.json": schema.encode_json({"reference": "litert", "entries": [entry]}),
        **(extra or {}),
    }
    raw = archive.build(tiny.described(*targets), members, version=version, release=release, private_keys=[key])
    return trust.inspect(raw)


BEFORE = bundle()


def changes(**values: Any) -> list[tuple[str, str, Any, Any, str]]:
    found = difference.compare(BEFORE, bundle(**values))
    return [(one.section, one.what, one.before, one.after, one.note) for one in found]


def point(**values: Any) -> dict[str, Any]:
    return {**DECISION, "operating_points": [{**POINT, **values}]}


def test_a_bundle_and_itself_differ_in_nothing() -> None:
    assert difference.compare(BEFORE, BEFORE) == ()


def test_identity_and_signer() -> None:
    assert changes(version="1.1.0", release=2, key=tiny.OTHER) == [
        ("identity", "version", "1.0.0", "1.1.0", ""),
        ("identity", "release", 1, 2, ""),
        *sorted(
            [
                ("signatures", "key", tiny.KEY.public.keyid, None, ""),
                ("signatures", "key", None, tiny.OTHER.public.keyid, ""),
            ],
            key=lambda change: change[2] or change[3] or "",
        ),
    ]


def test_release_that_goes_back_is_remarked() -> None:
    (change,) = difference.compare(bundle(release=2), BEFORE)

    assert (change.before, change.after) == (2, 1)
    assert change.note == "a device that has seen the first refuses the second"


def test_targets() -> None:
    assert changes(targets=("generic-aarch64", "generic-x86-64")) == [
        ("targets", "target", None, "generic-aarch64", "")
    ]


def test_threshold_says_what_it_means() -> None:
    assert changes(decision=point(threshold=0.3)) == [
        ("decision", "rule-out.threshold", 0.4, 0.3, "in force; lower: more images become alerts")
    ]
    assert changes(decision=point(threshold=0.5))[0][4] == "in force; higher: fewer images become alerts"


def test_threshold_of_other_scores_is_not_compared() -> None:
    found = changes(decision={**point(threshold=0.3), "calibration": {"slope": 2.0, "intercept": 0.0}})

    assert found == [
        ("decision", "calibration.slope", 1.0, 2.0, ""),
        ("decision", "rule-out.threshold", 0.4, 0.3, "in force; of other scores"),
    ]


def test_figures_stand_with_their_intervals() -> None:
    assert changes(decision=point(sensitivity=0.97)) == [
        ("decision", "rule-out.sensitivity", "0.9600 [0.9000, 0.9900]", "0.9700 [0.9000, 0.9900]", "")
    ]


def test_operating_point_that_is_new() -> None:
    rule_in = {"name": "rule-in", "threshold": 0.9}

    assert changes(decision={**DECISION, "operating_points": [POINT, rule_in]}) == [
        ("decision", "rule-in", None, {"threshold": 0.9}, "")
    ]


def test_encoded_arrays_are_not_printed() -> None:
    limits = {"mean": "B" * 400, "limit": 2.0}

    assert changes(decision={**DECISION, "out_of_distribution": limits}) == [
        ("decision", "out_of_distribution.mean", "values", "other values", "")
    ]


def test_steps_are_matched_by_their_kind() -> None:
    inserted = [STEPS[0], {"step": "sharpen", "amount": 1.0}, {**STEPS[1], "method": "linear"}]

    assert changes(steps=inserted) == [
        ("preprocessing", "step 2, sharpen", None, {"amount": 1.0}, ""),
        ("preprocessing", "resize.method", "area", "linear", ""),
    ]
    assert changes(steps=STEPS[1:]) == [("preprocessing", "step 1, crop_border", {"fraction": 0.04}, None, "")]


def test_tolerance_of_each_platform() -> None:
    assert changes(lsb=2) == [
        (
            "golden",
            "litert/xnnpack/x86-64",
            "1 LSB, score 0.0100, 0 grey levels on 9 images",
            "2 LSB, score 0.0200, 0 grey levels on 9 images",
            "",
        )
    ]


def test_tolerance_of_an_accelerator_stands_beside_that_of_the_processor() -> None:
    own = {**TOLERANCE, "logit_lsb": 1, "score": 0.01}
    entries = [own, {**own, "accelerated": True, "logit_lsb": 3, "score": 0.03}]
    document = schema.encode_json({"reference": "litert", "entries": entries})

    assert changes(extra={"golden/tolerance.json": document}) == [
        (
            "golden",
            "litert/xnnpack/x86-64 accelerated",
            None,
            "3 LSB, score 0.0300, 0 grey levels on 9 images",
            "",
        )
    ]


def test_golden_files_are_named_together() -> None:
    extra = {"golden/00.png": b"a", "golden/vectors.json": b"{}"}

    assert changes(extra=extra) == [("golden", "files", "values", "other values", "golden/00.png, golden/vectors.json")]


def test_figures_of_an_evaluation() -> None:
    figure = {"value": 0.91, "ci95": [0.8, 0.95]}
    own = {"model": BEFORE.manifest.members["model/int8.tflite"].sha256, "decision_version": 1}
    before, after = (
        bundle(extra={"evidence/test.json": test_archive.evaluation(**own, **values)})
        for values in ({}, {"auc": figure})
    )

    found = difference.compare(before, after)

    assert [(one.section, one.what, one.before, one.after) for one in found[:1]] == [
        ("evidence", "evidence/test.json test.AUC", "0.9000 [0.8000, 0.9500]", "0.9100 [0.8000, 0.9500]")
    ]
    assert [one.section for one in found] == ["evidence", "other files"]


def test_model_with_its_operators_and_ends() -> None:
    plain = bundle(model=screening.model())
    other = bundle(model=screening.float_model())

    found = {one.what: (one.before, one.after) for one in difference.compare(plain, other) if one.section == "model"}

    assert found["model/int8.tflite"] == tuple(
        side.manifest.members["model/int8.tflite"].sha256 for side in (plain, other)
    )
    assert found["model/int8.tflite bytes"] == (len(screening.model()), len(screening.float_model()))
    before, after = found["inputs.plane"]
    assert before.startswith("int8 (1, 16, 16, 1), scale ")
    assert after == "float32 (1, 16, 16, 1)"


MALFORMED = {
    "preprocessing.json": (
        b'{"steps":[1]}',
        "preprocessing.json: steps[0]: expected `object`, got `int`, value 1",
    ),
    "decision.json": (
        schema.encode_json({"model": BEFORE.manifest.members["model/int8.tflite"].sha256, "operating_points": 1}),
        "decision.json: operating_points: expected `array`, got `int`, value 1",
    ),
    "golden/tolerance.json": (b'{"entries":[{}]}', "golden/tolerance.json: entries[0].score: required key is missing"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_document_is_refused(name: str) -> None:
    raw, message = MALFORMED[name]

    with pytest.raises(BundleError) as caught:
        difference.compare(BEFORE, bundle(extra={name: raw}))

    assert str(caught.value) == message


def test_normal_labels_that_only_one_of_them_states_are_absent_in_the_other() -> None:
    described = msgspec.structs.replace(
        tiny.described("generic-x86-64"), labels=("normal", "a", "b"), normal_labels=("normal",)
    )
    raw = archive.build(described, BEFORE.members, version="1.0.0", release=1, private_keys=[tiny.KEY])

    found = {one.what: (one.before, one.after) for one in difference.compare(BEFORE, trust.inspect(raw))}

    assert found["normal_labels"] == (None, ("normal",))


def test_model_that_is_no_tflite_file_is_refused() -> None:
    with pytest.raises(BundleError, match=r"^model/int8\.tflite: "):
        difference.compare(bundle(model=screening.model()), BEFORE)


def test_every_change_has_a_section_and_they_come_in_order() -> None:
    found = difference.compare(
        BEFORE, bundle(version="2.0.0", lsb=3, steps=STEPS[1:], decision=point(threshold=0.1), key=tiny.OTHER)
    )

    order = [SECTIONS.index(one.section) for one in found]
    assert order == sorted(order)
    assert all(isinstance(one, Change) and one.before != one.after for one in found)
