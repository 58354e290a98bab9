"""From a sample to a level: conditions give evidence, evidence must last before a level changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from math import inf

from remediator.core.diagnosis import Diagnosis, diagnose
from remediator.core.finding import Finding, why_unknown
from remediator.core.idling import idling_findings
from remediator.core.model import Evidence, Level, ProbeResult, Sample
from remediator.core.motion import motion_findings
from remediator.core.policy import Conditions, LevelRule, Policy
from remediator.core.text import percent
from remediator.core.trend import NO_TREND, Trend

GUARDED_LEVELS = (Level.MONITOR, Level.ALERT, Level.CRITICAL)

# Samples further apart than twice the pace and this say nothing of the time between them: the machine slept.
_UNSEEN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Timer:
    """For how long a level's evidence has been the same, counted over known samples only.

    Attributes:
        breach: Seconds of breach since the last clear evidence.
        clear: Seconds of clear since the last breach.
        last: The newest evidence.
        mono: When it was taken.
    """

    breach: float = 0.0
    clear: float = 0.0
    last: Evidence | None = None
    mono: float = 0.0

    def tell(self, evidence: Evidence, mono: float, longest: float = inf) -> Timer:
        """Take note of the evidence of one more sample.

        Time passes only between two samples that agree: what happened around an unknown one is not
        known, so that stretch counts for nothing and ends nothing. After a stretch without any sample
        evidence begins anew.

        Args:
            evidence: What the sample says.
            mono: When it was taken.
            longest: How many seconds apart samples may be for one to bear out the other.
        """
        if mono - self.mono > longest:
            return Timer(last=evidence, mono=mono)
        passed = max(0.0, mono - self.mono) if evidence is self.last else 0.0
        match evidence:
            case Evidence.BREACH:
                return Timer(breach=self.breach + passed, last=evidence, mono=mono)
            case Evidence.CLEAR:
                return Timer(clear=self.clear + passed, last=evidence, mono=mono)
            case Evidence.UNKNOWN:
                return Timer(self.breach, self.clear, evidence, mono)


_UNTOLD = Timer()


@dataclass(frozen=True, slots=True)
class Watch:
    """What is carried from one assessment to the next: the levels held, their timers, the last readings."""

    held: frozenset[Level] = frozenset()
    timers: Mapping[Level, Timer] = field(default_factory=dict)
    trend: Trend = NO_TREND

    @property
    def level(self) -> Level:
        """The highest level held."""
        return max(self.held, default=Level.NORMAL)


@dataclass(frozen=True, slots=True)
class Assessment:
    """The judgement of one sample.

    Attributes:
        level: The level after this sample.
        previous: The level before it.
        pending: The highest level above `level` that is breached but not for long enough yet.
        evidence: Evidence per level.
        findings: Evidence per condition, in words.
        watch: To be passed to the next assessment.
        diagnosis: What kind of trouble it is; None below alert.
    """

    sample: Sample
    level: Level
    previous: Level
    pending: Level | None
    evidence: Mapping[Level, Evidence]
    findings: tuple[Finding, ...]
    watch: Watch
    diagnosis: Diagnosis | None = None

    @property
    def unknown(self) -> bool:
        """Whether the level might be another one: evidence is missing for it or for a higher one."""
        if Evidence.UNKNOWN not in self.evidence.values():
            return False
        breached = max((x for x, e in self.evidence.items() if e is Evidence.BREACH), default=Level.NORMAL)
        return any(
            e is Evidence.UNKNOWN for x, e in self.evidence.items() if x > breached and x >= self.level
        )

    def because(self, level: Level) -> str:
        """The findings that breach a level's conditions, in words."""
        return "; ".join(f.text for f in self.findings if f.level is level and f.evidence is Evidence.BREACH)


def assess(policy: Policy, watch: Watch, sample: Sample) -> Assessment:
    """Judge a sample.

    Args:
        policy: The levels with their conditions and dwell times.
        watch: What the previous assessment returned; `Watch()` at the start.
        sample: Taken with `policy.cutoffs`.
    """
    sample = replace(sample, trend=watch.trend.tell(sample))
    held = {level for level in watch.held if level in policy.levels}
    timers: dict[Level, Timer] = {}
    evidence: dict[Level, Evidence] = {}
    findings: list[Finding] = []
    longest = (_UNSEEN + 2 * max(policy.check_every.values())).total_seconds()
    for level in GUARDED_LEVELS:
        rule = policy.levels.get(level)
        if rule is None:
            continue
        found = findings_for(policy, level, sample, holding=level in watch.held)
        findings += found
        evidence[level] = any_of(found)
        timer = watch.timers.get(level, _UNTOLD).tell(evidence[level], sample.moment.mono, longest)
        timers[level] = timer
        if _enters(level, held, rule, timer):
            held.add(level)
        elif _leaves(level, held, policy, timer):
            held.discard(level)
    level = max(held, default=Level.NORMAL)
    pending = max((x for x, e in evidence.items() if e is Evidence.BREACH and x > level), default=None)
    return Assessment(
        sample=sample,
        level=level,
        previous=watch.level,
        pending=pending,
        evidence=evidence,
        findings=tuple(findings),
        watch=Watch(frozenset(held), timers, sample.trend),
        diagnosis=diagnose(policy, level if pending is None else pending, sample),
    )


