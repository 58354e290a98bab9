"""Sessions that take a slot and do nothing, as conditions of a level."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.core.assess import Watch, assess
from remediator.core.finding import Finding
from remediator.core.model import Evidence, Level, SessionGroup
from remediator.core.policy import Conditions, IdleCount, LevelRule
from tests.builders import make_group, make_policy, make_sample

MINUTE = timedelta(minutes=1)


def unused(count: int, age: float = 60.0) -> SessionGroup:
    """Sessions that never ran a statement."""
    return replace(make_group(count=count, idle_for_at_least=age), unused=True)


def resting(count: int, age: float = 60.0, state: str = "idle in transaction") -> SessionGroup:
    """Sessions that hold a transaction open."""
    return make_group(count=count, idle_for_at_least=age, state=state)


def found(conditions: Conditions, *groups: SessionGroup, used: int | None = 30) -> Finding:
    """What a sample of 100 usable slots says about the only condition."""
    policy = make_policy(levels={Level.ALERT: LevelRule(conditions)})
    (finding,) = assess(policy, Watch(), make_sample(used=used, groups=groups)).findings
    return finding


NEVER_USED = Conditions(never_used=IdleCount(MINUTE, 20))
IN_TRANSACTION = Conditions(idle_in_transaction=IdleCount(MINUTE, 0.1))


@pytest.mark.parametrize(
    ("groups", "evidence", "text"),
    [
        ([unused(20)], "breach", "20 sessions never used and idle for 1m or longer, at least 20"),
        ([unused(8), unused(12, 600.0)], "breach", "20 sessions never used and idle for 1m or longer"),
        ([unused(19), make_group(count=9)], "clear", "19 sessions never used and idle for 1m or longer"),
        ([unused(40, age=10.0)], "clear", "0 sessions never used"),
    ],
    ids=["enough", "of all ages", "others were used", "just opened"],
)
def test_sessions_never_used(groups: list[SessionGroup], evidence: str, text: str) -> None:
    """What a pool has opened a moment ago does not count yet."""
    finding = found(NEVER_USED, *groups)
    assert (finding.condition, finding.evidence) == ("never_used", Evidence(evidence))
    assert text in finding.text


@pytest.mark.parametrize(
    ("groups", "evidence"),
    [
        ([resting(10)], "breach"),
        ([resting(4), resting(6, 600.0, "idle in transaction (aborted)")], "breach"),
        ([resting(9), make_group(count=50), make_group(count=9, state="active")], "clear"),
        ([resting(40, age=10.0)], "clear"),
    ],
    ids=["a tenth", "aborted ones", "others are idle or busy", "between two statements"],
)
def test_sessions_idle_in_a_transaction(groups: list[SessionGroup], evidence: str) -> None:
    """As a share of the usable slots; a transaction that goes on in a moment does not count."""
    finding = found(IN_TRANSACTION, *groups)
    assert (finding.condition, finding.evidence) == ("idle_in_transaction", Evidence(evidence))
    told = "10 sessions idle in a transaction for 1m or longer, at least 10 (10% of the usable slots)"
    assert (finding.text == told) is (evidence == "breach")


@pytest.mark.parametrize("conditions", [NEVER_USED, IN_TRANSACTION])
def test_what_cannot_be_read_is_unknown(conditions: Conditions) -> None:
    """And neither triggers nor clears anything."""
    assert found(conditions, used=None).evidence is Evidence.UNKNOWN


def test_samples_count_by_the_ages_that_conditions_ask_for() -> None:
    """Or the counts would be too low."""
    ages = [timedelta(minutes=n) for n in (7, 8, 9)]
    idle, never, within = (IdleCount(age, 5) for age in ages)
    conditions = Conditions(idle=idle, never_used=never, idle_in_transaction=within)
    assert set(ages) <= set(make_policy(levels={Level.ALERT: LevelRule(conditions)}).cutoffs)


@pytest.mark.parametrize(("usable", "least"), [(100, 10), (97, 10), (3, 1), (1, 1)])
def test_a_share_is_rounded_up(usable: int, least: int) -> None:
    """And is one session at least."""
    assert IdleCount(MINUTE, 0.1).least(usable) == least
