"""A message that tries whether a target can be reached."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import datetime

from remediator.adapters.notify.sender import Sent, send
from remediator.adapters.notify.target import DEADLINE, Target
from remediator.core.notice import Tone
from remediator.core.text import duration


def try_out(target: Target, at: datetime, mask: Callable[[str], str], *, dry_run: bool) -> Sent:
    """Send a message that says it is a test, and wait for what comes of it; never raises.

    Args:
        target: To whom.
        at: Now.
        mask: Masks secrets in what the service says.
        dry_run: Nothing would really be done; the message says so like any other.
    """
    title = f"{'DRY RUN - ' if dry_run else ''}remediator: a test, nothing has happened"
    told = ", ".join(kind.word for kind in sorted(target.kinds, key=lambda kind: kind.word))
    body = "\n".join(
        (
            f"For you: nothing; this is what `remediator notify test {target.name}` sends.",
            f"You will be told of: {told}",
            f"When: {at:%Y-%m-%d %H:%M:%S} UTC, told by remediator on {socket.gethostname()}",
        )
    )
    results: list[Sent] = []
    thread = threading.Thread(
        target=lambda: results.append(send(target.url, title, body, Tone.NEWS, mask)), daemon=True
    )
    thread.start()
    thread.join(DEADLINE)
    return results[0] if results else Sent(delivered=False, because=f"no answer within {duration(DEADLINE)}")
