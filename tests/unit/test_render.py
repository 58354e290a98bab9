"""What people and programs get to read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from remediator import render
from remediator.core.assess import Assessment, Watch, assess
from remediator.core.budgets import standing
from remediator.core.course import held_by
from remediator.core.ledger import Ledger, Lock, Pause, Result
from remediator.core.maintenance import Window
from remediator.core.model import (
    Level,
    Mode,
    Probe,
    ProbeResult,
    Sample,
)
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import (
    Act,
    Hold,
    Objection,
    Plan,
    RestartReplica,
    StepPlan,
    TerminateSession,
)
from remediator.core.policy import Backoff, Conditions, LevelRule, Rate, RestartService
from remediator.core.server import Counters, Holder
from remediator.core.trouble import Trouble, TroubleKind
from remediator.cycle.fields import unknown_because
from remediator.status.words import step_holds
from tests.builders import (
    ACCEPTED,
    REFUSED,
    START,
    STEPS,
    make_entry,
    make_group,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_session,
    moment,
)

POLICY = make_policy()
WRONG = "the restart of shop-celery-1 was refuted"


def judged(sample: Sample) -> Assessment:
    """What one sample alone shows."""
    return assess(POLICY, Watch(), sample)


CALM = judged(make_sample(used=10))
MONITOR = judged(make_sample(used=30))
ALERT = judged(make_sample(used=60))
CRITICAL = judged(make_sample(used=96, probe=REFUSED))
UNKNOWN = judged(make_sample(used=None, probe=None))
REFUSING = judged(make_sample(used=None, probe=REFUSED))
HALF_KNOWN = judged(make_sample(used=30, probe=None))
CASES = {
    "normal": CALM,
    "monitor": MONITOR,
    "alert": ALERT,
    "critical": CRITICAL,
    "unknown": UNKNOWN,
}


@pytest.mark.parametrize(("verdict", "assessment"), CASES.items())
def test_the_verdict_is_what_one_sample_shows(verdict: str, assessment: Assessment) -> None:
    """Without dwell times: who asks now wants to know about now."""
    assert render.verdict(assessment) == verdict
    assert render.assessment_record("shop", render.Look(assessment))["level"] == verdict
    assert next(iter(render.assessment_lines("shop", render.Look(assessment)))) == f"shop: {verdict}"


def test_a_known_critical_is_critical_whatever_else_is_unknown() -> None:
    """A server that refuses everybody cannot be read, and that is reason enough."""
    assert render.verdict(REFUSING) == "critical"
    assert not render.shown_unknown(REFUSING)


def test_a_level_that_might_be_higher_is_unknown() -> None:
    """Missing evidence never looks healthy."""
    assert render.verdict(HALF_KNOWN) == "unknown"
    assert render.reasons(HALF_KNOWN) == ["no recent connect probe"]


@pytest.mark.parametrize(
    ("assessment", "reason"),
    [
        (CALM, "10 of 100 usable slots used (10%)"),
        (MONITOR, "30 of 100 usable slots used (30%), above 20%"),
        (ALERT, "60 of 100 usable slots used (60%), above 50%"),
        (CRITICAL, "96 of 100 usable slots used (96%), above 90%"),
        (UNKNOWN, "the server cannot be read: no route to host"),
    ],
)
def test_the_first_reason_is_the_most_telling(assessment: Assessment, reason: str) -> None:
    """No reason is told twice."""
    reasons = render.reasons(assessment)
    assert reasons[0] == reason
    assert len(reasons) == len(set(reasons))


def test_a_server_that_is_down_is_one_line() -> None:
    """It leaves every condition unknown, all for the one reason that somebody has to read at night."""
    down = Trouble(TroubleKind.UNREACHABLE, "Connection refused")
    probe = Probe(ProbeResult.UNAVAILABLE, detail="Connection refused")
    assessment = judged(replace(make_sample(used=None, probe=probe), trouble=down))
    assert len({f.text for f in assessment.findings}) > 2
    assert render.reasons(assessment) == ["the server cannot be read: Connection refused"]
    assert unknown_because(assessment) == "the server cannot be read: Connection refused"


def test_an_assessment_as_json_holds_all_figures() -> None:
    """Slots, probe, sessions by group, and each condition with its evidence."""
    groups = (make_group(count=80), make_group(count=16, state="active", idle_for_at_least=0.0))
    record = render.assessment_record(
        "shop", render.Look(judged(make_sample(used=96, groups=groups, probe=REFUSED)))
    )
    assert json.loads(json.dumps(record)) == record
    assert record["slots"] == {
        "used": 96,
        "usable": 100,
        "free": 4,
        "utilization": 0.96,
        "max_connections": 103,
        "superuser_reserved": 3,
        "reserved": 0,
    }
    assert record["probe"]["result"] == "refusing"
    assert record["probe"]["sqlstate"] == "53300"
    assert [group["count"] for group in record["sessions"]] == [80, 16]
    assert {c["level"] for c in record["conditions"]} == {"monitor", "alert", "critical"}
    assert {c["evidence"] for c in record["conditions"]} == {"breach"}
    assert record["trouble"] is None


def test_an_assessment_without_a_reading_tells_the_trouble() -> None:
    """In a form that a program can switch on."""
    record = render.assessment_record("shop", render.Look(UNKNOWN))
    assert record["slots"] is None
    assert record["probe"] is None
    assert record["trouble"] == {"kind": "unreachable", "detail": "no route to host"}


def test_an_assessment_for_a_person_counts_sessions_by_application() -> None:
    """The biggest holder first; a session without a name shows its user."""
    groups = (
        make_group(count=5, application=""),
        make_group(count=30, address="10.0.0.1"),
        make_group(count=40, address="10.0.0.2"),
        make_group(count=1, application="psql", state=""),
    )
    lines = list(render.assessment_lines("shop", render.Look(judged(make_sample(used=76, groups=groups)))))
    assert "  24 free of 100 usable slots (103 less 3 reserved)" in lines
    assert [line.split() for line in lines[-3:]] == [
        ["70", "celery", "idle"],
        ["5", "shop", "idle"],
        ["1", "psql", "unknown"],
    ]


def test_an_assessment_as_json_has_the_servers_counters_and_the_diagnosis() -> None:
    """For whoever wants to see where things are going."""
    groups = (replace(make_group(count=90), unused=True), make_group(count=6, state="active"))
    sample = replace(make_sample(groups=groups), recent=7, counters=Counters(9, 1, 2, 3))
    record = render.assessment_record("shop", render.Look(judged(sample)))
    assert record["begun_within_a_minute"] == 7
    assert record["counters"] == {"begun": 9, "abandoned": 1, "fatal": 2, "killed": 3}
    assert record["diagnosis"]["kind"] == "leak"
    assert "90 never used" in record["diagnosis"]["text"]
    assert "90 never ran a statement" in record["diagnosis"]["signs"][0]
    assert record["trend"] is None
    lines = list(render.assessment_lines("shop", render.Look(judged(sample))))
    assert any(line.startswith("  looks like a leak: 90 of 96") for line in lines)


def test_an_assessment_as_json_has_the_trend() -> None:
    """Growth, churn and how sessions ended, over the readings that there are."""
    counted = [
        replace(make_sample(used=60 + n, at=moment(n * 10)), counters=Counters(50 * n, n, 0, 2 * n))
        for n in range(7)
    ]
    watch = Watch()
    for sample in counted[:-1]:
        watch = assess(make_policy(), watch, sample).watch
    record = render.assessment_record("shop", render.Look(assess(make_policy(), watch, counted[-1])))
    assert record["trend"] == {
        "seconds": 60.0,
        "growth": 6.0,
        "exhausted_in": 340.0,
        "churn": 5.0,
        "ended": {"abandoned": 6, "fatal": 0, "killed": 12},
    }


def test_an_assessment_says_whose_the_sessions_are_where_any_of_it_is_known() -> None:
    """In columns, so that the culprit can be seen at a glance."""
    api, gone = Owner(OwnerKind.SERVICE, "api"), Owner(OwnerKind.ORPHAN, "celery_worker")
    groups = (
        replace(make_group(count=40), owner=api),
        replace(make_group(count=3), owner=gone),
        make_group(count=2, application="psql"),
    )
    lines = list(render.assessment_lines("shop", render.Look(judged(make_sample(used=45, groups=groups)))))
    assert lines[-4:] == [
        "  sessions  whose                     client  state",
        "        40  api                       celery  idle",
        "         3  orphans of celery_worker  celery  idle",
        "         2  unattributed              psql    idle",
    ]


@pytest.mark.parametrize(("mode", "words"), [(Mode.DRY_RUN, " (dry run)"), (Mode.ENFORCE, " (enforcing)")])
def test_the_first_line_says_whether_anything_is_done(mode: Mode, words: str) -> None:
    """Of a check and of a plan."""
    first, *_ = render.assessment_lines("shop", render.Look(CALM), mode)
    assert first == f"shop: normal{words}"
    first, *_ = render.plan_lines("shop", CRITICAL, _plan(), every=False, mode=mode)
    assert first == f"shop: critical{words}; if critical were confirmed now:"


@pytest.mark.parametrize("ours", [True, False])
def test_who_has_the_right_to_act_is_said(ours: bool) -> None:
    """With all that is known: a session of our role and name may be that of another config's daemon."""
    holder = Holder(63, "remediator", "remediator", "10.0.0.9", START, ours=ours)
    assert (
        "  session 63 (role remediator, application remediator, from 10.0.0.9, "
        "since 2030-01-01 00:00:00 UTC) has the right to act"
    ) in list(render.assessment_lines("shop", render.Look(CALM, holder=holder)))


