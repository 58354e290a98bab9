"""A report as sections of text and tables, the same for every form that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from remediator.core.audit.budget import Budget
from remediator.core.audit.facts import AGES
from remediator.core.audit.memory import IDLE_BACKEND, MEGABYTE, MemoryEstimate
from remediator.core.audit.report import Report
from remediator.core.audit.sessions import holdings, idle_by_age, idle_for, tally
from remediator.core.text import count, duration, percent
from remediator.render.lines import plan_body
from remediator.render.verdicts import reasons, verdict

_MOST_ROWS = 20
_OWN = "remediator itself"


@dataclass(frozen=True, slots=True)
class Bar:
    """A named quantity, to be drawn in proportion to the largest one of its section."""

    label: str
    value: int


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        lines: Sentences.
        bars: Quantities of one kind.
        headers: Of the table's columns; numbers are those whose header begins with a blank.
        rows: The table's cells.
        statements: SQL to be copied.
        verbatim: The lines are to stay as they are, blanks and all.
    """

    title: str
    lines: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    statements: tuple[str, ...] = ()
    verbatim: bool = False


def summary(report: Report) -> tuple[str, ...]:
    """What matters most, in a few lines."""
    return (
        f"level: {verdict(report.assessment)} ({'; '.join(reasons(report.assessment))})",
        "findings: " + (_counted(report) or "none"),
    )


def _counted(report: Report) -> str:
    order = ("problem", "warning", "note")
    return ", ".join(count(report.severities[name], name) for name in order if report.severities[name])


def sections(report: Report) -> tuple[Section, ...]:
    """Everything but what is new and the findings, which each form shows its own way."""
    made = (_slots(report), *_sessions(report), _long_idle(report), _limits(report))
    more = (_budget(report.budget), _memory(report.memory), _plan(report))
    return tuple(section for section in (*made, *more) if section is not None)


def changes(report: Report) -> tuple[Section, ...]:
    """What is different from the last audit, which comes before all else; nothing without one."""
    if report.since is None:
        return ()
    title = f"Since the last audit ({_when(report.since)})"
    return (Section(title, report.changes or ("nothing has changed",)),)


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _slots(report: Report) -> Section | None:
    slots = report.facts.sample.slots
    if slots is None:
        return None
    kept = slots.superuser_reserved + slots.reserved
    line = (
        f"{slots.used} of {slots.usable} usable slots used ({percent(slots.utilization)}), {slots.free} free "
        f"(max_connections {slots.max_connections}, {kept} reserved)"
    )
    lines = [line]
    churn = report.facts.churn
    if churn is not None:
        begun, seconds = count(churn.begun, "session"), duration(churn.seconds)
        lines.append(f"{begun} began in {seconds}, {churn.per_second:.1f} a second")
    busiest = report.facts.busiest
    if busiest is not None:
        used = f"{busiest.used} of {busiest.usable} ({percent(busiest.used / busiest.usable)})"
        lines.append(f"most in the last {count(busiest.days, 'day')}: {used}, {_when(busiest.at)}")
    return Section("Head-room", tuple(lines), (Bar("used", slots.used), Bar("free", slots.free)))


def _sessions(report: Report) -> Iterator[Section]:
    sample = report.facts.sample
    if sample.slots is None:
        return
    facts = report.facts
    yield _bars("Sessions by owner", tally(sample, lambda g: _OWN if facts.ours(g) else g.owner.label))
    yield _bars("Sessions by state", tally(sample, lambda g: g.state or "unknown"))
    yield _bars("Sessions by role", tally(sample, lambda g: g.user or "unknown"))
    ages = zip(AGES, (*AGES[1:], None), idle_by_age(sample), strict=True)
    bars = [
        (f"{duration(low)} or more" if high is None else f"{duration(low)} to {duration(high)}", number)
        for low, high, number in ages
    ]
    yield _bars("Idle sessions by age", bars)


def _bars(title: str, counted: Sequence[tuple[str, int]]) -> Section:
    shown = [Bar(label, value) for label, value in counted[:_MOST_ROWS]]
    rest = sum(value for _, value in counted[_MOST_ROWS:])
    if rest:
        shown.append(Bar("others", rest))
    return Section(title, bars=tuple(shown))


