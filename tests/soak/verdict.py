"""From what was seen, said and recorded in a soak to its verdict."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from remediator.core.ledger import Entry, Result
from remediator.core.plan import RestartReplica, TerminateSession
from remediator.core.policy import Rate
from tests.soak.faults import Faults
from tests.soak.judge import Finding, judge_budget, longest_gap
from tests.soak.readings import Reading, size_of
from tests.soak.world import LIMITS, World

# Our connection and a probe; the same of a command that looks; one that the server is about to notice.
OWN_SESSIONS = 5
LONGEST_GAP = 20.0
WAL_MIB = 8
# Bytes of ledger for an entry, its incident's share included.
BYTES_PER_ENTRY = 4096
LEDGER_BASE = 200_000
UNEXPECTED = ("cycle_failed", "ledger_unavailable")
# How many lines of these a report keeps, and how many reasons of any other warning, of so many characters.
LINES = 20
REASONS = 5
LONGEST = 400


@dataclass(slots=True)
class Seen:
    """What was read during a run."""

    readings: list[Reading] = field(default_factory=list)
    own: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    wal: int = 0


@dataclass(slots=True)
class Verdict:
    """What came of a run.

    Attributes:
        findings: Each judged thing.
        facts: Figures that are told and not judged.
    """

    findings: list[Finding]
    facts: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether everything is as it must be."""
        return all(finding.ok for finding in self.findings)