def test_growth_is_told_once() -> None:
    """Where it is the reason, or by itself; and a full server has no time left to tell."""
    soon = Conditions(exhausted_within=timedelta(hours=1))
    policy = make_policy(levels={Level.CRITICAL: LevelRule(soon)})
    found = judged(make_sample(used=10))
    for n in range(10):
        found = assess(
            policy, found.watch if n else Watch(), make_sample(used=10 + 10 * n, at=moment(n * 10))
        )
        assert len(_of_growth(found)) == (n > 2)
        (alone,) = _of_growth(replace(found, findings=())) or [""]
        assert ("no slot left in" in alone) == (2 < n < 9), "the time that is left stands there, too"
    (full,) = _of_growth(found)
    assert "if this goes on" not in full
    assert len(_of_growth(replace(found, findings=()))) == 1


def _of_growth(assessment: Assessment) -> list[str]:
    return [
        line
        for line in render.assessment_lines("shop", render.Look(assessment))
        if "sessions per minute" in line
    ]


def test_limits_none_of_which_is_used_are_one_line() -> None:
    """In a plan; used ones are listed."""
    calm = standing("shop", make_policy(), Ledger(), START)
    lines = list(render.plan_lines("shop", CRITICAL, _plan(), calm, every=False))
    assert lines[-1] == "  in force now: nothing, and no limit is used; `history` lists them"
    spent = standing("shop", make_policy(), Ledger((make_entry(result=Result.CONFIRMED),)), START)
    lines = list(render.plan_lines("shop", CRITICAL, _plan(), spent, every=False))
    assert "  in force now:" in lines
    assert "    terminate: 1 used, limit 500 per 1h, the oldest stops counting in 1h" in lines


