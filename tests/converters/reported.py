"""A report with every part, made up: what the page and the table are tested with."""

from __future__ import annotations

import numpy as np

from converters import report
from converters.calibration import Proof
from converters.mode import Mode
from converters.parity import Area, Areas, McNemar, Parity, Part, Point, Share
from converters.report import coverage, environment, fidelity, latency
from converters.report.pairing import By
from converters.report.plots import Paired
from edgemed.runtime.golden import Entry, Tolerance
from edgemed.runtime.interpreter import Kernels


def areas() -> Areas:
    return Areas(
        of_float=Area(value=0.98, ci95=(0.96, 0.99)),
        converted=Area(value=0.979, ci95=(0.959, 0.989)),
        difference=Area(value=-0.001, ci95=(-0.003, 0.001)),
    )


def point(sensitivity: int) -> Point:
    return Point(
        threshold=0.4,
        sensitivity=Share(count=sensitivity, n=100, value=sensitivity / 100, ci95=(0.88, 0.98)),
        specificity=Share(count=45, n=50, value=0.9, ci95=(0.79, 0.96)),
    )


def parity(*, passed: bool = True) -> Parity:
    return Parity(
        schema=2,
        split="validation",
        mode=Mode.QAT,
        operating=Part(n=150, n_abnormal=100, n_groups=120),
        gate=Part(n=150, n_abnormal=100, n_groups=118),
        areas=areas(),
        margin=0.01 if passed else 0.002,
        promised=0.95,
        point_float=point(95),
        point_converted=point(94),
        mcnemar=McNemar(only_float=2, only_converted=1, p_value=1.0),
        significance=0.05,
        flipped=3,
        to_alert=1,
        to_clear=2,
        whole=areas(),
        passed=passed,
    )


def layer(name: str, own: float | None, gathered: float | None) -> fidelity.LayerError:
    return fidelity.LayerError(
        layer=name,
        operator="CONV_2D",
        tensor=f"model/{name}_1/convolution",
        matched_by=By.GRAPH,
        shape=(1, 8, 8, 4),
        scale=0.02,
        zero_point=-128,
        snr_db=gathered,
        own_snr_db=own,
        rms_float=1.0,
        rms_error=0.05,
        own_rms_error=0.0 if own is None else 0.02,
        cosine=0.998,
        saturated=0.25,
        clipped=0.001,
    )


def tensor(index: int, name: str, *, constant: bool = False, scales: int = 1) -> coverage.TensorLine:
    return coverage.TensorLine(
        index=index,
        name=name,
        dtype="int8",
        shape=(4, 3, 3, 1) if constant else (1, 8, 8, 4),
        is_constant=constant,
        size_bytes=36 if constant else 0,
        scales=scales,
        scale_low=0.01,
        scale_high=0.01 if scales == 1 else 0.04,
        zero_low=0,
        zero_high=0,
    )


def covered() -> coverage.Coverage:
    return coverage.Coverage(
        operators={"ADD": 1, "CONV_2D": 2, "MEAN": 1, "MUL": 1, "RELU": 1},
        integer_operators=6,
        all_operators=6,
        float_tensors=(),
        tensor_types={"int8": 3},
        multiply_adds=12_345_678,
        parameter_bytes={"int32": 16, "int8": 36},
        kernels_per_channel=1,
        kernels_per_tensor=0,
        kernels_unquantized=0,
        requantized=0,
        quantized=0,
        dequantized=0,
        suspicions=(
            coverage.Suspicion(tensor="k", trouble=coverage.Trouble.ZERO_CHANNELS, detail="1 of 4, the first at 2"),
        ),
        tensors=(tensor(0, "plane"), tensor(1, "k", constant=True, scales=4), tensor(2, "out")),
        steps=(coverage.OperatorLine(index=0, operator="CONV_2D", inputs=(0, 1), outputs=(2,), is_integer=True),),
    )


def timing(factor: float) -> latency.Timing:
    samples = tuple(factor * (1 + i % 10 / 10) for i in range(40))
    return latency.Timing(
        p50_ms=1.45 * factor, p90_ms=1.8 * factor, p99_ms=1.9 * factor, max_ms=1.9 * factor, samples_ms=samples
    )


def made(*, passed: bool = True, name: str = "chest") -> report.Report:
    return report.Report(
        name=name,
        mode=Mode.QAT,
        targets=("coral-usb", "raspberry-pi-5"),
        parameters=571_009,
        seconds=212.4,
        peak_memory_mib=1830.2,
        float_bytes=2_200_000,
        converted_bytes=800_000,
        coverage=covered(),
        calibration=report.CalibrationSet(
            name="train, 512 of 4594", size=512, digest="sha256:" + "ab" * 32, proof=proof()
        ),
        training=report.Training(images=4594, epochs=3, learning_rate=1e-5),
        parity=parity(passed=passed),
        tolerance=Tolerance(
            schema=1,
            reference="litert/xnnpack/x86_64",
            entries=tuple(
                Entry(
                    backend="litert",
                    kernels=kernels,
                    architecture="x86-64",
                    n=150,
                    plane_gray=0,
                    logit_lsb=lsb,
                    score=lsb / 100,
                )
                for kernels, lsb in ((Kernels.XNNPACK, 0), (Kernels.REFERENCE, 3))
            ),
        ),
        fidelity=fidelity.Fidelity(
            against="the trained twin without quantization",
            planes=64,
            seed=1,
            layers=(layer("thin", 21.4, 9.8), layer("late", 35.0, 12.0), layer("pool", None, 12.0)),
            unmatched=(
                fidelity.Unmatched(layer="extra", operator="TANH", tensor="model/extra_1/Tanh", shape=(1, 8, 8, 4)),
            ),
        ),
        latency=latency.Latency(runs=40, warm_up=5, threads=1, of_float=timing(4.0), converted=timing(1.0)),
        environment=environment.Environment(
            system="Linux 6.1",
            architecture="x86_64",
            cpu="Some CPU",
            cores=2,
            memory_mib=8000,
            versions={"keras": "3.15", "python": "3.11"},
        ),
    )


def proof() -> Proof:
    return Proof(
        calibration="train, 512 of 4594",
        size=512,
        digest="sha256:" + "ab" * 32,
        activations=53,
        differing=41,
        largest_ratio=7.5,
        tensor="model/out",
    )


def paired(count: int = 60) -> Paired:
    """Return answers of which exactly one image lies between the thresholds."""
    rng = np.random.default_rng(1)
    labels = np.arange(count) % 2
    of_float = np.where(labels == 1, 2.0, -2.0) + rng.uniform(-0.5, 0.5, count)
    of_float[0] = 0.05
    converted = of_float - 0.1
    return Paired(
        labels=labels,
        logits_float=of_float,
        logits_converted=converted,
        scores_float=1 / (1 + np.exp(-of_float)),
        scores_converted=1 / (1 + np.exp(-converted)),
        threshold_float=0.0,
        threshold_converted=0.0,
    )
