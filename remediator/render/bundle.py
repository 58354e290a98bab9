"""An incident's story with its evidence, as a record: what other forms are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from remediator.core.deposition import Deposition
from remediator.core.ledger import Entry, Incident
from remediator.core.model import Mode, Sample, Session
from remediator.core.plan import Survey
from remediator.core.reading import Decision, Reading, Rung
from remediator.core.scene import Kind, Scene
from remediator.core.story import changes, tale
from remediator.core.text import duration
from remediator.render.records import history_record, sample_record
from remediator.render.replay import scene_record

Record = dict[str, Any]

_WHEN = ("before", "when it opened", "at the worst", "when it was relieved", "after")
_BEFORE, _OPENED, _WORST, _RELIEVED, _AFTER = _WHEN
# A reading that is later than this after the end may be part of what came next.
_SOON = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that is known of one incident.

    Attributes:
        entries: What was done in it.
        looks: The readings that tell most, and when they were.
        scenes: What happened, in order.
        decisions: Every plan that differs from the one before it.
        samples: What was seen by each reading, in short; empty when nothing was recorded.
        policies: By name and fingerprint.
        depositions: What was learned right before restarts.
        missing: What could not be read, a line each.
    """

    incident: Incident
    entries: Sequence[Entry]
    mode: Mode
    looks: Sequence[tuple[str, Reading]]
    scenes: Sequence[Scene]
    decisions: Sequence[Record]
    samples: Sequence[Record]
    policies: Sequence[tuple[str, str]]
    depositions: Sequence[Deposition] = ()
    missing: Sequence[str] = ()


class Gathering:
    """Makes a bundle of an incident's readings, of which it keeps no more than a bundle shows.

    Args:
        incident: The incident.
    """

    def __init__(self, incident: Incident) -> None:
        self._incident = incident
        self._newest: Reading | None = None
        self._looks: dict[str, Reading] = {}
        self._scenes: list[Scene] = []
        self._decisions: list[Record] = []
        self._samples: list[Record] = []
        self._policies: set[tuple[str, str]] = set()

    def read(self, reading: Reading) -> None:
        """Go on with the next reading, from shortly before to shortly after the incident."""
        for scene in changes(self._newest, reading):
            if reading.plan is not None and scene.kind is Kind.PLANNED:  # told apart, with more of it
                self._decisions.append(_decision(reading, reading.plan))
            else:
                self._scenes.append(scene)
        self._newest = replace(reading, survey=None)
        self._policies.add((reading.policy, reading.fingerprint))
        self._samples.append(_point(reading))
        self._look(reading)

    def _look(self, reading: Reading) -> None:
        looks = self._looks
        reading = replace(reading, survey=None, plan=None)
        if reading.incident is None or reading.incident.id != self._incident.id:
            if _OPENED not in looks:
                looks[_BEFORE] = reading
            elif reading.incident is None and reading.at - (self._incident.closed_at or reading.at) <= _SOON:
                looks.setdefault(_AFTER, reading)
            return
        looks.setdefault(_OPENED, reading)
        if _WORST not in looks or _used(reading) > _used(looks[_WORST]):
            looks[_WORST] = reading
        if reading.incident.relieved_at:
            looks.setdefault(_RELIEVED, reading)

    def bundle(
        self,
        entries: Sequence[Entry],
        mode: Mode,
        depositions: Sequence[Deposition] = (),
        missing: Sequence[str] = (),
    ) -> Bundle:
        """What has come together.

        Args:
            entries: What was done in the incident.
            mode: Whether that was really done.
            depositions: What was learned right before restarts.
            missing: What could not be read, a line each.
        """
        return Bundle(
            incident=self._incident,
            entries=entries,
            mode=mode,
            looks=[(when, self._looks[when]) for when in _WHEN if when in self._looks],
            scenes=tale(self._incident, self._scenes, entries),
            decisions=self._decisions,
            samples=self._samples,
            policies=sorted(self._policies),
            depositions=depositions,
            missing=missing,
        )


def _used(reading: Reading) -> int:
    slots = reading.sample.slots
    return slots.used if slots is not None else -1


def bundle_record(bundle: Bundle) -> Record:
    """An incident's story for programs."""
    return {
        **history_record(bundle.incident, bundle.entries),
        "mode": bundle.mode.value,
        "policies": list(bundle.policies),
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
        "decisions": list(bundle.decisions),
        "samples": list(bundle.samples),
        "missing": list(bundle.missing),
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


def _decision(reading: Reading, plan: Decision) -> Record:
    """A plan: who was to go, who was not, and why."""
    return {
        "at": reading.at.isoformat(),
        "objections": list(plan.objections),
        "detail": plan.detail,
        "held": plan.held,
        "relieved": plan.relieved,
        "exhausted": plan.exhausted,
        "steps": [_rung(rung, reading.survey) for rung in plan.rungs],
    }


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
