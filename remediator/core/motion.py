"""Conditions about where things are going: growth, churn, the time it takes to connect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from remediator.core.finding import Finding, why_unknown
from remediator.core.model import Evidence, Level, ProbeResult, Sample
from remediator.core.policy import Conditions, Rate
from remediator.core.text import duration


def motion_findings(conditions: Conditions, level: Level, sample: Sample) -> Iterator[Finding]:
    """Say what a sample and those before it mean for a level's conditions about motion.

    Too little to go by is no reason for concern: one sample after a start has no trend.
    """
    if conditions.exhausted_within is not None:
        yield _exhaustion(conditions.exhausted_within, level, sample)
    if conditions.churn is not None:
        yield _churn(conditions.churn, level, sample)
    if conditions.connect_latency is not None:
        yield _latency(conditions.connect_latency, level, sample)


def _exhaustion(within: timedelta, level: Level, sample: Sample) -> Finding:
    if sample.slots is None:
        text = f"time to exhaustion unknown: {why_unknown(sample)}"
        return Finding(level, "exhausted_within", Evidence.UNKNOWN, text)
    growth = sample.trend.growth()
    if growth is None:
        return Finding(level, "exhausted_within", Evidence.CLEAR, "no trend yet")
    if growth.exhausted_in is None:
        return Finding(level, "exhausted_within", Evidence.CLEAR, f"no steady growth ({growth})")
    text = growth.prospect
    evidence = Evidence.BREACH if growth.exhausted_in <= within.total_seconds() else Evidence.CLEAR
    return Finding(level, "exhausted_within", evidence, text)


def _churn(threshold: Rate, level: Level, sample: Sample) -> Finding:
    if sample.slots is None:
        return Finding(level, "churn", Evidence.UNKNOWN, f"churn unknown: {why_unknown(sample)}")
    churn = sample.trend.churn()
    if churn is None:
        return Finding(level, "churn", Evidence.CLEAR, "new sessions are not counted for long enough yet")
    text = f"{churn:.1f} new sessions per second"
    if churn >= threshold.per_second:
        return Finding(level, "churn", Evidence.BREACH, f"{text}, at least {threshold.per_second:g}")
    return Finding(level, "churn", Evidence.CLEAR, text)


def _latency(threshold: timedelta, level: Level, sample: Sample) -> Finding:
    probe = sample.probe
    if probe is None or probe.result is ProbeResult.UNAVAILABLE:
        why = probe.detail if probe else "no recent connect probe"
        return Finding(level, "connect_latency", Evidence.UNKNOWN, f"connect latency unknown: {why}")
    if probe.result is not ProbeResult.ACCEPTED:
        return Finding(level, "connect_latency", Evidence.CLEAR, "refused, which is a condition of its own")
    text = f"connecting takes {duration(probe.seconds)}"
    if probe.seconds >= threshold.total_seconds():
        return Finding(level, "connect_latency", Evidence.BREACH, f"{text}, at least {duration(threshold)}")
    return Finding(level, "connect_latency", Evidence.CLEAR, text)