def test_several_reasons_of_a_step_share_their_detail() -> None:
    """It is not said again with each of them."""
    held = (Objection.NO_CULPRIT, Objection.SERVICE_LOCKED)
    step = StepPlan(0, STEPS[1], (), held, "no session is leaked; shop-celery-1 was restarted: it exited")
    line = list(render.plan_lines("shop", CRITICAL, Plan((step,)), every=False))[3]
    words = ", ".join(objection.meaning for objection in held)
    assert line == f"    no: {words} (no session is leaked; shop-celery-1 was restarted: it exited)"


def test_why_a_whole_step_is_held_is_said_once() -> None:
    """Not again for each replica; what holds only one of them is."""
    held = (Objection.NOT_CULPRIT,)
    step = StepPlan(
        0,
        STEPS[1],
        (
            Hold(RestartReplica(make_replica()), held, "held by api"),
            Hold(RestartReplica(make_replica(number=2)), (Objection.NOT_RUNNING, *held), "it is paused"),
        ),
        held,
        "held by api",
    )
    lines = list(render.plan_lines("shop", CRITICAL, Plan((step,)), every=False))
    assert lines[3:] == [
        "    no: another service holds the leaked slots (held by api)",
        "    hold  restart shop-celery-1, stop timeout 10s",
        (
            "    hold  restart shop-celery-2, stop timeout 10s: is not running; left as it is, another "
            "service holds the leaked slots (it is paused)"
        ),
    ]


