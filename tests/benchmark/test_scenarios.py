from __future__ import annotations

import itertools
import sys
import threading
from pathlib import Path

import pytest

from edgemed import targets
from edgemed.benchmark import cold, measurement, scenario, stream, subject
from edgemed.benchmark.measurement import Work
from edgemed.benchmark.power import Absent
from edgemed.benchmark.scenario import Plan, Scenario
from edgemed.benchmark.subject import Opening, Subject
from edgemed.bundle import keys
from edgemed.errors import ConfigError, ImageError, InferenceError, TargetMismatchError
from edgemed.imaging.frame import Frame
from edgemed.runtime.screener import Screener
from edgemed.runtime.screening import Screening
from tests.bundle.tiny import KEY
from tests.runtime import tiny
from tests.runtime.tiny import FakeInterpreter


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "scan.png"
    path.parent.mkdir()
    path.write_bytes(tiny.png(tiny.picture()))
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Opening:
    """Return how a tiny bundle with a real model is opened."""
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "my.pub").write_bytes(keys.encode_public(KEY.public))
    document = tiny.rule(tiny.model(), out_of_distribution=tiny.limits(limit=1e6))
    (tmp_path / "tiny.edgemed").write_bytes(tiny.raw_bundle(tiny.model(), document))
    return Opening(bundle=str(tmp_path / "tiny.edgemed"), trust=(str(tmp_path / "my.pub"),))


def work(opening: Opening, image: Path, plan: Plan) -> Work:
    opened = subject.open_subject(opening)
    images = subject.images(opened.screener, image)
    return Work(subject=opened, images=images, plan=plan, opening=opening, source=Absent(reason="a test"))


def test_single_gives_a_document(bundle: Opening, image: Path) -> None:
    plan = Plan(scenario=Scenario.SINGLE, samples=50, warm_up=2)
    result = measurement.measure(work(bundle, image, plan))
    assert (result.stages["total"].n, result.warm_up.n, result.noise.n) == (50, 2, 50)
    assert (result.machine.delegate, result.machine.backend) == ("xnnpack", "litert")
    assert result.use == "xray-still"
    assert {row.stage for row in result.budget} == set(result.stages)
    assert result.energy == {"available": False, "reason": "a test"}
    assert result.inputs.source == "given"


def test_one_sample_has_figures_and_no_verdict(bundle: Opening, image: Path) -> None:
    result = measurement.measure(work(bundle, image, Plan(scenario=Scenario.SINGLE, samples=1, warm_up=0)))
    total = result.stages["total"]
    assert (total.n, total.p50, total.p50_ci95, total.p99) == (1, total.max, None, None)
    assert {row.kept for row in result.budget} == {None}


def test_throughput_goes_once_through_the_inputs(bundle: Opening, image: Path) -> None:
    (image.parent / "bad.png").write_bytes(b"hello")
    result = measurement.measure(work(bundle, image.parent, Plan(scenario=Scenario.THROUGHPUT, samples=9)))
    assert result.throughput is not None
    assert (result.throughput.frames, result.stages["total"].n, result.inputs.unreadable) == (2, 1, 1)
    assert result.budget == ()


def test_sustained_sets_the_end_against_the_beginning(bundle: Opening, image: Path) -> None:
    plan = Plan(scenario=Scenario.SUSTAINED, samples=1, warm_up=1, minutes=0.002)
    result = measurement.measure(work(bundle, image, plan))
    assert result.sustained is not None
    assert result.sustained.first.n + result.sustained.last.n <= result.stages["total"].n
    assert result.sustained.ratio > 0.0
    assert len(result.sustained.minutes) >= 2


def test_cold_starts_a_process_for_each_sample(bundle: Opening, image: Path) -> None:
    plan = Plan(scenario=Scenario.COLD, samples=1, warm_up=0)
    result = measurement.measure(work(bundle, image, plan))
    assert result.cold is not None
    one = result.cold
    times = [found.p50 for found in (one.start, one.load, one.open, one.result)]
    assert None not in times
    assert times == sorted(times, key=lambda value: value or 0.0)
    assert result.start_up is None


def test_cold_process_that_fails_is_told(image: Path) -> None:
    program = (sys.executable, "-c", "import sys; sys.exit('cold: no such bundle')")
    with pytest.raises(InferenceError) as failed:
        cold.run(Opening(bundle="x"), [image], count=1, program=program)
    assert str(failed.value) == "a process of the scenario 'cold' ended with 1: cold: no such bundle"


