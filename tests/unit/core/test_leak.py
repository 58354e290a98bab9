"""What counts as leaked: the same sessions for the culprit, the diagnosis, the page and the audit."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.assess import Watch, assess
from remediator.core.audit.client_rules import leaked_sessions
from remediator.core.audit.facts import YARDSTICK, Facts, cutoffs
from remediator.core.culprit import leaked
from remediator.core.leak import leak_age
from remediator.core.ledger import Ledger
from remediator.core.model import Level, SessionGroup
from remediator.core.owner import UNATTRIBUTED, Owner, OwnerKind
from remediator.core.policy import Policy, RestartService, Spare, Step, TerminateIdle
from remediator.core.suspicion import Suspicion
from remediator.core.turn import Turn
from remediator.render import Look, assessment_lines, assessment_record
from remediator.status.doing import Doing
from remediator.status.views import view
from tests.builders import START, make_group, make_incident, make_policy, make_sample

MINUTE = timedelta(minutes=1)
OWNERS = [Owner(OwnerKind.SERVICE, "api"), Owner(OwnerKind.SERVICE, "celery"), UNATTRIBUTED]
STATES = ["idle", "idle in transaction", "idle in transaction (aborted)", "active", "disabled", ""]
AGES = [0.0, 10.0, 60.0, 180.0, 600.0, 3600.0]
SPARE = Spare(("migrator",), ("etl_*",))
TERMINATE = TerminateIdle(10 * MINUTE)


def suspecting(older_than: timedelta) -> Policy:
    """A policy with a culprit's step."""
    suspicion = Suspicion(("api", "celery"), older_than=older_than)
    steps: list[Step] = [RestartService(name, suspicion=suspicion) for name in suspicion.among]
    return make_policy(steps=[TERMINATE, *steps], spare=SPARE)


groups = st.lists(
    st.builds(
        lambda owner, **what: replace(make_group(**what), owner=owner),
        st.sampled_from(OWNERS),
        count=st.integers(1, 30),
        user=st.sampled_from(["shop", "migrator"]),
        application=st.sampled_from(["web", "etl_nightly"]),
        state=st.sampled_from(STATES),
        idle_for_at_least=st.sampled_from(AGES),
    ),
    min_size=1,
    max_size=12,
)


@given(groups, st.sampled_from([MINUTE, 3 * MINUTE, 10 * MINUTE]), st.sampled_from([20, 60, 96]))
def test_all_who_speak_of_leaks_mean_the_same_sessions(
    held: list[SessionGroup], older_than: timedelta, used: int
) -> None:
    """Idle for as long as the policy says, in a transaction or not, and not spared; whoever is asked."""
    truth: Counter[Owner] = Counter()
    for g in held:
        spared = g.user == "migrator" or g.application == "etl_nightly"
        if g.state.startswith("idle") and g.idle_for_at_least >= older_than.total_seconds() and not spared:
            truth[g.owner] += g.count
    policy, sample = suspecting(older_than), make_sample(used=used, groups=held)
    suspicion = Suspicion(("api", "celery"), older_than=older_than)
    assert leaked(policy, suspicion, sample, make_incident(), Ledger()) == truth

    hits = leaked_sessions(Facts("shop", policy, sample, yardstick=replace(YARDSTICK, leak_count=1)))
    audited: Counter[str] = Counter()
    for hit in hits:
        audited[hit.subject] += int(hit.evidence.split()[0])
    assert audited == {o.label if o.known else "web": number for o, number in truth.items()}

    assessment = assess(policy, Watch(), sample)
    level = max(assessment.level, assessment.pending or Level.NORMAL)
    assert (assessment.diagnosis is None) == (level < Level.ALERT)
    if assessment.diagnosis is None:
        return
    text = assessment.diagnosis.text
    words = f"{truth.total()} of {sum(g.count for g in held)} sessions idle for {older_than.seconds // 60}m"
    assert text.startswith(words)
    if truth and (most := truth.most_common(1)[0])[0].known:
        assert f"{most[1]} of them of {most[0].label}" in text
    page = view("shop", policy, Turn(assessment), cast("Any", None), None, (), Doing("", "", ""), START)
    assert any(text in line for line in page.because)
    assert set(assessment.diagnosis.signs) <= set(page.because)
    assert any(text in line for line in assessment_lines("shop", Look(assessment)))
    assert assessment_record("shop", Look(assessment))["diagnosis"]["text"] == text


@pytest.mark.parametrize(
    ("policy", "calm", "pressed"),
    [
        (suspecting(3 * MINUTE), 3 * MINUTE, 3 * MINUTE),
        (make_policy(steps=[TERMINATE, RestartService("api")]), 10 * MINUTE, MINUTE),
        (make_policy(steps=[TerminateIdle(MINUTE / 2)]), MINUTE / 2, MINUTE / 2),
        (make_policy(steps=[RestartService("api")]), 10 * MINUTE, MINUTE),
    ],
)
def test_how_old_a_leaked_session_is(policy: Policy, calm: timedelta, pressed: timedelta) -> None:
    """As the policy says of a culprit; without one a minute where slots are short, else what would go."""
    ages = [leak_age(policy, level) for level in Level]
    assert ages == [calm, calm, pressed, pressed]
    assert {calm, pressed} <= set(policy.cutoffs) <= set(cutoffs(policy, ()))


def test_a_leak_in_transactions_is_ended_by_two_statements() -> None:
    """The audit's, since what is idle and what is idle in a transaction are told apart by the server."""
    held = [make_group(count=4), make_group(count=3, state="idle in transaction")]
    (hit,) = leaked_sessions(Facts("shop", suspecting(MINUTE), make_sample(used=7, groups=held)))
    assert hit.evidence.startswith("7 sessions")
    assert hit.evidence.endswith("3 of them in a transaction")
    assert [bool(re.search("state LIKE", s)) for s in hit.statements] == [False, True]