def test_why_addresses_do_not_tell_whose_the_sessions_are_is_said() -> None:
    """Where patterns are all there is; for JSON it has a key of its own."""
    sample = replace(make_sample(used=45), untold="the way is not known")
    lines = list(render.assessment_lines("shop", render.Look(judged(sample))))
    assert "  sessions are told by the config's patterns only: the way is not known" in lines
    assert render.assessment_record("shop", render.Look(judged(sample)))["untold"] == "the way is not known"
    assert render.assessment_record("shop", render.Look(CALM))["untold"] is None


def _plan() -> Plan:
    terminate = (
        Act(TerminateSession(make_session(pid=1)), "idle for 20m, longer than 10m"),
        Hold(TerminateSession(make_session(pid=2, address=None)), (Objection.ENOUGH,), "target 50%"),
        Hold(TerminateSession(make_session(pid=3, application="")), (Objection.ACTIVE, Objection.LISTENING)),
        Hold(TerminateSession(make_session(pid=4)), (Objection.ACTIVE, Objection.LISTENING)),
    )
    celery = make_replica(stop_timeout=timedelta(seconds=90))
    restart = (
        Act(RestartReplica(celery), "step 2: restart celery"),
        Hold(RestartReplica(make_replica(number=2)), (Objection.NOT_RUNNING,), "it is paused"),
    )
    return Plan(
        steps=(
            StepPlan(0, STEPS[0], terminate),
            StepPlan(1, STEPS[1], restart, conditional=True),
            StepPlan(2, STEPS[2], objections=(Objection.NOT_FOUND,)),
            StepPlan(3, STEPS[2], objections=(Objection.UNREADABLE,), detail="no answer"),
        )
    )


def test_a_plan_for_a_person() -> None:
    """Sessions by number and application, unless all are asked for; every replica by name."""
    assert list(render.plan_lines("shop", CRITICAL, _plan(), every=False)) == [
        "shop: critical; if critical were confirmed now:",
        "  96 of 100 usable slots used (96%), above 90%",
        "  step 1: terminate sessions idle for 10m or longer",
        "    act   terminate 1 session of celery, user shop, idle for 20m",
        "    spare 2 sessions: is not idle, listens for notifications",
        "    spare 1 session: the target is reached without it (target 50%)",
        "  step 2: restart celery (only if critical still)",
        "    act   restart shop-celery-1, stop timeout 1m 30s: step 2: restart celery",
        "    hold  restart shop-celery-2, stop timeout 10s: is not running; left as it is (it is paused)",
        "  step 3: restart api",
        "    no: no container carries these labels",
        "  step 4: restart api",
        "    no: sessions or containers cannot be read (no answer)",
    ]
    every = list(render.plan_lines("shop", CRITICAL, _plan(), every=True))
    assert (
        "    hold  terminate session 2 (celery), user shop, from local: the target is reached without it"
        " (target 50%)"
    ) in every
    assert "    hold  terminate session 3 (shop), user shop, from 172.18.0.5: is not idle, listens for" in (
        "\n".join(every)
    )
    assert not [line for line in every if "spare" in line]
    assert (
        "    act   terminate session 1 (celery), user shop, from 172.18.0.5: idle for 20m, longer than 10m"
    ) in every


def test_a_plan_that_is_stopped_says_why() -> None:
    """Before anything else."""
    objections = (Objection.PAUSED, Objection.LOCKED)
    plan = Plan.stopped(objections, ("until resumed: me", "3 rounds"), relieved=False)
    assert list(render.plan_lines("shop", CALM, plan, every=False))[1:] == [
        "  nothing would be done: paused by an operator",
        "    until resumed: me",
        "  nothing would be done: locked after failed rounds until `remediator ack`",
        "    3 rounds",
    ]


