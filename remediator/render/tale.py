"""An incident's story for people, as Markdown and on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from remediator.core.course import refuted, relief
from remediator.core.ledger import Incident
from remediator.core.model import Mode
from remediator.core.plan import Objection
from remediator.core.reading import Reading
from remediator.core.text import count, duration, durations, percent, visible
from remediator.render.bundle import Bundle, Record, holders
from remediator.render.layout import WIDTH, table, wrapped
from remediator.render.markdown import as_text

_WORDS = {o.value: o.meaning for o in Objection}
_FEW = 3

Table = Sequence[Sequence[str]]


def bundle_lines(bundle: Bundle, *, markdown: bool, width: int = WIDTH, stands: str = "") -> Iterator[str]:
    """An incident's story, with headings and tables.

    Args:
        bundle: What is known.
        markdown: As Markdown; else as aligned text.
        width: How long a line of aligned text may be; what a replica said is left as it is.
        stands: What keeps it from going on while it is open; empty for its phase.
    """
    pen = _Markdown() if markdown else _Plain(width)
    incident = bundle.incident
    yield from pen.heading(1, f"Incident {incident.id}")
    yield from pen.table((), list(_facts(bundle, stands)))
    for line in bundle.missing:
        yield from pen.note(line)
    if not bundle.samples:
        yield from pen.note("Nothing was recorded of it: only what the ledger has is known.")
    for when, reading in bundle.looks:
        slots = reading.sample.slots
        used = (
            f"{slots.used} of {slots.usable} slots ({percent(slots.utilization)})" if slots else "no reading"
        )
        yield from pen.heading(2, f"Who held what, {when}: {_utc(reading.at)}, {reading.level.label}, {used}")
        head = ("sessions", "who", "user", "state", "idle for", "never used")
        yield from pen.table(head, [_holder(h) for h in holders(reading.sample)])
    yield from pen.heading(2, "What happened")
    yield from pen.table(("when", "what", "because", "outcome"), list(_course(bundle)))
    for t in bundle.depositions:
        yield from pen.heading(2, f"What {t.replica} said before its restart: {_utc(t.at)}, {t.result}")
        yield from pen.block(t.output or "nothing")
    if bundle.decisions:
        yield from pen.heading(2, "What was decided, and why")
    for decision in bundle.decisions:
        yield from pen.heading(3, _utc(datetime.fromisoformat(decision["at"])))
        judged = list(_judged(decision)) or [("all", "nothing to do", "", _why_nothing(decision))]
        yield from pen.table(("step", "decision", "whom", "why"), judged)
    yield from pen.heading(2, "Outcomes")
    yield from pen.table(("when", "what", "because", "outcome", "detail"), list(_outcomes(bundle)))


def _slots(reading: Reading) -> str:
    slots = reading.sample.slots
    return f"{slots.used} of {slots.usable} slots ({percent(slots.utilization)})" if slots else "no reading"


def _facts(bundle: Bundle, stands: str) -> Iterator[tuple[str, str]]:
    incident = bundle.incident
    yield "database", incident.database
    yield "mode", "dry run: nothing was done" if bundle.mode is Mode.DRY_RUN else bundle.mode.value
    yield "opened", _utc(incident.opened_at)
    yield "because", incident.because
    if incident.relieved_at:
        yield (
            relief(bundle.mode, bundle.entries),
            f"{_utc(incident.relieved_at)}, after {duration(incident.relieved_at - incident.opened_at)}"
            + (f", but {wrong}" if (wrong := refuted(bundle.entries)) else ""),
        )
    if incident.closed_at:
        yield (
            "closed",
            f"{_utc(incident.closed_at)}, after {duration(incident.closed_at - incident.opened_at)}",
        )
    else:
        yield "phase", stands or incident.phase.value
    failed = f", of which {incident.failed_rounds} without relief" if bundle.mode is Mode.ENFORCE else ""
    yield "rounds", f"{incident.round}{failed}"
    results = Counter(e.outcome.result.value if e.outcome else "open" for e in bundle.entries)
    yield (
        "actions",
        f"{len(bundle.entries)} ({_tally(tuple(sorted(results.items())))})" if results else "none",
    )
    if bundle.policies:
        yield "policy", ", ".join(f"{name} ({mark})" for name, mark in bundle.policies)


def _since(at: datetime, incident: Incident) -> str:
    return f"{_utc(at)}, after {duration(at - incident.opened_at)}"


def _holder(record: Record) -> tuple[str, ...]:
    never = "yes" if record["unused"] else ""
    return str(record["count"]), record["who"], record["user"], record["state"], record["age"], never


def _course(bundle: Bundle) -> Iterator[tuple[str, ...]]:
    for scene in bundle.scenes:
        yield _utc(scene.at), scene.text, scene.because, _tally(scene.results)


def _outcomes(bundle: Bundle) -> Iterator[tuple[str, ...]]:
    for entry in bundle.entries:
        outcome = entry.outcome
        known = (outcome.result.value, outcome.detail) if outcome else ("open", "")
        yield _utc(entry.intent.at), entry.intent.action.label, entry.intent.because, *known


def _judged(decision: Record) -> Iterator[tuple[str, ...]]:
    if decision["objections"]:
        yield "all", "hold", "everything", _why(decision)
    for step in decision["steps"]:
        name = f"{step['step']}. {step['label']}"
        same = [h for h in step["holds"] if step["objections"] and _says_the_same(h, step)]
        if step["objections"]:
            yield name, "hold", _targets(t for h in same for t in h["targets"]) or "all of it", _why(step)
        for whom, why in _acts(step["acts"]):
            yield name, "act", whom, why
        for hold in step["holds"]:
            if hold not in same:
                yield name, "hold", _targets(hold["targets"]), _why(hold)


def _why_nothing(decision: Record) -> str:
    """Why a plan has nothing in it: no step is left."""
    if decision["relieved"]:
        return "no longer critical"
    had = "every step had its turn, and it is critical still" if decision["exhausted"] else ""
    return "; ".join(filter(None, (had, decision["detail"])))


def _says_the_same(hold: Record, step: Record) -> bool:
    return hold["objections"] == step["objections"] and hold["detail"] in ("", step["detail"])


def _acts(acts: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Each replica, and sessions by whose they are: one by one they stand among the outcomes."""
    sessions: dict[str, list[Record]] = {}
    for act in acts:
        if isinstance(act["target"], int):
            whose = f" of {act['owner']} ({act['application'] or act['user']})" if "owner" in act else ""
            sessions.setdefault(whose, []).append(act)
        else:
            yield str(act["target"]), act["because"]
    for whose, found in sessions.items():
        ages = [act["idle_for"] for act in found if "idle_for" in act]
        why = f"idle for {durations(ages)}" if ages else found[0]["because"]
        yield f"{count(len(found), 'session')}{whose}", why