def _long_idle(report: Report) -> Section | None:
    facts = report.facts
    held = holdings(facts.sample, idle_for(facts.leak_age))
    if facts.sample.slots is None:
        return None
    title = f"Idle for {duration(facts.leak_age)} or longer"
    if not held:
        return Section(title, ("nobody",))
    headers = (" sessions", "owner", "role", "application", "longest, at least", "first began")
    rows = [
        (
            str(h.count),
            h.owner.label,
            h.user,
            h.application or "unnamed",
            duration(h.idle_for),
            _when(h.since) if h.since else "",
        )
        for h in held
    ]
    return Section(title, _cut(rows), headers=headers, rows=tuple(rows[:_MOST_ROWS]))


def _cut(rows: Sequence[object]) -> tuple[str, ...]:
    more = len(rows) - _MOST_ROWS
    return (f"{more} more rows are left out; the JSON form has all of them",) if more > 0 else ()


def _limits(report: Report) -> Section | None:
    catalogue = report.facts.catalogue
    if catalogue is None:
        return None
    limited = [(f"role {r.name}", r.sessions, r.limit) for r in catalogue.roles if not r.superuser]
    limited += [(f"database {p.name}", p.sessions, p.limit) for p in catalogue.places]
    found = sorted((row for row in limited if row[2] >= 0), key=lambda row: row[2] - row[1])
    if not found:
        return Section("Connection limits", ("no role and no database has one",))
    rows = [(name, str(sessions), str(limit), str(limit - sessions)) for name, sessions, limit in found]
    headers = ("of", " sessions", " limit", " left")
    return Section("Connection limits", _cut(rows), headers=headers, rows=tuple(rows[:_MOST_ROWS]))


def _budget(budget: Budget | None) -> Section | None:
    if budget is None or not budget.lines:
        return None
    headers = ("service", " replicas", " normal", " peak", " there now", " of them idle")
    rows = tuple(
        (
            line.service,
            str(line.replicas) if line.counted else f"{line.replicas} (assumed)",
            _number(line.normal),
            _number(line.peak),
            str(line.there),
            str(line.idle),
        )
        for line in budget.lines
    )
    if not budget.known:
        line = "services[].connections in the config says what a service is meant to have"
    else:
        margin = budget.usable - budget.peak
        room = f"{margin} slots are left" if margin >= 0 else f"{-margin} slots are missing"
        line = (
            f"{budget.normal} on a usual day and {budget.peak} at peak, {budget.others} others' as now among "
            f"them; {budget.usable} slots are usable; at peak {room}"
        )
    return Section("Connection budget", (line,), headers=headers, rows=rows)


def _number(value: int | None) -> str:
    return "not said" if value is None else str(value)


def _memory(memory: MemoryEstimate | None) -> Section | None:
    if memory is None:
        return None
    title = "A higher max_connections"
    if not memory.statements:
        return Section(title, (f"not needed: {memory.because}",))
    megabytes = IDLE_BACKEND // MEGABYTE
    cost = (
        f"{memory.wanted} instead of {memory.now}, {memory.because}: about {_size(memory.least)} more memory "
        f"while the new sessions wait, {_size(memory.most)} if each runs a statement that uses up work_mem "
        f"once (shared_buffers is {_size(memory.shared_buffers)})"
    )
    limits = (
        f"reckoned with {megabytes} MB for a session that waits; large catalogues, prepared statements and "
        "statements with several sorts need more, and how much the machine has cannot be seen from here"
    )
    how = "takes a restart of the server; a standby first. A pooler costs less than sessions that wait"
    return Section(title, (cost, limits, how), statements=memory.statements)


def _size(number: int) -> str:
    megabytes = number / MEGABYTE
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"  # noqa: PLR2004


def _plan(report: Report) -> Section | None:
    plan, title = report.turn.plan, "What the policy would do, were critical confirmed now"
    if plan is None:
        return Section(title, ("not known: the ledger cannot be read, `remediator plan` says why",))
    said = "; ".join(reasons(report.assessment))
    lines = tuple(line[2:] for line in plan_body(plan, said, every=False))
    return Section(title, lines or ("nothing",), verbatim=True)