def test_a_plan_says_one_reason_once() -> None:
    """It is why the database is not known, why nothing would be done, and why the step cannot be taken."""
    said = "host db, port 5432: the server does not answer"
    trouble = Trouble(TroubleKind.UNREACHABLE, said)
    unread = judged(replace(make_sample(used=None, probe=None), trouble=trouble))
    step = StepPlan(0, STEPS[0], objections=(Objection.UNREADABLE,), detail=said)
    plan = Plan((step,), (Objection.UNKNOWN_EVIDENCE,), said)
    assert list(render.plan_lines("shop", unread, plan, every=False)) == [
        "shop: unknown; if critical were confirmed now:",
        f"  the server cannot be read: {said}",
        "  nothing would be done: the state of the database is not known",
        "  step 1: terminate sessions idle for 10m or longer",
        "    no: sessions or containers cannot be read",
    ]
    assert step_holds(step, said) == ["sessions or containers cannot be read"]
    assert step_holds(step) == [f"sessions or containers cannot be read ({said})"]


def test_a_plan_names_the_incident_that_is_open() -> None:
    """Nothing is assumed then; and where more is known than a command can see is said."""
    incident, elsewhere = make_incident(), "the daemon may see more"
    lines = render.plan_lines("shop", CRITICAL, _plan(), every=False, incident=incident, elsewhere=elsewhere)
    assert list(lines)[:3] == [
        "shop: critical; incident i1 is open since 2030-01-01 00:00:00 UTC, next in it:",
        "  96 of 100 usable slots used (96%), above 90%",
        "  the daemon may see more",
    ]
    record = render.plan_record("shop", CRITICAL, _plan(), incident=incident)
    assert record["incident"] == {"id": "i1", "opened_at": "2030-01-01T00:00:00+00:00"}
    assert record["because"][0] == "96 of 100 usable slots used (96%), above 90%"


def test_a_plan_as_json_names_each_session_and_replica() -> None:
    """To the session and the container, with the decision and why."""
    record = render.plan_record("shop", CRITICAL, _plan())
    assert json.loads(json.dumps(record)) == record
    first, second, third, _ = record["steps"]
    assert [p["decision"] for p in first["proposals"]] == ["act", "hold", "hold", "hold"]
    assert first["proposals"][0] == {
        "decision": "act",
        "action": "terminate",
        "pid": 1,
        "backend_start": "2029-12-31T22:00:00+00:00",
        "user": "shop",
        "application": "celery",
        "address": "172.18.0.5",
        "state": "idle",
        "owner": {"kind": "unattributed", "name": ""},
        "idle_for": 1200.0,
        "because": "idle for 20m, longer than 10m",
    }
    assert first["proposals"][2]["objections"] == ["active", "listening"]
    assert second["if_still_critical"] is True
    assert second["proposals"][0]["stop_timeout"] == 90.0
    assert second["proposals"][1]["detail"] == "it is paused"
    assert third["objections"] == ["not_found"]


def test_an_incident_for_a_person() -> None:
    """One line for it, then what was done in it, alike things counted together."""
    replica = make_replica()
    entries = [
        make_entry(id=1, result=Result.CONFIRMED),
        make_entry(id=2, result=Result.CONFIRMED),
        make_entry(id=3),
        make_entry(id=4, action=TerminateSession(make_session(application="")), result=Result.CHANGED),
        make_entry(id=5, action=RestartReplica(replica), result=Result.REFUTED),
    ]
    now = START + timedelta(minutes=3)
    lines = list(render.history_lines(make_incident(), entries, Mode.ENFORCE, now))
    assert lines == [
        "2030-01-01 00:00:00 UTC  enforce  open for 3m, working",
        "  i1: 96 of 100 usable slots used",
        "      2  terminate celery: confirmed",
        "      1  terminate celery: open",
        "      1  terminate shop: changed",
        "      1  00:00:00 restart shop-celery-1: refuted",
    ]