def streamed(image: Path, screener: Screener, *, rate_hz: float, samples: int) -> stream.Measured:
    plan = Plan(scenario=Scenario.STREAM, samples=samples, warm_up=1, rate_hz=rate_hz)
    return stream.run(screener, [image], plan=plan)


def test_stream_takes_every_frame_where_it_keeps_up(image: Path) -> None:
    taken = streamed(image, Screener(tiny.bundle(b"model"), FakeInterpreter()), rate_hz=200.0, samples=10)
    series = taken.series
    assert len(series) + series.dropped == 10
    assert len(series.ages()) == len(series.controls()) == len(series)
    assert min(series.ages()) > 0.0


def test_stall_shows_in_the_age_of_frames_and_as_drops(image: Path) -> None:
    class Stalling(Screener):
        stalled = 0

        def screen(self, frame: Frame, *, decode_ms: float = 0.0) -> Screening:
            self.stalled += 1
            if self.stalled == 4:
                threading.Event().wait(0.1)
            return super().screen(frame, decode_ms=decode_ms)

    taken = streamed(image, Stalling(tiny.bundle(b"model"), FakeInterpreter()), rate_hz=100.0, samples=25)
    # Ten frames arrive during the stall and two may wait: the others are drops.
    assert taken.series.dropped >= 5
    assert max(taken.series.ages()) >= 100.0


def test_paced_frames_arrive_by_the_rate_whatever_reading_takes(image: Path) -> None:
    now = itertools.count()
    source = stream.Paced([image], rate_hz=10.0, count=3)
    # A clock of a second a look: every frame is late, and its arrival is still when it was due.
    arrivals = list(source.arrivals(clock=lambda: float(next(now)), pause=lambda _: False))
    assert [one.arrived_s for one in arrivals] == pytest.approx([0.0, 0.1, 0.2])


def test_stream_of_unreadable_files_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"hello")
    with pytest.raises(ImageError, match=r"^--input: expected images that the bundle screens, got \d+ unreadable"):
        streamed(bad, Screener(tiny.bundle(b"model"), FakeInterpreter()), rate_hz=500.0, samples=3)


def test_unknown_scenario_is_named_with_the_near_match() -> None:
    with pytest.raises(ConfigError) as refused:
        scenario.parse("singel")
    assert str(refused.value) == (
        "--scenario: expected one of single, stream, cold, sustained, throughput, got 'singel'; did you mean 'single'?"
    )


def test_unknown_device_is_named(bundle: Opening) -> None:
    with pytest.raises(ConfigError) as refused:
        subject.open_subject(Opening(bundle=bundle.bundle, trust=bundle.trust, target="coral-ubs"))
    known = ", ".join(targets.available())
    assert str(refused.value) == f"target: expected one of {known}, got 'coral-ubs'; did you mean 'coral-usb'?"


def test_accelerator_that_does_not_compute_is_refused_unless_the_cpu_may(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "my.pub").write_bytes(keys.encode_public(KEY.public))
    raw = tiny.raw_bundle(
        tiny.model(),
        tiny.rule(tiny.model()),
        targets=("coral-usb", "generic-x86-64"),
        extra={"model/edgetpu.tflite": tiny.model()},
        outputs=("logit",),
    )
    (tmp_path / "tpu.edgemed").write_bytes(raw)
    opening = Opening(bundle=str(tmp_path / "tpu.edgemed"), trust=(str(tmp_path / "my.pub"),), target="coral-usb")
    with pytest.raises(TargetMismatchError) as refused:
        subject.open_subject(opening)
    message = str(refused.value)
    assert message.startswith("coral-usb: its accelerator does not compute here: model/edgetpu.tflite: ")
    assert message.endswith(
        "; a time of the CPU would not be the device's: measure on the device, or give --fallback to measure the CPU "
        "in its place"
    )


def test_bundle_without_samples_needs_input() -> None:
    screener = Screener(tiny.bundle(b"model", name="other"), FakeInterpreter())
    opened = Subject(screener=screener, open_ms=1.0)
    other = type("Manifest", (), {"name": "other", "modalities": ("MG",)})
    opened.screener.bundle = type("Bundle", (), {"manifest": other})  # type: ignore[assignment]  # a modality without samples
    with pytest.raises(ConfigError) as refused:
        subject.images(opened.screener, None)
    assert str(refused.value) == (
        "--input: expected images, got none, and no sample of the package has a modality of other, MG; give a file or "
        "a folder"
    )