def _targets(targets: Iterable[int | str]) -> str:
    """Replicas by name, and many sessions by their number."""
    found = list(targets)
    return ", ".join(map(str, found)) if len(found) <= _FEW else count(len(found), "session")


def _why(held: Record) -> str:
    words = (_WORDS.get(word, word) for word in held["objections"])
    return "; ".join(filter(None, (*words, held["detail"])))


def _tally(results: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{number} {result}" for result, number in results)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


class _Markdown:
    def note(self, text: str) -> Iterator[str]:
        yield as_text(text)
        yield ""

    def heading(self, depth: int, text: str) -> Iterator[str]:
        yield f"{'#' * depth} {as_text(text)}"
        yield ""

    def table(self, head: Sequence[str], rows: Table) -> Iterator[str]:
        width = len(head) or (len(rows[0]) if rows else 0)
        if not rows:
            yield "nothing"
        else:
            yield f"| {' | '.join(head or [''] * width)} |"
            yield f"|{'---|' * width}"
        for row in rows:
            yield f"| {' | '.join(as_text(cell) for cell in row)} |"
        yield ""

    def block(self, text: str) -> Iterator[str]:
        # Indented: whatever is in it, nothing in it can end it.
        yield from (f"    {line}" for line in text.splitlines())
        yield ""


class _Plain:
    def __init__(self, width: int) -> None:
        self._width = width

    def note(self, text: str) -> Iterator[str]:
        yield from (f"  {line}" for line in wrapped(f"note: {visible(text)}", self._width - 2))
        yield ""

    def heading(self, depth: int, text: str) -> Iterator[str]:
        yield from wrapped(visible(text), self._width)
        if depth == 1:
            yield "=" * min(len(text), self._width)

    def table(self, head: Sequence[str], rows: Table) -> Iterator[str]:
        lines = [[visible(cell) for cell in row] for row in ([head, *rows] if head and rows else rows)]
        yield from (f"  {line}" for line in table(lines or [["nothing"]], self._width - 2))
        yield ""

    def block(self, text: str) -> Iterator[str]:
        yield from (f"  | {line}" for line in text.splitlines())
        yield ""
