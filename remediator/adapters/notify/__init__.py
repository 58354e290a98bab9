"""Telling people: events become messages, messages wait in an outbox, Apprise carries them away."""

from __future__ import annotations

from remediator.adapters.notify.file import NAME as OUTBOX
from remediator.adapters.notify.file import waiting
from remediator.adapters.notify.notifier import Notifications
from remediator.adapters.notify.sender import service_of, url_fault
from remediator.adapters.notify.target import Target
from remediator.adapters.notify.trial import try_out

__all__ = ["OUTBOX", "Notifications", "Target", "service_of", "try_out", "url_fault", "waiting"]
