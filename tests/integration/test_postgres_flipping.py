"""Sessions that are at work again between the choice and the kill live."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from remediator.core.guards import spare_session
from remediator.core.policy import Spare
from remediator.ports import Receipt
from tests.testbed.roles import create_app_role, create_watch_role
from tests.testbed.watching import watching

if TYPE_CHECKING:
    from tests.conftest import MakePostgres

CLIENTS, SECONDS = 24, 12
CUTOFF = timedelta(milliseconds=100)
PAUSE_BEFORE_KILLING = 0.02  # as a ledger on disk needs it
KILLED = "FATAL:  terminating connection due to administrator command"
INTERRUPTED = "STATEMENT:  DO "  # which the server adds to an error in a statement


@pytest.mark.parametrize("version", [15, 18])
async def test_hardly_a_statement_is_hit_under_constant_flipping(
    make_postgres: MakePostgres, version: int
) -> None:
    """At most one kill in a hundred hits a statement, as its clients and the server's log both tell."""
    server = make_postgres(version)
    clients = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.testbed.flipping"),
        *(create_app_role(server), str(CLIENTS), str(SECONDS)),
        stdout=asyncio.subprocess.PIPE,
    )
    receipts: Counter[Receipt] = Counter()
    async with watching(create_watch_role(server)) as database:
        report = asyncio.create_task(clients.communicate())
        while not report.done():
            found = await database.sessions()
            chosen = [session for session in found if not spare_session(session, Spare(), CUTOFF)]
            await asyncio.sleep(PAUSE_BEFORE_KILLING)
            receipts.update(await database.terminate(chosen, CUTOFF))
    ends = Counter(json.loads((await report)[0]))
    killed, interrupted = server.log.count(KILLED), server.log.count(INTERRUPTED)
    assert set(receipts) <= {Receipt.SENT, Receipt.CHANGED}
    assert receipts[Receipt.CHANGED] > 0
    assert killed >= 200
    assert interrupted <= killed / 100, ends
    assert ends["in a statement"] <= killed / 100, ends