@pytest.mark.parametrize(
    ("mode", "relieved", "closed", "standing"),
    [
        (Mode.ENFORCE, 10, None, "open for 3m, relieved without our help after 10s"),
        (Mode.ENFORCE, 10, 90, "closed after 1m 30s, relieved without our help after 10s"),
        (Mode.ENFORCE, None, 90, "closed after 1m 30s"),
        (Mode.DRY_RUN, 10, None, "open for 3m, no longer critical after 10s"),
        (Mode.DRY_RUN, 10, 90, "closed after 1m 30s, no longer critical after 10s"),
    ],
)
def test_how_an_incident_stands(mode: Mode, relieved: int | None, closed: int | None, standing: str) -> None:
    """Of a dry run not who brought relief."""
    incident = make_incident(
        relieved_at=None if relieved is None else START + timedelta(seconds=relieved),
        closed_at=None if closed is None else START + timedelta(seconds=closed),
    )
    first, _ = render.history_lines(incident, [], mode, START + timedelta(minutes=3))
    assert first == f"2030-01-01 00:00:00 UTC  {mode}  {standing}"


@pytest.mark.parametrize(
    ("results", "stands"),
    [
        ([Result.CONFIRMED], "relieved after 10s"),
        ([Result.UNCONFIRMED], "relieved after 10s"),
        ([Result.CHANGED, Result.DROPPED, Result.DENIED], "relieved without our help after 10s"),
        ([Result.REFUTED], f"no longer critical after 10s, but {WRONG}"),
        ([Result.DENIED, Result.REFUTED], f"no longer critical after 10s, but {WRONG}"),
        ([Result.CONFIRMED, Result.REFUTED], f"relieved after 10s, but {WRONG}"),
        ([Result.REFUTED, Result.DENIED], f"no longer critical after 10s, but {WRONG}"),
        ([Result.REFUTED, Result.CONFIRMED], "relieved after 10s"),
    ],
)
def test_relief_is_claimed_only_for_what_may_have_brought_it(results: list[Result], stands: str) -> None:
    """Of a replica that was restarted several times, the last one that was done counts."""
    incident = make_incident(
        relieved_at=START + timedelta(seconds=10), closed_at=START + timedelta(seconds=90)
    )
    restart = RestartReplica(make_replica())
    entries = [make_entry(id=n, action=restart, result=result) for n, result in enumerate(results)]
    first, *_ = render.history_lines(incident, entries, Mode.ENFORCE, START + timedelta(minutes=3))
    assert first == f"2030-01-01 00:00:00 UTC  enforce  closed after 1m 30s, {stands}"


def test_what_holds_an_open_incident_is_said_instead_of_its_phase() -> None:
    """Each order that is in force; an incident of another mode than the daemon's is nobody's work."""
    window = Window(START + timedelta(hours=2), "weekly deploy")
    locks = (Lock("database:shop", START, "3 rounds"), Lock("database:blog", START, "3 rounds"))
    pause = Pause(START, START + timedelta(hours=1), "me")
    calm = standing("shop", make_policy(), Ledger(), START)
    assert held_by("shop", None, None) == held_by("shop", calm, None) == ""
    ordered = standing("shop", make_policy(), Ledger(pause=pause, locks=locks), START)
    held = held_by("shop", ordered, window)
    assert held == (
        "held by a maintenance window until 2030-01-01 02:00:00 UTC, a pause until 2030-01-01 01:00:00 UTC, "
        "the lock on database:shop"
    )
    now = START + timedelta(minutes=3)
    first, *_ = render.history_lines(make_incident(), [], Mode.ENFORCE, now, held)
    assert first == f"2030-01-01 00:00:00 UTC  enforce  open for 3m, {held}"
    left = render.left_open(Mode.ENFORCE)
    first, *_ = render.history_lines(make_incident(), [], Mode.DRY_RUN, now, held, left)
    assert first == "2030-01-01 00:00:00 UTC  dry-run  left open: the mode is enforce now"


def test_a_dry_run_does_not_claim_relief_that_somebody_else_may_have_brought() -> None:
    """With something simulated nobody can tell which it was."""
    incident = make_incident(relieved_at=START + timedelta(seconds=10))
    entries = [make_entry(result=Result.SIMULATED)]
    first, *_ = render.history_lines(incident, entries, Mode.DRY_RUN, START + timedelta(minutes=3))
    assert first.endswith("open for 3m, no longer critical (as simulated, or in fact) after 10s")


