"""An incident's story with its evidence, as a record: what other forms are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from remediator.core.deposition import Deposition
from remediator.core.ledger import Entry, Incident
from remediator.core.model import Mode, Sample, Session
from remediator.core.plan import Survey
from remediator.core.reading import Decision, Reading, Rung
from remediator.core.story import Scene, story
from remediator.core.text import duration
from remediator.render.records import history_record, sample_record
from remediator.render.replay import scene_record

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that is known of one incident.

    Attributes:
        entries: What was done in it.
        readings: What was seen, from shortly before to shortly after it; empty when nothing was recorded.
        depositions: What was learned right before restarts.
    """

    incident: Incident
    entries: Sequence[Entry]
    readings: Sequence[Reading]
    mode: Mode
    depositions: Sequence[Deposition] = ()

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """What happened, in order."""
        return story(self.readings, self.entries)

    @property
    def looks(self) -> Iterator[tuple[str, Reading]]:
        """The readings that tell most: before, at the beginning, at the worst, at relief, after."""
        own = [r for r in self.readings if r.incident is not None and r.incident.id == self.incident.id]
        before = [r for r in self.readings if not own or r.at < own[0].at]
        after = [r for r in self.readings if own and r.at > own[-1].at]
        if before:
            yield "before", before[-1]
        if own:
            yield "when it opened", own[0]
            yield "at the worst", max(own, key=_used)
        if relieved := next((r for r in own if r.incident and r.incident.relieved_at), None):
            yield "when it was relieved", relieved
        if after:
            yield "after", after[-1]


def _used(reading: Reading) -> int:
    slots = reading.sample.slots
    return slots.used if slots is not None else -1


def bundle_record(bundle: Bundle) -> Record:
    """An incident's story for programs."""
    return {
        **history_record(bundle.incident, bundle.entries),
        "mode": bundle.mode.value,
        "policies": sorted({(r.policy, r.fingerprint) for r in bundle.readings}),
        "looks": [{"when": when, **_look(reading)} for when, reading in bundle.looks],
        "scenes": [{"at": scene.at.isoformat(), **scene_record(scene)} for scene in bundle.scenes],
        "diagnostics": [
            {
                "service": t.service,
                "replica": t.replica,
                "at": t.at.isoformat(),
                "seconds": t.seconds,
                "result": t.result,
                "output": t.output,
            }
            for t in bundle.depositions
        ],
        "decisions": list(decisions(bundle.readings)),
        "samples": [_point(reading) for reading in bundle.readings],
    }


def _look(reading: Reading) -> Record:
    return {
        "at": reading.at.isoformat(),
        "level": reading.level.label,
        "holders": holders(reading.sample),
        **sample_record(reading.sample),
    }


def _point(reading: Reading) -> Record:
    slots, probe = reading.sample.slots, reading.sample.probe
    return {
        "at": reading.at.isoformat(),
        "level": reading.level.label,
        "used": slots.used if slots is not None else None,
        "usable": slots.usable if slots is not None else None,
        "probe": probe.result.value if probe is not None else None,
        "trouble": reading.sample.trouble.kind.value if reading.sample.trouble else None,
    }


def holders(sample: Sample) -> list[Record]:
    """Who held how many sessions, by owner, state and age; most first."""
    held: Counter[tuple[str, str, str, float, bool]] = Counter()
    for g in sample.groups:
        who = g.owner.label if g.owner.known else g.application or g.user or "unnamed"
        held[who, g.user, g.state, g.idle_for_at_least, g.unused] += g.count
    return [
        {
            "who": who,
            "user": user,
            "state": state,
            "idle_for_at_least": age,
            "age": f"{duration(age)} or longer" if age else "",
            "unused": unused,
            "count": count,
        }
        for (who, user, state, age, unused), count in sorted(held.items(), key=lambda x: (-x[1], x[0]))
    ]


def decisions(readings: Sequence[Reading]) -> Iterator[Record]:
    """Every plan that differs from the one before it: who was to go, who was not, and why."""
    before: tuple[Any, ...] | None = None
    for reading in readings:
        plan = reading.plan
        if plan is None or (essence := _essence(plan)) == before:
            continue
        before = essence
        yield {
            "at": reading.at.isoformat(),
            "objections": list(plan.objections),
            "detail": plan.detail,
            "held": plan.held,
            "steps": [_rung(rung, reading.survey) for rung in plan.rungs],
        }


def _essence(plan: Decision) -> tuple[Any, ...]:
    """What makes a plan another one: not the seconds in its words."""
    rungs = tuple((r.index, r.objections, r.acts, tuple(_held(r))) for r in plan.rungs)
    return plan.objections, rungs


def _held(rung: Rung) -> Iterator[tuple[str, int]]:
    counts = Counter(o for v in rung.verdicts for o in v.objections for _ in v.targets)
    yield from sorted(counts.items())


def _rung(rung: Rung, survey: Survey | None) -> Record:
    sessions: dict[int | str, Session] = {}
    if survey is not None and isinstance(survey.sessions, tuple):
        sessions = {session.id.pid: session for session in survey.sessions}
    return {
        "step": rung.index + 1,
        "label": rung.label,
        "objections": list(rung.objections),
        "detail": rung.detail,
        "acts": [
            {
                "target": target,
                "because": v.because,
                **_whose(sessions.get(target) if isinstance(target, int) else None),
            }
            for v in rung.verdicts
            if not v.objections
            for target in v.targets
        ],
        "holds": [
            {"targets": list(v.targets), "objections": list(v.objections), "detail": v.because}
            for v in rung.verdicts
            if v.objections
        ],
    }


def _whose(session: Session | None) -> Record:
    if session is None:
        return {}
    return {
        "owner": session.owner.label,
        "user": session.user,
        "application": session.application,
        "address": session.address,
        "idle_for": round(session.idle_for, 1),
    }
