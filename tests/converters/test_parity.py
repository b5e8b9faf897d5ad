from __future__ import annotations

import msgspec
import pytest

from converters import parity
from converters.mode import Mode
from converters.parity import Area, Areas, Flip, McNemar, Parity, Part, Point, Share
from edgemed import statistics
from edgemed.errors import GateError


def share(count: int, n: int) -> Share:
    found = statistics.wilson(count, n)
    return Share(count=count, n=n, value=found.value, ci95=found.ci95)


def area(value: float, low: float, high: float) -> Area:
    return Area(value=value, ci95=(low, high))


AREAS = Areas(of_float=area(0.95, 0.9, 0.98), converted=area(0.948, 0.89, 0.97), difference=area(-0.002, -0.008, 0.004))
PARITY = Parity(
    schema=2,
    split="validation",
    mode=Mode.QAT,
    operating=Part(n=120, n_abnormal=60, n_groups=40),
    gate=Part(n=100, n_abnormal=50, n_groups=None),
    areas=AREAS,
    margin=0.01,
    promised=0.95,
    point_float=Point(threshold=0.4, sensitivity=share(48, 50), specificity=share(45, 50)),
    point_converted=Point(threshold=0.41, sensitivity=share(47, 50), specificity=share(44, 50)),
    mcnemar=McNemar(only_float=3, only_converted=1, p_value=0.625),
    significance=0.05,
    flipped=4,
    to_alert=1,
    to_clear=3,
    whole=AREAS,
    passed=True,
)


def changed(**changes: object) -> Parity:
    """Return the passing figures with some of them worse, judged anew."""
    worse = msgspec.structs.replace(PARITY, **changes)
    return msgspec.structs.replace(worse, passed=not parity.failures(worse))


def test_figures_inside_every_limit_pass() -> None:
    assert parity.failures(PARITY) == ()
    parity.require(PARITY)


LOST_AREA = Areas(of_float=AREAS.of_float, converted=area(0.9, 0.8, 0.95), difference=area(-0.05, -0.08, -0.02))
LOST_CASES = Point(threshold=0.41, sensitivity=share(35, 50), specificity=share(50, 50))


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        pytest.param(
            {"areas": LOST_AREA},
            "AUC qat minus float -0.0500 [-0.0800, -0.0200], expected a lower end above -0.01",
            id="area",
        ),
        pytest.param(
            {"point_converted": LOST_CASES},
            "sensitivity at the threshold 0.700 [0.562, 0.809], 35 of 50 (float 0.960 [0.865, 0.989], 48 of 50), "
            "expected an interval that reaches 0.95",
            id="sensitivity",
        ),
        pytest.param(
            {"mcnemar": McNemar(only_float=12, only_converted=2, p_value=0.0129)},
            "12 images decided rightly by float alone and 2 by qat alone, McNemar p 0.0129, expected 0.05 or more",
            id="decisions",
        ),
    ],
)
def test_each_broken_rule_is_said_with_its_figures(worse: dict[str, object], words: str) -> None:
    found = changed(**worse)
    assert parity.failures(found) == (words,)
    assert not found.passed


def test_specificity_that_is_promised_must_be_kept_instead() -> None:
    lost = Point(threshold=0.41, sensitivity=share(50, 50), specificity=share(35, 50))
    found = changed(promise="specificity", promised=0.95, point_converted=lost)
    assert parity.failures(found) == (
        "specificity at the threshold 0.700 [0.562, 0.809], 35 of 50 (float 0.900 [0.786, 0.957], 45 of 50), expected "
        "an interval that reaches 0.95",
    )


def test_balanced_point_promises_nothing() -> None:
    assert parity.failures(changed(promised=None, point_converted=LOST_CASES)) == ()


@pytest.mark.parametrize(
    "unharmed",
    [
        pytest.param({"areas": msgspec.structs.replace(AREAS, difference=area(-0.004, -0.00999, 0.0))}, id="area"),
        pytest.param(
            # 44 of 50 is 0.88 with an interval up to 0.944; 45 reaches 0.957.
            {"point_converted": msgspec.structs.replace(LOST_CASES, sensitivity=share(45, 50))},
            id="sensitivity",
        ),
        pytest.param({"mcnemar": McNemar(only_float=2, only_converted=12, p_value=0.0129)}, id="better decisions"),
        pytest.param({"mcnemar": McNemar(only_float=12, only_converted=4, p_value=0.0768)}, id="chance"),
    ],
)
def test_what_lies_inside_a_limit_is_not_refused(unharmed: dict[str, object]) -> None:
    assert parity.failures(changed(**unharmed)) == ()


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param({"areas": msgspec.structs.replace(AREAS, difference=area(-0.004, -0.01, 0.0))}, id="area"),
        pytest.param(
            {"point_converted": msgspec.structs.replace(LOST_CASES, sensitivity=share(44, 50))}, id="sensitivity"
        ),
        pytest.param({"mcnemar": McNemar(only_float=12, only_converted=3, p_value=0.0352)}, id="decisions"),
    ],
)
def test_what_lies_at_or_beyond_a_limit_is(limit: dict[str, object]) -> None:
    assert len(parity.failures(changed(**limit))) == 1


def test_refusal_has_every_figure_and_carries_the_flipped_images() -> None:
    found = changed(areas=LOST_AREA, point_converted=LOST_CASES)
    flip = Flip(name="7.png", abnormal=True, score_float=0.6, score_converted=0.3, alert=False)
    with pytest.raises(parity.ParityError) as caught:
        parity.require(found, [flip])
    assert str(caught.value) == (
        "parity: AUC qat minus float -0.0500 [-0.0800, -0.0200], expected a lower end above -0.01; sensitivity at the "
        "threshold 0.700 [0.562, 0.809], 35 of 50 (float 0.960 [0.865, 0.989], 48 of 50), expected an interval that "
        "reaches 0.95. On the gate part, 100 of 220 validation images, 50 abnormal: AUC float 0.9500 [0.9000, 0.9800], "
        "qat 0.9000 [0.8000, 0.9500]; 4 decisions flipped. Train the quantized model longer, or validate on more images"
    )
    assert caught.value.parity == found
    assert caught.value.flips == (flip,)
    assert isinstance(caught.value, GateError)


@pytest.mark.parametrize(
    ("mode", "advice"),
    [
        (Mode.PTQ, "Convert with --mode qat, or validate on more images"),
        (Mode.FLOAT16, "Convert with --mode float32, or validate on more images"),
        (Mode.FLOAT32, "Check the preprocessing and the outputs of the model, or validate on more images"),
    ],
)
def test_advice_fits_the_mode(mode: Mode, advice: str) -> None:
    with pytest.raises(parity.ParityError) as caught:
        parity.require(changed(areas=LOST_AREA, mode=mode))
    assert str(caught.value).endswith(f"decisions flipped. {advice}")


def test_document_reads_back_and_names_no_image() -> None:
    raw = msgspec.json.encode(PARITY)
    assert msgspec.json.decode(raw, type=Parity) == PARITY
    assert set(msgspec.json.decode(raw)) == set(Parity.__struct_fields__)
