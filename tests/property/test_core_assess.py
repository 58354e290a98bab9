"""Levels under any sequence of samples."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from remediator.core.assess import Timer, Watch, assess
from remediator.core.model import Evidence, Level, Sample, SessionGroup
from remediator.core.policy import Conditions, IdleCount, LevelRule, Policy
from tests.builders import ACCEPTED, REFUSED, make_group, make_policy, make_sample, moment
from tests.property.core_strategies import policies, probes

RANK = {Evidence.CLEAR: 0, Evidence.UNKNOWN: 1, Evidence.BREACH: 2}
POLICY = make_policy()
UNKNOWN = None

# Seconds since the sample before, and used slots of 100, or nothing known.
readings = st.lists(
    st.tuples(st.integers(1, 120), st.sampled_from([10, 50, 51, 85, 86, 90, 91, 100])),
    min_size=1,
    max_size=30,
)
holes = st.lists(st.tuples(st.integers(0, 30), st.floats(0.01, 0.99)), max_size=5)


def samples_of(taken: list[tuple[int, int]], unknown: list[tuple[int, float]]) -> list[tuple[bool, Sample]]:
    """Samples as taken, with unknown ones put in between; tells which are known."""
    at = 0.0
    samples: list[tuple[float, bool, Sample]] = []
    for index, (passed, used) in enumerate(taken):
        for position, part in unknown:
            if position == index:
                hole = at + part * passed
                samples.append((hole, False, make_sample(used=None, probe=None, at=moment(hole))))
        at += passed
        samples.append((at, True, make_sample(used=used, at=moment(at))))
    samples.sort(key=lambda one: one[0])
    return [(known, sample) for _, known, sample in samples]


def held_after(policy: Policy, samples: list[tuple[bool, Sample]], watch: Watch) -> list[frozenset[Level]]:
    """The levels held after each known sample; an unknown one must change none."""
    held = []
    for known, sample in samples:
        before = watch.held
        watch = assess(policy, watch, sample).watch
        if known:
            held.append(watch.held)
        else:
            assert watch.held == before
    return held


def first(held: list[frozenset[Level]], level: Level, *, there: bool) -> float:
    """When a level is held, or not held, for the first time."""
    return next((i for i, levels in enumerate(held) if (level in levels) is there), float("inf"))


@given(readings, holes)
def test_unknown_samples_never_make_a_level_come_earlier(
    taken: list[tuple[int, int]], unknown: list[tuple[int, float]]
) -> None:
    """Wherever they are put in, and as many as one likes."""
    without = held_after(POLICY, samples_of(taken, []), Watch())
    with_some = held_after(POLICY, samples_of(taken, unknown), Watch())
    for level in POLICY.levels:
        assert first(with_some, level, there=True) >= first(without, level, there=True)


@given(readings, holes)
def test_unknown_samples_never_make_a_level_go_earlier(
    taken: list[tuple[int, int]], unknown: list[tuple[int, float]]
) -> None:
    """Wherever they are put in, and as many as one likes."""
    watch = Watch(frozenset(POLICY.levels))
    without = held_after(POLICY, samples_of(taken, []), watch)
    with_some = held_after(POLICY, samples_of(taken, unknown), watch)
    for level in POLICY.levels:
        assert first(with_some, level, there=False) >= first(without, level, there=False)


@given(readings)
def test_a_level_is_entered_only_by_a_breach_that_lasted_without_a_break(
    taken: list[tuple[int, int]],
) -> None:
    """Judged by looking back over the samples."""
    held = held_after(POLICY, samples_of(taken, []), Watch())
    for level, rule in POLICY.levels.items():
        threshold = rule.conditions.utilization
        assert threshold is not None
        start = first(held, level, there=True)
        lasted, expected = 0, float("inf")
        for index, (passed, used) in enumerate(taken):
            breached = used / 100 > threshold
            earlier = index > 0 and taken[index - 1][1] / 100 > threshold
            lasted = (lasted + passed if earlier else 0) if breached else 0
            if breached and lasted >= rule.hold_for.total_seconds():
                expected = index
                break
        assert start == expected


@given(readings)
def test_a_level_is_left_only_by_a_clearance_that_lasted_without_a_break(
    taken: list[tuple[int, int]],
) -> None:
    """By the margin, for the whole of the clear time."""
    held = held_after(POLICY, samples_of(taken, []), Watch(frozenset(POLICY.levels)))
    for level, rule in POLICY.levels.items():
        threshold = rule.conditions.utilization
        assert threshold is not None
        clear = [used / 100 <= round(threshold - POLICY.clear.margin, 9) for _, used in taken]
        lasted, expected = 0, float("inf")
        for index, (passed, _) in enumerate(taken):
            lasted = lasted + passed if clear[index] and index and clear[index - 1] else 0
            if clear[index] and lasted >= POLICY.clear.hold_for.total_seconds():
                expected = index
                break
        assert first(held, level, there=False) == expected


@given(
    policies,
    st.integers(0, 100),
    st.integers(0, 100),
    st.integers(0, 30),
    probes,
    st.sets(st.sampled_from([Level.CRITICAL])),
)
def test_more_used_slots_never_give_lower_evidence(
    policy: Policy, one: int, other: int, idle: int, probe: object, held: set[Level]
) -> None:
    """With all else the same, held or not."""
    few, many = (
        assess(
            policy,
            Watch(frozenset(held)),
            make_sample(used=used, groups=[make_group(count=idle)], probe=probe),  # type: ignore[arg-type]
        )
        for used in sorted((one, other))
    )
    for level in policy.levels:
        assert RANK[few.evidence[level]] <= RANK[many.evidence[level]]


@given(policies, st.integers(0, 100), st.integers(0, 30), st.integers(0, 30))
def test_refusal_and_idle_sessions_never_lower_the_evidence(
    policy: Policy, used: int, some: int, more: int
) -> None:
    """Each condition can only add to it."""
    few, many = (
        assess(policy, Watch(), make_sample(used=used, groups=[make_group(count=count)], probe=probe))
        for count, probe in zip(sorted((some, more)), (ACCEPTED, REFUSED), strict=True)
    )
    for level in policy.levels:
        assert RANK[few.evidence[level]] <= RANK[many.evidence[level]]


unused_groups = st.lists(
    st.builds(
        lambda count, state, age, unused: replace(
            make_group(count=count, state=state, idle_for_at_least=age), unused=unused
        ),
        st.integers(0, 30),
        st.sampled_from(["idle", "idle in transaction", "idle in transaction (aborted)", "active"]),
        st.sampled_from([0.0, 60.0, 600.0]),
        st.booleans(),
    ),
    max_size=5,
)


@given(policies, unused_groups, unused_groups, st.sets(st.sampled_from([Level.CRITICAL])))
def test_more_sessions_of_any_kind_never_lower_the_level(
    policy: Policy, there: list[SessionGroup], more: list[SessionGroup], held: set[Level]
) -> None:
    """Never used, idle in a transaction or otherwise, with all else the same."""
    watch = Watch(frozenset(held))
    few, many = (
        assess(policy, watch, make_sample(used=50, groups=groups)) for groups in (there, [*there, *more])
    )
    assert few.level <= many.level
    for level in policy.levels:
        assert RANK[few.evidence[level]] <= RANK[many.evidence[level]]


@given(unused_groups, st.integers(1, 100), st.integers(0, 3))
def test_a_share_is_met_exactly_where_that_many_sessions_are_there(
    there: list[SessionGroup], percent: int, spread: int
) -> None:
    """Of the slots that an ordinary role can get, whatever their number."""
    usable = 100 + spread
    conditions = Conditions(
        never_used=IdleCount(timedelta(minutes=1), percent / 100),
        idle_in_transaction=IdleCount(timedelta(minutes=1), percent / 100),
    )
    policy = make_policy(levels={Level.ALERT: LevelRule(conditions)})
    old = [g for g in there if g.idle_for_at_least >= 60]
    unused = sum(g.count for g in old if g.unused and g.state == "idle")
    resting = sum(g.count for g in old if "in transaction" in g.state)
    found = assess(policy, Watch(), make_sample(used=50, usable=usable, groups=there)).findings
    assert [f.condition for f in found] == ["never_used", "idle_in_transaction"]
    assert [f.evidence is Evidence.BREACH for f in found] == [
        100 * n >= percent * usable for n in (unused, resting)
    ]


@given(st.lists(st.tuples(st.sampled_from(Evidence), st.floats(0, 100)), max_size=30))
def test_a_timer_counts_the_time_between_samples_that_agree(told: list[tuple[Evidence, float]]) -> None:
    """And nothing else, over any sequence of evidence."""
    timer, mono = Timer(), 0.0
    for evidence, passed in told:
        mono += passed
        timer = timer.tell(evidence, mono)
    expected = {Evidence.BREACH: 0.0, Evidence.CLEAR: 0.0}
    before: Evidence | None = None
    for evidence, passed in told:
        if evidence is not Evidence.UNKNOWN:
            opposite = Evidence.CLEAR if evidence is Evidence.BREACH else Evidence.BREACH
            expected[opposite] = 0.0
            expected[evidence] += passed if before is evidence else 0.0
        before = evidence
    assert abs(timer.breach - expected[Evidence.BREACH]) < 1e-6
    assert abs(timer.clear - expected[Evidence.CLEAR]) < 1e-6


@given(readings, st.integers(-(10**6), 10**6))
def test_the_wall_clock_has_no_say(taken: list[tuple[int, int]], jumped: int) -> None:
    """Only the monotonic clock has."""
    plain = samples_of(taken, [])
    odd = [
        (
            known,
            make_sample(
                used=sample.slots.used, at=moment(sample.moment.mono - 1000, jumped=jumped * (i % 2))
            ),
        )
        for i, (known, sample) in enumerate(plain)
        if sample.slots is not None
    ]
    assert held_after(POLICY, plain, Watch()) == held_after(POLICY, odd, Watch())


def test_the_policy_here_waits_for_what_it_is_meant_to_wait_for() -> None:
    """The properties above are about dwell times that are not nothing."""
    waits = [POLICY.levels[level].hold_for for level in (Level.MONITOR, Level.ALERT, Level.CRITICAL)]
    assert waits == [timedelta(0), timedelta(seconds=30), timedelta(seconds=5)]
