"""What remediator says about itself: one stable name for each thing that can happen."""

from __future__ import annotations

from enum import Enum, StrEnum


class Severity(StrEnum):
    """How loudly an event is said."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(Enum):
    """An event: its name in logs, its severity, and when it is said.

    The names are an interface: log queries and alerts are written against them.
    """

    # the daemon
    DAEMON_STARTED = ("daemon_started", Severity.INFO, "The daemon has read its config and begins to check.")
    DAEMON_STOPPING = ("daemon_stopping", Severity.INFO, "A signal or a fault ends the daemon.")
    CONFIG_RELOADED = ("config_reloaded", Severity.INFO, "SIGHUP: the new config is in force.")
    CONFIG_REJECTED = (
        "config_rejected",
        Severity.ERROR,
        "SIGHUP: the new config is wrong; the old one stays.",
    )
    CONFIG_WARNING = (
        "config_warning",
        Severity.WARNING,
        "The config is valid, but something about it is unwise.",
    )
    MAY_NOT_SIGNAL = (
        "may_not_signal",
        Severity.WARNING,
        "Our role lacks pg_signal_backend: no session can be terminated.",
    )
    STANDING_BY = (
        "standing_by",
        Severity.WARNING,
        "Another remediator, or whoever took the lock, may act on this database; this one only observes.",
    )
    TAKING_OVER = (
        "taking_over",
        Severity.WARNING,
        "No other remediator acts on this database any more; this one does.",
    )
    # each check
    CYCLE = ("cycle", Severity.INFO, "The canonical line of one completed cycle.")
    CYCLE_FAILED = (
        "cycle_failed",
        Severity.ERROR,
        "A cycle ended in an unexpected error; the next one is tried.",
    )
    CYCLE_LATE = ("cycle_late", Severity.WARNING, "A check was not started in time (clock change, overload).")
    MAINTENANCE_BEGUN = ("maintenance_begun", Severity.INFO, "A maintenance window begins: nothing is done.")
    MAINTENANCE_OVER = ("maintenance_over", Severity.INFO, "The maintenance window is over.")
    READING_AGED = (
        "reading_aged",
        Severity.WARNING,
        "What was read had grown old before it could be acted on; it is read anew first.",
    )
    LEVEL_PENDING = (
        "level_pending",
        Severity.INFO,
        "A higher level's condition holds, not for long enough yet.",
    )
    LEVEL_CHANGED = ("level_changed", Severity.WARNING, "A level was entered or left.")
    EVIDENCE_LOST = (
        "evidence_lost",
        Severity.ERROR,
        "The state of the database is not known; nothing is done until it is.",
    )
    EVIDENCE_OVERDUE = (
        "evidence_overdue",
        Severity.ERROR,
        "The state of the database has not been known for five checks and more: a person is needed.",
    )
    EVIDENCE_REGAINED = ("evidence_regained", Severity.INFO, "The state of the database is known again.")
    DIRECTORY_LOST = (
        "directory_lost",
        Severity.WARNING,
        "Containers' addresses do not tell whose sessions are whose; only the config's patterns do.",
    )
    DIRECTORY_REGAINED = (
        "directory_regained",
        Severity.INFO,
        "Containers' addresses tell whose sessions are whose again.",
    )
    SERVER_CHANGED = (
        "server_changed",
        Severity.WARNING,
        "Another server answers now: nothing is done in this cycle, and levels are confirmed anew.",
    )
    SERVER_RESTARTED = (
        "server_restarted",
        Severity.WARNING,
        "The server was started again: none of its sessions is left, and levels are confirmed anew.",
    )
    SERVER_CLOCK_JUMPED = (
        "server_clock_jumped",
        Severity.WARNING,
        "The server's clock was set; a session's age goes by the time that really passed.",
    )
    # incidents
    INCIDENT_OPENED = ("incident_opened", Severity.ERROR, "Critical is confirmed; remediation begins.")
    INCIDENT_RELAPSED = (
        "incident_relapsed",
        Severity.WARNING,
        "Relief did not last; the ladder goes on with its next step, or begins a new round.",
    )
    LADDER_CHANGED = (
        "ladder_changed",
        Severity.INFO,
        "A reload changed the steps of an open incident; a new round begins with those that hold now.",
    )
    PLAN_MADE = (
        "plan_made",
        Severity.INFO,
        "What the next steps are, with acts and holds; said when it changes.",
    )
    INCIDENT_RELIEVED = ("incident_relieved", Severity.INFO, "No longer critical, and nothing is left to do.")
    INCIDENT_HELD = (
        "incident_held",
        Severity.ERROR,
        "Critical still, and nothing may or can be done: a person is needed.",
    )
    INCIDENT_SUSPENDED = (
        "incident_suspended",
        Severity.WARNING,
        "Critical still, and nothing is done because people ordered it: a pause, maintenance.",
    )
    INCIDENT_CLOSED = ("incident_closed", Severity.INFO, "The critical level was left; the incident is over.")
    LOCKED = ("locked", Severity.ERROR, "A database or service stays untouched until `remediator ack`.")
    # actions
    ACTION_INTENDED = ("action_intended", Severity.INFO, "An action is recorded and about to be carried out.")
    ACTION_FINISHED = ("action_finished", Severity.INFO, "The outcome of an action is known and recorded.")
    STEP_SETTLING = ("step_settling", Severity.INFO, "A step is complete; its effect is awaited.")
    # audits
    AUDIT_DONE = ("audit_done", Severity.INFO, "The daemon has made and kept an audit; findings by severity.")
    AUDIT_FAILED = (
        "audit_failed",
        Severity.WARNING,
        "An audit could not be made or kept; the next one is tried.",
    )
    AUDIT_UNREADABLE = (
        "audit_unreadable",
        Severity.WARNING,
        "A kept audit cannot be read; it is passed over in comparisons.",
    )
    # safeguards
    LEDGER_UNAVAILABLE = (
        "ledger_unavailable",
        Severity.ERROR,
        "The ledger cannot be read or written; remediator only observes.",
    )
    LEDGER_AVAILABLE = ("ledger_available", Severity.INFO, "The ledger can be used again.")
    CLOCK_JUMPED = (
        "clock_jumped",
        Severity.WARNING,
        "The wall clock was set; budgets and waits go on by the time that really passed.",
    )
    LOG_GAP = (
        "log_gap",
        Severity.WARNING,
        "Nobody took the log, so that lines had to be dropped; nothing else was held up by it.",
    )
    NOTIFICATION_FAILED = (
        "notification_failed",
        Severity.ERROR,
        "A target of notifications cannot be reached; said once, and tried again and again.",
    )
    NOTIFICATION_DELIVERED = (
        "notification_delivered",
        Severity.INFO,
        "A target of notifications can be reached again.",
    )
    NOTIFICATION_GIVEN_UP = (
        "notification_given_up",
        Severity.ERROR,
        "Notifications will never be delivered: too old, too many, or for nobody any more.",
    )
    OUTBOX_UNUSABLE = (
        "outbox_unusable",
        Severity.WARNING,
        "The file for notifications that wait cannot be used, or was begun anew; all are sent nevertheless.",
    )
    OUTBOX_USABLE = (
        "outbox_usable",
        Severity.INFO,
        "The file for notifications that wait can be used again.",
    )
    OBSERVER_FAILED = (
        "observer_failed",
        Severity.ERROR,
        "A fault of ours kept an event from the page, the metrics or the notifications.",
    )
    RECORDING_UNAVAILABLE = (
        "recording_unavailable",
        Severity.WARNING,
        "Readings cannot be kept; the watching goes on without a recording, and keeping them is tried again.",
    )
    RECORDING_AVAILABLE = ("recording_available", Severity.INFO, "Readings are kept again.")
    RECORDING_BEGUN_ANEW = (
        "recording_begun_anew",
        Severity.WARNING,
        "The recording was damaged or of another version; it was set aside, and a new one was begun.",
    )
    RECORDING_GAP = (
        "recording_gap",
        Severity.WARNING,
        "Readings were lost because the disk was slow; nothing else was held up by it.",
    )
    WEB_UNAVAILABLE = (
        "web_unavailable",
        Severity.WARNING,
        "The status page and the metrics cannot be served; the watching goes on, and serving is tried again.",
    )
    WEB_AVAILABLE = ("web_available", Severity.INFO, "The status page and the metrics are served.")
    WEB_FAILED = ("web_failed", Severity.ERROR, "A fault of ours kept a page from being shown.")
    LIBRARY = ("library", Severity.WARNING, "A library warned, or worse; `logger` says which.")

    def __init__(self, event_name: str, severity: Severity, meaning: str) -> None:
        self.event_name = event_name
        self.severity = severity
        self.meaning = meaning
