"""The state machine over a stream's scores: its four rules as properties, and each transition by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.runtime import temporal
from edgemed.runtime.decision import Zone
from edgemed.runtime.temporal import Change, Level, Observation, Step, TemporalRule

ZONE = Zone(low=0.4, high=0.6)

scores = st.floats(0.0, 1.0)
rules = st.builds(
    lambda smoothing, votes, more, minimum, cooldown, escalate, stale: TemporalRule(
        smoothing_ms=smoothing,
        votes=votes,
        window=votes + more,
        minimum_ms=minimum,
        cooldown_ms=cooldown,
        escalate_ms=escalate,
        stale_ms=stale,
    ),
    st.sampled_from((0.0, 50.0, 400.0)),
    st.integers(1, 4),
    st.integers(0, 4),
    st.sampled_from((0.0, 100.0, 1000.0)),
    st.sampled_from((0.0, 500.0)),
    st.sampled_from((None, 0.0, 300.0)),
    st.sampled_from((40.0, 200.0, 2000.0)),
)
gaps = st.sampled_from((0.0, 33.0, 100.0, 500.0))


def run(observations: Sequence[Observation], rule: TemporalRule) -> list[Step]:
    state, steps = temporal.START, []
    for observation in observations:
        steps.append(temporal.advance(state, observation, rule=rule, zone=ZONE))
        state = steps[-1].state
    return steps


def at_30_hz(values: Sequence[float | None], *, start_ms: float = 0.0) -> list[Observation]:
    return [Observation(time_ms=start_ms + 33.0 * index, score=value) for index, value in enumerate(values)]


def changes(steps: Sequence[Step]) -> list[Change]:
    return [event.change for step in steps for event in step.events]


@given(st.lists(st.tuples(gaps, st.none() | scores, scores), max_size=40), rules)
def test_higher_scores_never_give_a_lower_level(
    frames: list[tuple[float, float | None, float]], rule: TemporalRule
) -> None:
    time, lower, higher = 0.0, [], []
    for gap, score, lift in frames:
        time += gap
        lower.append(Observation(time_ms=time, score=score))
        higher.append(Observation(time_ms=time, score=None if score is None else max(score, lift)))
    for low, high in zip(run(lower, rule), run(higher, rule), strict=True):
        assert high.state.level >= low.state.level


@given(st.lists(st.tuples(gaps, st.none() | scores), max_size=60), rules)
def test_raises_are_at_least_the_minimum_apart(frames: list[tuple[float, float | None]], rule: TemporalRule) -> None:
    time, observations = 0.0, []
    for gap, score in frames:
        time += gap
        observations.append(Observation(time_ms=time, score=score))
    raised = [
        event.time_ms for step in run(observations, rule) for event in step.events if event.change is Change.RAISED
    ]
    assert all(later - earlier >= rule.minimum_ms for earlier, later in itertools.pairwise(raised))


@given(st.lists(gaps, max_size=40), rules)
def test_refused_frames_alone_never_alert(times: list[float], rule: TemporalRule) -> None:
    steps = run([Observation(time_ms=sum(times[:count]), score=None) for count in range(len(times))], rule)
    assert all(step.state.level is Level.UNJUDGED for step in steps)


@given(st.lists(scores, min_size=8, max_size=20), st.lists(st.just(None), max_size=20), rules)
def test_refused_frames_alone_never_end_an_alert(judged: list[float], refused: list[None], rule: TemporalRule) -> None:
    before = run(at_30_hz(judged), rule)
    after = run(at_30_hz([*judged, *refused]), replace_minimum(rule, 0.0))
    if (
        before[-1].state.level is Level.ALERT
        and run(at_30_hz(judged), replace_minimum(rule, 0.0))[-1].state.level is Level.ALERT
    ):
        assert after[-1].state.level is Level.ALERT


def replace_minimum(rule: TemporalRule, minimum_ms: float) -> TemporalRule:
    return msgspec.structs.replace(rule, minimum_ms=minimum_ms)


@given(st.lists(st.floats(0.41, 0.59), min_size=10, max_size=60), st.sampled_from((0.9, 0.1)))
def test_noise_inside_the_zone_changes_nothing(noise: list[float], first: float) -> None:
    rule = TemporalRule(votes=3, window=5)
    steps = run(at_30_hz([first] * 5 + noise), rule)
    alerts = [step.state.level is Level.ALERT for step in steps[4:]]
    assert set(alerts) == {first > ZONE.high}


def test_votes_raise_and_hysteresis_ends() -> None:
    rule = TemporalRule(votes=3, window=5)
    values = [0.1, 0.9, 0.9, 0.1, 0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1]
    levels = [step.state.level for step in run(at_30_hz(values), rule)]
    assert levels[:4] == [Level.UNJUDGED] * 4
    assert levels[4:10] == [Level.ALERT] * 6
    assert levels[10] is Level.CLEAR


def test_smoothing_takes_out_a_single_frame() -> None:
    rule = TemporalRule(smoothing_ms=200.0)
    assert changes(run(at_30_hz([0.1] * 10 + [1.0] + [0.1] * 10), rule)) == []
    assert changes(run(at_30_hz([0.1] * 10 + [1.0] * 10), rule)) == [Change.RAISED]


def test_minimum_holds_an_alert() -> None:
    rule = TemporalRule(minimum_ms=330.0)
    steps = run(at_30_hz([0.9] + [0.1] * 15), rule)
    assert [step.state.level for step in steps] == [Level.ALERT] * 10 + [Level.CLEAR] * 6
    assert changes(steps) == [Change.RAISED, Change.ENDED]


def test_cooldown_keeps_the_second_alert_quiet() -> None:
    rule = TemporalRule(cooldown_ms=1000.0)
    steps = run(at_30_hz([0.9, 0.1, 0.9, 0.1] + [0.1] * 40 + [0.9]), rule)
    raised = [event.notify for step in steps for event in step.events if event.change is Change.RAISED]
    assert raised == [True, False, True]


def test_acknowledged_alert_ends_quietly_and_the_next_one_is_told() -> None:
    rule = TemporalRule()
    state = temporal.advance(temporal.START, Observation(time_ms=0, score=0.9), rule=rule, zone=ZONE).state
    seen = temporal.acknowledge(state)
    assert seen == replace(state, acknowledged=True)
    ended = temporal.advance(seen, Observation(time_ms=33, score=0.1), rule=rule, zone=ZONE)
    assert [(event.change, event.notify) for event in ended.events] == [(Change.ENDED, False)]
    again = temporal.advance(ended.state, Observation(time_ms=66, score=0.9), rule=rule, zone=ZONE)
    assert [(event.change, event.notify) for event in again.events] == [(Change.RAISED, True)]
    assert temporal.acknowledge(ended.state) == ended.state


def test_lasting_doubt_is_escalated_once() -> None:
    rule = TemporalRule(escalate_ms=100.0)
    steps = run(at_30_hz([0.5] * 10 + [0.1] + [0.5] * 10), rule)
    assert changes(steps) == [Change.ESCALATED, Change.ESCALATED]
    assert [index for index, step in enumerate(steps) if step.events] == [4, 15]


def test_lost_sight_is_told_and_what_was_seen_before_counts_no_more() -> None:
    rule = TemporalRule(votes=2, window=2, stale_ms=100.0)
    steps = run(at_30_hz([0.1, 0.1, *[None] * 4, 0.1, 0.1]), rule)
    assert [step.state.level for step in steps] == [
        *[Level.CLEAR] * 5,
        Level.UNJUDGED,
        *[Level.CLEAR] * 2,
    ]
    assert changes(steps) == [Change.LOST, Change.RECOVERED]


def test_nothing_judged_from_the_start_is_told() -> None:
    assert changes(run(at_30_hz([None] * 5), TemporalRule(stale_ms=100.0))) == [Change.LOST]


def test_clock_that_jumps_back_counts_as_no_time() -> None:
    rule = TemporalRule(minimum_ms=100.0)
    observations = [Observation(time_ms=1000.0, score=0.9), Observation(time_ms=-5.0, score=0.1)]
    last = run(observations, rule)[-1].state
    assert (last.level, last.time_ms) == (Level.ALERT, 1000.0)


@pytest.mark.parametrize(
    ("make", "message"),
    {
        "time": (
            lambda: Observation(time_ms=float("nan"), score=0.1),
            "time_ms: expected a finite number, got nan",
        ),
        "score": (
            lambda: Observation(time_ms=0.0, score=1.5),
            "score: expected a number in [0, 1] or None, got 1.5",
        ),
        "votes": (lambda: TemporalRule(votes=3, window=2), "votes: expected at most window (2), got 3"),
    }.values(),
    ids=["time", "score", "votes"],
)
def test_values_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()  # type: ignore[operator]
    assert str(caught.value) == message