def test_an_incident_as_json_holds_its_entries() -> None:
    """An open one has no outcome."""
    record = render.history_record(make_incident(), [make_entry(), make_entry(id=2, result=Result.DENIED)])
    assert json.loads(json.dumps(record)) == record
    assert record["id"] == "i1"
    assert [entry["id"] for entry in record["entries"]] == [1, 2]
    assert record["entries"][0]["outcome"] is None
    assert record["entries"][1]["outcome"]["result"] == "denied"


@pytest.mark.parametrize(
    ("pause", "line"),
    [
        (Pause(START, None, ""), "paused until `resume`"),
        (Pause(START, None, "on it"), "paused until `resume`: on it"),
        (Pause(START, START + timedelta(hours=2), ""), "paused until 2030-01-01 02:00:00 UTC, 1h left"),
        (
            Pause(START, START + timedelta(hours=9), "on it", START + timedelta(hours=1, minutes=5)),
            "paused until 2030-01-01 09:00:00 UTC, 5m left: on it",
        ),
    ],
)
def test_what_is_in_force(pause: Pause, line: str) -> None:
    """A pause and locks, and how to end them."""
    lock = Lock("service:api", START, "api-1 was restarted: it crashed")
    now = START + timedelta(hours=1)
    found = standing("shop", make_policy(steps=()), Ledger(pause=pause, locks=(lock,)), now)
    why = "api-1 was restarted: it crashed; `remediator ack` unlocks it"
    locked = f"locked service:api since 2030-01-01 00:00:00 UTC: {why}"
    assert list(render.standing_lines({"shop": found, "blog": found}, {"shop": None}))[:3] == [
        line,
        locked,
        "limits of shop:",
    ]
    record = render.standing_record([found], {}, "enforce")
    assert (record["kind"], record["mode"]) == ("standing", "enforce")
    assert record["pause"]["reason"] == pause.reason
    assert [lock["scope"] for lock in record["locks"]] == ["service:api"]
    planned = render.plan_record("shop", CRITICAL, _plan(), found)
    assert (planned["pause"], planned["locks"]) == (record["pause"], record["locks"])
    assert planned["budgets"] == record["budgets"]
    assert f"    {line}" in list(render.plan_lines("shop", CRITICAL, _plan(), found, every=False))


def test_what_is_left_of_each_limit() -> None:
    """Used, allowed, and when there is room again: for a person and for a program."""
    policy = make_policy(
        steps=(RestartService("celery"), RestartService("api"), RestartService("celery")),
        terminate=(Rate(3, timedelta(hours=1)), Rate(9, timedelta(days=1))),
        backoff=Backoff(timedelta(hours=1), timedelta(hours=8)),
    )
    ten = timedelta(minutes=10)
    done = [make_entry(id=i, at=START - ten * i, result=Result.CONFIRMED) for i in (1, 2, 3)]
    restart = RestartReplica(make_replica())
    done.append(make_entry(id=4, action=restart, at=START - timedelta(minutes=20), result=Result.UNKNOWN))
    found = standing("shop", policy, Ledger(tuple(done)), START)
    lines = list(render.standing_lines({"shop": found}, {}))
    assert lines == [
        "limits of shop:",
        "  terminate: 3 used, limit 3 per 1h, again in 30m",
        "  terminate: 3 used, limit 9 per 1d, the oldest stops counting in 23h 30m",
        "  restart: 1 used, limit 3 per 1d, the oldest stops counting in 23h 40m",
        "  restart celery: 1 used, limit 1 per 30m, again in 10m",
        "  restart celery: backoff after 1 restart, again in 40m",
        "  restart api: 0 used, limit 1 per 30m",
    ]
    budgets = render.standing_record([found], {}, "enforce")["budgets"]
    assert json.loads(json.dumps(budgets)) == budgets
    assert budgets[0] == {
        "database": "shop",
        "limits": "terminate",
        "rule": "3 per 1h",
        "used": 3,
        "allowed": 3,
        "left": 0,
        "frees_in": 1800.0,
    }
    assert [(b["limits"], b["allowed"], b["left"]) for b in budgets[3:]] == [
        ("restart celery", 1, 0),
        ("restart celery", None, 0),
        ("restart api", 1, 1),
    ]
    assert budgets[-1]["frees_in"] is None


