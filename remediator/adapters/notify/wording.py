"""The words of notices: for somebody who was asleep a minute ago."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from remediator.adapters.notify.told import Told
from remediator.core.notice import Kind, Notice, Tone
from remediator.core.text import count, duration, percent

TITLE, BODY = 200, 3000
"""Characters that a title and a body have at most: what any service takes in one piece."""

_LINE = 600
# Names of clients are chosen by strangers; nobody is to be mentioned or linked to by one.
# Services make links of what looks like an address, too.
_DEFUSED = str.maketrans({"<": "\u2039", ">": "\u203a", "@": "\uff20"})
_LINK = re.compile(r"(?i):(?=//)|(?<=\bwww)\.|(?<=\bmailto):")
_DOMAIN = re.compile(r"(?<=\w)\.(?=[^\W\d_]{2})")
_OUTCOMES = {
    "confirmed": "verified",
    "simulated": "only on paper",
    "changed": "not done, it had changed",
    "dropped": "not done, something came between",
    "denied": "refused to us, not done",
    "unconfirmed": "done, but its effect was not seen in time",
    "refuted": "done, and it did not come back well",
    "unknown": "its outcome is not known",
    "": "its outcome is not known yet",
}

_LOOKS = {"leak": "a leak", "peak": "a load peak", "unclear": "neither clearly a leak nor a load peak"}
_DOUBTFUL = frozenset({"denied", "unconfirmed", "refuted", "unknown", ""})


class Writer:
    """Writes notices.

    Args:
        dry_run: Nothing is really done; every title begins with it.
        origin: Which remediator this is.
        mask: Masks secrets.
    """

    def __init__(self, *, dry_run: bool, origin: str, mask: Callable[[str], str] = str) -> None:
        self._mask = mask
        self._dry_run = dry_run
        self._mode = "dry-run" if dry_run else "enforce"
        self._origin = origin

    def notice(
        self,
        kind: Kind,
        told: Told,
        what: str,
        lines: Sequence[tuple[str, str]],
        *,
        level: str = "",
        about: str = "",
        fact: str = "",
    ) -> Notice:
        """Write a notice.

        Args:
            kind: What kind it is.
            told: The event behind it.
            what: What happened, for the title.
            lines: Labels and texts of the body; those without a text are left out.
            level: The database's level, when it is known.
            about: See `Notice`.
            fact: See `Notice`.
        """
        subject = told.database or "remediator"
        state = ", ".join(part for part in (level, self._mode) if part)
        title = f"{'DRY RUN - ' if self._dry_run else ''}{subject}: {what} [{state}]"
        every = [
            *([("DRY RUN", "nothing is really done; this is what would be")] if self._dry_run else ()),
            *lines,
            ("Incident", told.incident),
            ("When", f"{told.at:%Y-%m-%d %H:%M:%S} UTC, told by remediator on {self._origin}"),
        ]
        # Masked first: a secret that was cut or defused is not recognised any more.
        title = self._mask(title)
        body = "\n".join(f"{label}: {clean(self._mask(text), _LINE)}" for label, text in every if text)
        # What is good news for real is none in a dry run.
        calm = kind.tone is Tone.CALM and told.incident
        tone = Tone.NEWS if self._dry_run and calm else kind.tone
        return Notice(kind, tone, clean(title, TITLE), body[:BODY], told.at, told.database, about, fact)

    def opened(self, told: Told, plan: Told | None) -> Notice:
        """An incident opened, with the plan that followed if there is one."""
        lines = [
            ("Why", told.text("because")),
            ("Looks like", _kind(told)),
            ("Would be done" if self._dry_run else "Will be done", _steps(plan) if plan else ""),
            (
                "For you",
                "act yourself, or set mode: enforce; `remediator plan` lists whom it would hit."
                if self._dry_run
                else "nothing yet; `remediator history` shows what is done, `remediator pause` stops it.",
            ),
        ]
        about = f"incident {told.incident}"
        return self.notice(
            Kind.OPENED,
            told,
            f"slots run out{slots(told)}",
            lines,
            level="critical",
            about=about,
            fact="opened",
        )

    def acted(self, acts: Sequence[Told], waiting: int, level: str) -> Notice:
        """A step was taken.

        Args:
            acts: The finished actions, at least one, or those only intended when none is finished.
            waiting: Actions whose outcome is not known yet.
            level: The database's level.
        """
        ended = [act for act in acts if act.text("action") == "terminate"]
        restarted = [act for act in acts if act.text("action") == "restart"]
        said = [*_terminated(ended, dry_run=self._dry_run), *_restarted(restarted, dry_run=self._dry_run)]
        lines = [
            ("Would be done" if self._dry_run else "Done", "; ".join((*said, *_clients(ended, self._mask)))),
            ("Why", "; ".join(dict.fromkeys(act.text("because") for act in restarted))),
            ("Detail", "; ".join(dict.fromkeys(line for act in restarted if (line := act.text("detail"))))),
            ("Still open", count(waiting, "action") + " without an outcome" if waiting else ""),
            ("For you", _left(acts, dry_run=self._dry_run)),
        ]
        what, about = "; ".join(said), f"incident {acts[-1].incident}"
        return self.notice(Kind.ACTED, acts[-1], what, lines, level=level, about=about, fact="acted")

    def relieved(self, told: Told, cycle: Told | None) -> Notice:
        """An incident is relieved, or over."""
        after = told.number("seconds")
        lasted = duration(after) if after is not None else told.text("lasted")
        closed = told.event.event_name == "incident_closed"
        what = f"{'over' if closed else 'relieved'} after {lasted}{slots(cycle) if cycle else ''}"
        if self._dry_run and not closed:
            what = f"would be relieved after {lasted}"
        left = (
            "it is critical still unless somebody acted; `remediator check` says."
            if self._dry_run
            else "see to what is locked, if anything is; `remediator history` shows that, and who leaked."
        )
        lines = [("Why", told.text("because")), ("For you", left)]
        kind = Kind.CLOSED if closed else Kind.RELIEVED
        return self.notice(kind, told, what, lines, about=f"incident {told.incident}")


def plain_lines(told: Told, left: str) -> list[tuple[str, str]]:
    """The body of a notice that only says why, for how long, and what is left to do."""
    seconds = told.number("seconds")
    lasted = duration(seconds) if seconds else told.text("lasted")
    return [("Why", told.text("because")), ("Lasted", lasted), ("For you", left)]


def slots(told: Told) -> str:
    """How many slots are used, for the end of a title."""
    used, usable = told.number("used"), told.number("usable")
    if used is None or not usable:
        return ""
    return f", {used:.0f} of {usable:.0f} used ({percent(used / usable)})"


def clean(text: str, limit: int) -> str:
    """Make text safe for one line of any service: printable, defused, and not too long."""
    seen = "".join(c if c.isprintable() else " " for c in text[: limit + 1]).translate(_DEFUSED)
    shown = _LINK.sub(r"[\g<0>]", seen).replace("](", "] (")
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def gist(because: str) -> str:
    """A reason without its figures: the same reason with other figures is no news."""
    return re.sub(r"\d+(?:[.:]\d+)*", "#", because)


def _kind(opened: Told) -> str:
    """Whether it is a leak, whose, and what shows it."""
    kind, evidence = opened.text("diagnosis"), _named(opened.text("evidence"))
    return f"{_LOOKS.get(kind, kind)}: {evidence}" if kind and evidence else ""


def _terminated(acts: Sequence[Told], *, dry_run: bool) -> list[str]:
    if not acts:
        return []
    gone = sum(act.text("outcome") in {"confirmed", "simulated"} for act in acts)
    text = "would terminate " if dry_run else "terminated "
    text += count(len(acts), "session") if gone == len(acts) else f"{gone} of {count(len(acts), 'session')}"
    return [text]


def _clients(acts: Sequence[Told], mask: Callable[[str], str]) -> list[str]:
    """Whose sessions were terminated, how long they were idle, and what came of those that were not."""
    if not acts:
        return []
    who = Counter(_named(mask(act.text("application") or act.text("user") or "unnamed")) for act in acts)
    idle = max((act.number("idle_for") or 0.0 for act in acts), default=0.0)
    named = ", ".join(f"{number} of {name}" for name, number in who.most_common(5))
    more = f", {len(who) - 5} more clients" if len(who) > 5 else ""  # noqa: PLR2004  those that were named
    other = Counter(act.text("outcome") for act in acts) - Counter(
        act.text("outcome") for act in acts if act.text("outcome") in {"confirmed", "simulated"}
    )
    rest = [f"{number} {_OUTCOMES.get(outcome, outcome)}" for outcome, number in other.items()]
    return [f"{named}{more}; oldest idle for {duration(idle)}", *rest]


def _named(name: str) -> str:
    """A name that a stranger chose; a bare domain is made a link by some services."""
    return _DOMAIN.sub("[.]", name)


def _restarted(acts: Sequence[Told], *, dry_run: bool) -> list[str]:
    services: dict[str, list[str]] = {}
    for act in acts:
        services.setdefault(act.text("service"), []).append(act.text("outcome"))
    if dry_run:
        return [f"would restart {name}{_replicas(len(outcomes))}" for name, outcomes in services.items()]
    return [
        f"restarted {name}{_replicas(len(outcomes))}: {_in_words(outcomes)}"
        if set(outcomes) - {"changed", "dropped", "denied"}
        else f"did not restart {name}: {_in_words(outcomes)}"
        for name, outcomes in services.items()
    ]


def _left(acts: Sequence[Told], *, dry_run: bool) -> str:
    """What is left to do after a step, for whoever reads of it."""
    if dry_run:
        return "act yourself; `remediator history` has each session and replica."
    if {act.text("outcome") for act in acts} & _DOUBTFUL:
        return "see what became of it; `remediator history` has each session and replica."
    return "nothing if relief follows; `remediator history` has each session and replica."


def _replicas(number: int) -> str:
    return f" ({number} replicas)" if number > 1 else ""


def _in_words(outcomes: Iterable[str]) -> str:
    counted = Counter(outcomes)
    if len(counted) == 1:
        return _OUTCOMES.get(next(iter(counted)), next(iter(counted)))
    return ", ".join(f"{number} {_OUTCOMES.get(outcome, outcome)}" for outcome, number in counted.items())


def _steps(plan: Told) -> str:
    said = []
    for step in plan.mappings("steps"):
        label, acts = str(step.get("step", "")), step.get("acts", 0)
        if acts:
            noun = "session" if label.startswith("terminate") else "replica"
            condition = ", if still critical" if step.get("conditional") else ""
            said.append(f"{label} ({count(int(acts), noun)}{condition})")
    return (
        "; then ".join(said) or f"nothing: {plan.text('detail') or plan.text('objections') or 'see the plan'}"
    )
