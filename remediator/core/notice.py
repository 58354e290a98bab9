"""What people are told, and how it is told apart: the kinds of notices, and which of them repeat a fact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum


class Tone(StrEnum):
    """How a notice is to be taken."""

    ALARM = "alarm"
    WARNING = "warning"
    CALM = "calm"
    NEWS = "news"


class Kind(Enum):
    """A kind of notice: its name in the config, its tone, whether it is sent by default, and when."""

    OPENED = ("opened", Tone.ALARM, True, "an incident opened: critical is confirmed")
    ACTED = ("acted", Tone.WARNING, True, "a step was taken: one message for all its sessions or replicas")
    RELIEVED = ("relieved", Tone.CALM, True, "an incident is relieved")
    RELAPSED = ("relapsed", Tone.WARNING, True, "relief did not last")
    CLOSED = ("closed", Tone.CALM, False, "an incident is over; always sent when relief was not told before")
    HELD = ("held", Tone.ALARM, True, "critical, and nothing may or can be done")
    SUSPENDED = ("suspended", Tone.WARNING, True, "critical, and people ordered that nothing be done")
    LOCKED = ("locked", Tone.ALARM, True, "a database or service stays untouched until `remediator ack`")
    EVIDENCE_LOST = (
        "evidence_lost",
        Tone.WARNING,
        False,
        "a check did not tell the database's state; may well pass",
    )
    EVIDENCE_OVERDUE = ("evidence_overdue", Tone.ALARM, True, "the state is not known for five checks")
    EVIDENCE_REGAINED = ("evidence_regained", Tone.CALM, True, "the state is known again")
    LEDGER_UNAVAILABLE = ("ledger_unavailable", Tone.ALARM, True, "nothing can be recorded, so nothing done")
    LEDGER_AVAILABLE = ("ledger_available", Tone.CALM, True, "the ledger can be used again")
    CYCLE_FAILED = ("cycle_failed", Tone.ALARM, True, "a fault in remediator itself")
    LEVEL_CHANGED = ("level_changed", Tone.NEWS, False, "a level was entered or left")
    SERVER_CHANGED = ("server_changed", Tone.WARNING, False, "another server answers than before")
    STANDING_BY = ("standing_by", Tone.WARNING, False, "another remediator acts on the database")
    TAKING_OVER = ("taking_over", Tone.CALM, False, "no other remediator acts on it any more")
    CONFIG_REJECTED = ("config_rejected", Tone.WARNING, False, "a reload was refused")
    STARTED = ("started", Tone.NEWS, False, "the daemon begins")
    STOPPING = ("stopping", Tone.NEWS, False, "the daemon ends")

    def __init__(self, word: str, tone: Tone, default: bool, meaning: str) -> None:
        self.word = word
        self.tone = tone
        self.default = default
        self.meaning = meaning


KINDS = {kind.word: kind for kind in Kind}
DEFAULT_KINDS = tuple(kind.word for kind in Kind if kind.default)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people are told.

    Attributes:
        kind: What kind of thing happened.
        tone: How it is to be taken.
        title: One line.
        body: Several.
        at: When it happened, wall-clock time.
        database: Empty for what concerns the daemon as a whole.
        about: The trouble that it belongs to, such as one incident; empty for what stands for itself.
        fact: What makes it the same as another about the same trouble; empty for what is never the same.
    """

    kind: Kind
    tone: Tone
    title: str
    body: str
    at: datetime
    database: str = ""
    about: str = ""
    fact: str = ""