def judge_sessions(seen: Seen, left: dict[str, int | None]) -> Iterator[Finding]:
    """Judge whether our sessions stay few, and whether none is left.

    Args:
        seen: What was read.
        left: Sessions on each server after our end; None when it did not answer.
    """
    for name, numbers in seen.own.items():
        late = sorted(numbers[len(numbers) // 2 :])
        usual = late[int(len(late) * 0.95)] if late else 0
        most = max(numbers, default=0)
        ok = bool(numbers) and most <= OWN_SESSIONS and usual <= OWN_SESSIONS - 2
        bound = f"<= {OWN_SESSIONS}, {OWN_SESSIONS - 2} nearly always"
        yield Finding(f"own sessions on {name}", ok, f"{most} at most, {usual} nearly always", bound)
        yield Finding(f"own sessions left on {name}", left[name] == 0, f"{left[name]}", "0")


def judge_ledger(world: World, seen: Seen, entries: list[Entry]) -> Iterator[Finding]:
    """Judge whether the ledger's files are in proportion to what they hold."""
    size = size_of(world.daemon.state_dir / "ledger.db")
    bound = LEDGER_BASE + BYTES_PER_ENTRY * len(entries)
    yield Finding("ledger", size <= bound, f"{size} bytes, {len(entries)} entries", f"<= {bound} bytes")
    yield Finding(
        "write-ahead log", seen.wal <= WAL_MIB << 20, f"{seen.wal} bytes at most", f"<= {WAL_MIB} MiB"
    )


def judge_actions(world: World, entries: list[Entry]) -> Iterator[Finding]:
    """Judge whether limits held, nothing was done without a record, and nobody spared was hit."""
    charged = [entry.intent for entry in entries if entry.charged]
    restarts = [(i.action.replica.service, i) for i in charged if isinstance(i.action, RestartReplica)]
    per_hour = Rate(LIMITS["terminate"]["per_hour"], timedelta(hours=1))
    per_day = Rate(LIMITS["restart"]["per_day"], timedelta(days=1))
    per_service = Rate(3, timedelta(minutes=5))
    for name in world.servers:
        own = [i for i in charged if i.database == name]
        ended = [i.at for i in own if isinstance(i.action, TerminateSession)]
        yield judge_budget(f"terminations on {name}", ended, per_hour)
        yield judge_budget(f"restarts for {name}", [i.at for _, i in restarts if i.database == name], per_day)
    for service, number in world.restarts().items():
        yield judge_budget(f"restarts of {service}", [i.at for s, i in restarts if s == service], per_service)
        intended = sum(
            isinstance(e.intent.action, RestartReplica) and e.intent.action.replica.service == service
            for e in entries
        )
        yield Finding(
            f"restarts of {service}, by its own account", number <= intended, f"{number}", f"<= {intended}"
        )
    confirmed = sum(e.outcome is not None and e.outcome.result is Result.CONFIRMED for e in entries)
    yield Finding("actions seen in the world", confirmed > 0, f"{confirmed} of {len(entries)}", "> 0")
    hit = _spared_and_hit(world, entries)
    yield Finding("spared sessions terminated", not hit, f"{hit or 0}", "0")


def _spared_and_hit(world: World, entries: list[Entry]) -> list[dict[str, Any]]:
    """Sessions that were ended in a state that is spared, by us: the ledger has the same pid at that time."""
    ours = [
        (entry.intent.action.session.id.pid, entry.intent.at.timestamp())
        for entry in entries
        if entry.charged and isinstance(entry.intent.action, TerminateSession)
    ]
    return [
        lost
        for lost in world.spared_and_lost
        if any(pid == lost["pid"] and abs(at - lost["at"]) < 5 for pid, at in ours)
    ]


def judge_daemon(
    world: World, faults: Faults, events: list[dict[str, Any]], *, calm: bool
) -> Iterator[Finding]:
    """Judge what the daemon said, how it ended, and whether checks went on.

    Args:
        world: The world.
        faults: What was done to it.
        events: All that was said.
        calm: Whether every incident came to its end once the leaks had ended.
    """
    counts = Counter(line["event"] for line in events)
    unexpected = {name: counts[name] for name in UNEXPECTED if counts[name]}
    yield Finding("unexpected events", not unexpected, f"{unexpected or 0}", "0")
    errors = world.daemon.errors
    yield Finding("words on standard error", not errors, errors[-300:] or "none", "none")
    yield Finding("exit codes when asked to end", set(faults.exits) == {0}, f"{faults.exits}", "0 each time")
    yield Finding("every incident over once leaks end", calm, "yes" if calm else "no", "yes")
    for name in world.servers:
        times = [
            datetime.fromisoformat(line["at"])
            for line in events
            if line["event"] == "cycle" and line["database"] == name
        ]
        gap = longest_gap(_without(times, faults.quiet))
        figure = f"{len(times)} cycles, {gap:.1f} s apart at most"
        yield Finding(
            f"checks of {name} go on", bool(times) and gap <= LONGEST_GAP, figure, f"<= {LONGEST_GAP:g} s"
        )


def _without(times: list[datetime], quiet: list[tuple[float, float]]) -> list[datetime]:
    """The times on a clock that stood still while the daemon was stopped on purpose."""
    moved = []
    for at in times:
        passed = sum(max(0.0, min(at.timestamp(), end) - begin) for begin, end in quiet)
        moved.append(at - timedelta(seconds=passed))
    return moved


def facts_of(
    world: World, faults: Faults, seen: Seen, events: list[dict[str, Any]], entries: list[Entry]
) -> dict[str, Any]:
    """Figures that are told and not judged."""
    outcomes = Counter(
        f"{'restart' if isinstance(e.intent.action, RestartReplica) else 'terminate'} "
        f"{e.outcome.result.value if e.outcome else 'open'}"
        for e in entries
    )
    return {
        "engine": world.engine_there,
        "faults": faults.done,
        "processes": len({reading.pid for reading in seen.readings}),
        "readings": len(seen.readings),
        "events": dict(sorted(Counter(line["event"] for line in events).items())),
        "unexpected": unexpected_lines(faults.begun, events),
        "reasons": reasons(events),
        "actions": dict(sorted(outcomes.items())),
        "restarts": world.restarts(),
        "series": [
            [
                round(r.at - seen.readings[0].at, 1),
                r.pid,
                r.rss,
                r.private,
                r.descriptors,
                r.sockets,
                r.threads,
            ]
            for r in seen.readings[:: max(1, len(seen.readings) // 300)]
        ],
    }


def unexpected_lines(begun: Sequence[tuple[float, str]], events: Iterable[dict[str, Any]]) -> list[str]:
    """The first lines that should not have been said, each with the fault that had begun last.

    Args:
        begun: When each fault began, as wall-clock seconds, and its name.
        events: All that was said.
    """
    lines = [line for line in events if line["event"] in UNEXPECTED]
    return [f"{_last_before(begun, line['at'])}: {json.dumps(line)[:LONGEST]}" for line in lines[:LINES]]


def _last_before(begun: Sequence[tuple[float, str]], at: str) -> str:
    said = datetime.fromisoformat(at).timestamp()
    before = [(said - when, name) for when, name in begun if when <= said]
    return "{1}, {0:.1f} s ago".format(*before[-1]) if before else "before any fault"


def reasons(events: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """The most frequent reasons of each kind of warning and error, with how often each was given."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in events:
        if line["severity"] in ("warning", "error") and "because" in line:
            found[line["event"]][str(line["because"])[:LONGEST]] += 1
    return {name: dict(counts.most_common(REASONS)) for name, counts in sorted(found.items())}
