"""Logging: JSON lines for machines, a readable line for a person's terminal, one pipeline for all."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from remediator.core.events import Event, Severity
from remediator.core.text import visible
from remediator.log.outlet import Gap, Outlet
from remediator.log.redact import Redactor

LogFormat = Literal["auto", "json", "console"]

_SEVERITIES = {"warn": "warning", "exception": "error"}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
ERROR_PREFIX = f"<{_PRIORITIES['error']}>"
"""What marks a plain line as an error for journald."""


_IN_FORCE: list[Redactor] = []


class _Put(Protocol):
    """Takes a finished line."""

    def __call__(self, text: str, *, urgent: bool) -> None: ...


def configure(
    log_format: LogFormat = "auto",
    level: str = "info",
    stream: TextIO | None = None,
    secrets: Collection[str] = (),
) -> None:
    """Set up logging for the whole process, each line written before the call returns; the last call counts.

    Args:
        log_format: `auto` is `console` on a terminal and `json` elsewhere.
        level: The least severity that is said.
        stream: Where to; standard output if not given.
        secrets: Values that must never appear.
    """
    stream = stream or _standard_output()

    def put(text: str, *, urgent: bool) -> None:  # noqa: ARG001  nothing is ever left out here
        stream.write(f"{text}\n")
        stream.flush()

    _configure(log_format, level, stream, secrets, put)


@contextlib.contextmanager
def in_background(
    log_format: LogFormat = "auto",
    level: str = "info",
    secrets: Collection[str] = (),
    *,
    last_words: float | None,
) -> Iterator[None]:
    """Log to standard output in such a way that nobody waits for its reader.

    Args:
        log_format: As for `configure`.
        level: As for `configure`.
        secrets: As for `configure`.
        last_words: Seconds at the end for what was not taken until then; None waits for the reader.
    """
    stream = _standard_output()
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream that is none of the system's, which cannot hang either
        configure(log_format, level, stream, secrets)
        yield
        return
    stream.flush()

    def tell(gap: Gap) -> None:
        LogObserver().emit(Event.LOG_GAP, lines=gap.lines, seconds=round(gap.seconds, 1))

    outlet = Outlet(descriptor, tell, encoding=stream.encoding)
    _configure(log_format, level, stream, secrets, outlet.put)
    try:
        yield
    finally:
        outlet.close(last_words)


def learn(secrets: Collection[str]) -> None:
    """Keep these secrets too from appearing, from now on."""
    for redactor in _IN_FORCE:
        redactor.learn(secrets)


def _standard_output() -> TextIO:
    # Without one nobody listens, for as long as we live.
    return sys.stdout or Path(os.devnull).open("w")


def _configure(
    log_format: LogFormat, level: str, stream: TextIO, secrets: Collection[str], put: _Put
) -> None:
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    shared: list[Processor] = [
        _severity,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
    ]
    journal = not console and is_journal(stream)
    redactor = Redactor(secrets)
    _IN_FORCE[:] = [redactor]
    last: list[Processor] = [redactor, *_renderers(console=console, journal=journal)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(put),
        cache_logger_on_first_use=False,
    )
    handler = _Handler(put)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
            foreign_pre_chain=[*shared, _library],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.raiseExceptions = False  # a full disk or a closed pipe must not disturb the daemon


class _Lines:
    """What structlog calls with a finished line."""

    def __init__(self, put: _Put) -> None:
        self._put = put

    def info(self, line: str) -> None:
        """Pass on a line that may be left out when nobody reads."""
        self._put(line, urgent=False)

    def warning(self, line: str) -> None:
        """Pass on a line that somebody may have to act on."""
        self._put(line, urgent=True)

    debug = info
    error = warning


class _Handler(logging.Handler):
    """Passes on what libraries log."""

    def __init__(self, put: _Put) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on; all that gets this far are warnings or worse."""
        try:
            self._put(self.format(record), urgent=True)
        except Exception:  # noqa: BLE001  as the standard library's own handlers do
            self.handleError(record)


def _renderers(*, console: bool, journal: bool) -> list[Processor]:
    if console:
        return [_event_first, _seen, structlog.dev.ConsoleRenderer(columns=_columns(), sort_keys=False)]
    json = structlog.processors.JSONRenderer(default=str)
    return [_event_first, _note_priority, json, _prefix_priority] if journal else [_event_first, json]


def _columns() -> list[structlog.dev.Column]:
    """A person's line: time, severity, event, then what is particular about it."""
    dev = structlog.dev
    styles = dev.ConsoleRenderer.get_default_column_styles(colors=True)
    levels = dev.ConsoleRenderer.get_default_level_styles(colors=True)

    def plain(style: str, width: int = 0) -> dev.KeyValueColumnFormatter:
        return dev.KeyValueColumnFormatter(
            key_style=None, value_style=style, reset_style=styles.reset, value_repr=str, width=width
        )

    def named(value_style: str) -> dev.KeyValueColumnFormatter:
        return dev.KeyValueColumnFormatter(
            key_style=styles.kv_key, value_style=value_style, reset_style=styles.reset, value_repr=str
        )

    return [
        dev.Column("at", plain(styles.timestamp)),
        dev.Column("severity", dev.LogLevelColumnFormatter(levels, styles.reset, width=7)),
        dev.Column("event", plain(styles.bright, width=18)),
        dev.Column("", named(styles.kv_value)),
    ]


def _severity(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Call it severity: `level` is a database's level in every line."""
    return {**event, "severity": _SEVERITIES.get(method, method)}


def _event_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    leading = ("at", "severity", "event", "database", "incident", "mode")
    ordered = {key: event[key] for key in leading if key in event}
    return ordered | {key: value for key, value in event.items() if key not in ordered}


def _seen(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Let nothing that a stranger chose steer the terminal or pass for a line of its own."""
    return {key: visible(value) if isinstance(value, str) else value for key, value in event.items()}


def _library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put what a library logged under one event name, its words into a field."""
    record = event.get("_record")
    return {
        **event,
        "event": Event.LIBRARY.event_name,
        "logger": record.name if record else "",
        "message": event["event"],
    }


_PRIORITY_KEY = "_priority"


def _note_priority(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {_PRIORITY_KEY: _PRIORITIES.get(str(event.get("severity")), 6), **event}


def _prefix_priority(_logger: WrappedLogger, _method: str, line: Any) -> str:
    match = re.match(rf'{{"{_PRIORITY_KEY}": (\d), ', line)
    return f"<{match[1]}>{{{line[match.end() :]}" if match else str(line)


def is_journal(stream: TextIO) -> bool:
    """Whether the stream goes to journald, which then takes a line's priority from a prefix."""
    wanted = os.environ.get("JOURNAL_STREAM", "")
    with contextlib.suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return wanted == f"{status.st_dev}:{status.st_ino}"
    return False


class LogObserver:
    """Writes events to the log."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()

    def emit(self, event: Event, **fields: object) -> None:
        """Log an event; a log that cannot be written disturbs nobody."""
        shown = {key: value for key, value in fields.items() if value not in (None, "")}
        with contextlib.suppress(OSError, ValueError):
            self._say(event.severity)(event.event_name, **shown)

    def _say(self, severity: Severity) -> Any:
        match severity:
            case Severity.DEBUG:
                return self._log.debug
            case Severity.INFO:
                return self._log.info
            case Severity.WARNING:
                return self._log.warning
            case Severity.ERROR:
                return self._log.error
