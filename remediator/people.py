"""From settings to whoever is told what happens."""

from __future__ import annotations

import asyncio

from remediator import log
from remediator.adapters.everyone import Everyone
from remediator.adapters.notify import Notifications, Target
from remediator.config import Settings
from remediator.core.model import Mode
from remediator.ports import Clock


class People:
    """Those whom the settings name, told from the log's events on.

    Args:
        settings: The settings.
        mode: Whether what happens is real.
        observer: Whom to hear it from; also told how it goes with telling.
        clock: The time.
    """

    def __init__(self, settings: Settings, mode: Mode, observer: Everyone, clock: Clock) -> None:
        self._mode = mode
        self._mask = log.Redactor()
        self._notifications = Notifications(
            settings.state_dir, observer, clock, dry_run=mode is Mode.DRY_RUN, mask=self._mask.text
        )
        observer.join(self._notifications)

    def appoint(self, settings: Settings) -> None:
        """Tell those whom these settings name from now on."""
        secrets = [secret.reveal() for secret in settings.secrets]
        self._mask.learn(secrets)
        log.learn(secrets)
        self._notifications.appoint(targets_of(settings, self._mode))

    async def close(self, patience: float) -> None:
        """Tell what waits, for so many seconds; the rest is kept for the next start."""
        await asyncio.to_thread(self._notifications.close, patience)


def targets_of(settings: Settings, mode: Mode | None = None) -> tuple[Target, ...]:
    """Say who is to be told what.

    Args:
        settings: The settings.
        mode: Only those who are told in this mode.
    """
    return tuple(
        Target(t.name, t.url.reveal(), frozenset(t.kinds), frozenset(t.databases), t.remind_every)
        for t in settings.notify
        if mode is None or mode in t.modes
    )