def test_a_pause_that_is_over_is_not_in_force() -> None:
    """It stays in the ledger until it is replaced."""
    over = Pause(START, START + timedelta(hours=1))
    found = standing("shop", make_policy(), Ledger(pause=over), START + timedelta(hours=1))
    assert found.pause is None
    assert not [line for line in render.standing_lines({"shop": found}, {}) if "paused" in line]


def test_maintenance_is_shown_with_its_end_and_its_reason() -> None:
    """By `check`, in both forms, and by `history`."""
    window = Window(START + timedelta(hours=2), "weekly deploy")
    line = "in a maintenance window until 2030-01-01 02:00:00 UTC: weekly deploy"
    assert list(render.standing_lines({}, {"shop": window, "blog": None})) == [f"shop is {line}"]
    standing_now = render.standing_record([], {"shop": window, "blog": None}, "enforce")
    assert list(standing_now["maintenance"]) == ["shop"]
    assert f"  {line}" in list(render.assessment_lines("shop", render.Look(CRITICAL, window)))
    record = render.assessment_record("shop", render.Look(CRITICAL, window))
    assert record["maintenance"] == {"until": "2030-01-01T02:00:00+00:00", "reason": "weekly deploy"}
    assert render.assessment_record("shop", render.Look(CRITICAL))["maintenance"] is None


@pytest.mark.parametrize(
    ("assessment", "status"),
    [
        (CALM, "OK"),
        (MONITOR, "WARNING"),
        (ALERT, "WARNING"),
        (CRITICAL, "CRITICAL"),
        (UNKNOWN, "UNKNOWN"),
    ],
)
def test_a_line_for_nagios(assessment: Assessment, status: str) -> None:
    """Status, reason, and performance data: unknown where there is no figure."""
    (line,) = render.nagios_lines({"shop": (render.Look(assessment), POLICY)})
    assert line.startswith(f"{status} - shop: ")
    slots = assessment.sample.slots
    data = f"'shop_used'={slots.used};20.0;90.0;0;100" if slots else "'shop_used'=U"
    assert line.endswith(f" | {data}")
    assert line.count("|") == 1


def test_nothing_in_a_reason_begins_performance_data_or_another_line() -> None:
    """Whatever a server says of itself."""
    trouble = Trouble(TroubleKind.FAILED, "no | slots=1\nOK - shop: all is well")
    look = render.Look(judged(Sample(moment(), trouble=trouble)))
    (line,) = render.nagios_lines({"shop": (look, POLICY)})
    assert "no / slots=1 OK - shop" in line
    assert line.count("|") == 1


def test_performance_data_without_thresholds() -> None:
    """A level without a utilization leaves its place empty, as the guidelines say."""
    bare = make_policy(levels={Level.CRITICAL: LevelRule(Conditions(refusing_connections=True))})
    look = render.Look(judged(make_sample(used=10, probe=ACCEPTED)))
    (line,) = render.nagios_lines({"shop": (look, bare)})
    assert line.endswith(" | 'shop_used'=10;;;0;100")


def test_several_databases_have_one_status_and_one_place_for_performance_data() -> None:
    """The first line is what a monitoring system shows: the worst comes first, whatever the order."""
    calm, full = judged(make_sample(used=10, probe=ACCEPTED)), judged(make_sample(used=96))
    found = {"a-1.b": calm, "shop": full, "x_y": UNKNOWN}
    first, *lines = render.nagios_lines({name: (render.Look(one), POLICY) for name, one in found.items()})
    assert first.startswith("CRITICAL - shop: 96 of 100")
    text, data = first.split(" | ")
    assert text.endswith("(worst of 3)")
    assert data.split() == [
        "'a-1.b_used'=10;20.0;90.0;0;100",
        "'shop_used'=96;20.0;90.0;0;100",
        "'x_y_used'=U",
    ]
    assert [line.split(":")[0] for line in lines] == ["OK - a-1.b", "CRITICAL - shop", "UNKNOWN - x_y"]
    assert "|" not in "".join(lines)