def _enters(level: Level, held: set[Level], rule: LevelRule, timer: Timer) -> bool:
    return (
        level not in held and timer.last is Evidence.BREACH and timer.breach >= rule.hold_for.total_seconds()
    )


def _leaves(level: Level, held: set[Level], policy: Policy, timer: Timer) -> bool:
    return (
        level in held
        and timer.last is Evidence.CLEAR
        and timer.clear >= policy.clear.hold_for.total_seconds()
    )


def findings_for(policy: Policy, level: Level, sample: Sample, *, holding: bool) -> list[Finding]:
    """Say what a sample means for each condition of a level.

    Args:
        policy: The policy.
        level: A level that has a rule.
        sample: The sample.
        holding: The level is held, so that utilization must fall below the threshold by the
            policy's margin to be clear.
    """
    margin = policy.clear.margin if holding else 0.0
    return _findings(policy.levels[level].conditions, level, sample, margin)


def any_of(findings: list[Finding]) -> Evidence:
    """Combine the conditions of a level, which holds when any of them holds."""
    kinds = [finding.evidence for finding in findings]
    if Evidence.BREACH in kinds:
        return Evidence.BREACH
    if Evidence.UNKNOWN in kinds:
        return Evidence.UNKNOWN
    return Evidence.CLEAR


def critical_evidence(policy: Policy, sample: Sample, *, relieved: bool = False) -> Evidence:
    """Say whether a database whose critical level is held is critical still.

    It must have come below the threshold by the margin, but never further than the ladder is meant
    to bring it: at `until` nothing more is done for utilization's sake.

    Args:
        policy: The policy.
        sample: The sample.
        relieved: It had come so far. To be critical again it must exceed the threshold itself, or one
            session more or less at the margin would be taken for relief that did not last.
    """
    conditions = policy.levels[Level.CRITICAL].conditions
    margin = 0.0 if relieved else policy.clear.margin
    if conditions.utilization is not None:
        margin = min(margin, max(0.0, conditions.utilization - policy.remediate.until))
    return any_of(_findings(conditions, Level.CRITICAL, sample, margin))


def only_logins(policy: Policy, sample: Sample) -> bool:
    """Tell whether it is critical for nothing but clients that never finish logging in.

    That is so when the server refuses, but its sessions are few enough for the ladder's target: what
    holds the other slots is no session, and no session's service is to blame for it.
    """
    probe, slots = sample.probe, sample.slots
    if probe is None or probe.result is not ProbeResult.REFUSING or probe.own_limit or slots is None:
        return False
    sessions = sample.logged_in()
    if sessions.slots is None or sessions.slots.excess(policy.remediate.until):
        return False
    return critical_evidence(policy, sessions) is Evidence.CLEAR


def _findings(conditions: Conditions, level: Level, sample: Sample, margin: float) -> list[Finding]:
    found: list[Finding] = []
    if conditions.utilization is not None:
        found.append(_utilization(conditions.utilization, level, sample, margin))
    if conditions.idling:
        found += idling_findings(conditions, level, sample)
    if conditions.refusing_connections:
        found.append(_refusing(level, sample))
    if conditions.in_motion:
        found += motion_findings(conditions, level, sample)
    return found


def _utilization(threshold: float, level: Level, sample: Sample, margin: float) -> Finding:
    slots = sample.slots
    if slots is None:
        return Finding(level, "utilization", Evidence.UNKNOWN, f"utilization unknown: {why_unknown(sample)}")
    return _used(threshold, level, slots.used, slots.usable, margin)


@lru_cache(maxsize=1024)  # hardly anything changes from one look to the next
def _used(threshold: float, level: Level, used: int, usable: int, margin: float) -> Finding:
    utilization = used / usable
    text = f"{used} of {usable} usable slots used ({percent(utilization)})"
    if utilization > threshold:
        return Finding(level, "utilization", Evidence.BREACH, f"{text}, above {percent(threshold)}")
    # Rounded because the difference of two percentages is not exact: 30 % - 10 % is 19.999 %.
    if margin and utilization > round(threshold - margin, 9):
        text = f"{text}, not yet {percent(margin)} below {percent(threshold)}"
        return Finding(level, "utilization", Evidence.BREACH, text)
    return Finding(level, "utilization", Evidence.CLEAR, text)


def _refusing(level: Level, sample: Sample) -> Finding:
    probe = sample.probe
    if probe is None:
        return Finding(level, "refusing_connections", Evidence.UNKNOWN, "no recent connect probe")
    match probe.result:
        case ProbeResult.REFUSING:
            text = f"new connections are refused ({probe.detail})"
            return Finding(level, "refusing_connections", Evidence.BREACH, text)
        case ProbeResult.ACCEPTED:
            return Finding(level, "refusing_connections", Evidence.CLEAR, "new connections are accepted")
        case ProbeResult.UNAVAILABLE:
            text = f"connect probe says nothing: {probe.detail}"
            return Finding(level, "refusing_connections", Evidence.UNKNOWN, text)
