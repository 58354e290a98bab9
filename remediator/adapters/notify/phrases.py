"""What the plain notices say: those that one event makes by itself."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.events import Event
from remediator.core.notice import Kind


@dataclass(frozen=True, slots=True)
class Phrase:
    """How one event is told. Words in braces are fields of the event; `{lasted}` is for how long.

    Attributes:
        kind: What kind of notice it makes.
        what: For the title.
        left: What is left to do for whoever reads it.
        about: The trouble that it belongs to; empty when it stands for itself.
        fact: What makes it the same as another about the same trouble.
        by_reason: Another reason makes it another fact.
    """

    kind: Kind
    what: str
    left: str = "`remediator plan` says what stands in the way, `remediator history` what was done."
    about: str = ""
    fact: str = ""
    by_reason: bool = False


_INCIDENT, _EVIDENCE, _RIVAL = "incident {incident}", "evidence {database}", "rival {database}"
_REACH = "see whether the server lives and lets us in; `remediator doctor` says more."

PHRASES = {
    Event.DAEMON_STARTED: Phrase(Kind.STARTED, "started, version {version}", "nothing."),
    Event.DAEMON_STOPPING: Phrase(
        Kind.STOPPING, "stops ({because})", "nothing, if it was you; nobody watches until it runs again."
    ),
    Event.CONFIG_REJECTED: Phrase(
        Kind.CONFIG_REJECTED,
        "the new config is refused, the old one stays",
        "mend it, try it with `remediator config check`, and reload again.",
    ),
    Event.STANDING_BY: Phrase(
        Kind.STANDING_BY,
        "another remediator acts on it, this one only observes",
        "nothing, if two are meant to run; else see whose session that is, and end it.",
        _RIVAL,
        "standing by",
    ),
    Event.TAKING_OVER: Phrase(
        Kind.TAKING_OVER,
        "takes over, no other remediator acts on it any more",
        "see what became of the other one.",
        _RIVAL,
    ),
    Event.CYCLE_FAILED: Phrase(
        Kind.CYCLE_FAILED,
        "a check failed by a fault in remediator",
        "look at the log, and report it; the next check is tried all the same.",
        "cycle {database}",
        "failed",
        by_reason=True,
    ),
    Event.LEVEL_CHANGED: Phrase(
        Kind.LEVEL_CHANGED, "level {level}, was {previous}", "`remediator check` shows it as it is now."
    ),
    Event.EVIDENCE_LOST: Phrase(
        Kind.EVIDENCE_LOST, "state not known, nothing is done until it is", _REACH, _EVIDENCE, "lost"
    ),
    Event.EVIDENCE_OVERDUE: Phrase(
        Kind.EVIDENCE_OVERDUE, "STATE NOT KNOWN{lasted}, a person is needed", _REACH, _EVIDENCE, "overdue"
    ),
    Event.EVIDENCE_REGAINED: Phrase(Kind.EVIDENCE_REGAINED, "state known again", "nothing now.", _EVIDENCE),
    Event.SERVER_CHANGED: Phrase(
        Kind.SERVER_CHANGED,
        "another server answers than before",
        "nothing, if it was a failover you know of.",
    ),
    Event.INCIDENT_RELAPSED: Phrase(
        Kind.RELAPSED, "critical again, relief did not last", about=_INCIDENT, fact="relapsed"
    ),
    Event.INCIDENT_HELD: Phrase(
        Kind.HELD,
        "HELD{lasted}, a person is needed",
        about=_INCIDENT,
        fact="held",
        by_reason=True,
    ),
    Event.INCIDENT_SUSPENDED: Phrase(
        Kind.SUSPENDED,
        "critical{lasted}, and nothing is done because people ordered it",
        "act yourself, or end the order: `remediator resume`, or the maintenance window.",
        _INCIDENT,
        "suspended",
        by_reason=True,
    ),
    Event.LOCKED: Phrase(
        Kind.LOCKED,
        "LOCKED, {scope} stays untouched",
        "find out why (`remediator history`), mend it, then run `remediator ack`.",
    ),
    Event.LEDGER_UNAVAILABLE: Phrase(
        Kind.LEDGER_UNAVAILABLE,
        "NOTHING CAN BE RECORDED, so nothing is done",
        "see to the state directory; `remediator doctor` says more.",
        "ledger",
        "unavailable",
    ),
    Event.LEDGER_AVAILABLE: Phrase(
        Kind.LEDGER_AVAILABLE, "the ledger can be used again", "nothing now.", "ledger"
    ),
}
