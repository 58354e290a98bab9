"""The routes."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from remediator.adapters.web.guard import Guard
from remediator.adapters.web.kitchen import Kitchen
from remediator.adapters.web.pages import Board, routes
from remediator.core.events import Event
from remediator.ports import Clock, Observer

# A fault of a page is met again with each look at it.
_SAY_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the routes get what they show.

    Attributes:
        metrics: What `/metrics` says.
        metrics_type: In which format that is.
        alive: What is wrong with the daemon as a process, empty when nothing is.
        ready: What it has not done yet of a start, empty when it has started.
        board: What the status page shows.
    """

    metrics: Callable[[], Awaitable[bytes]]
    metrics_type: str
    alive: Callable[[], str]
    ready: Callable[[], str]
    board: Board


def make_app(sources: Sources, hosts: Collection[str], observer: Observer, clock: Clock) -> ASGIApp:
    """Make what answers requests.

    Args:
        sources: Where it gets what it shows.
        hosts: Names that requests may be for, besides addresses and `localhost`.
        observer: Told when a page cannot be shown for a fault of ours.
        clock: For how often that is said.
    """
    kitchen = Kitchen()

    async def metrics(_: Request) -> Response:
        body = await kitchen.serve("metrics", sources.metrics)
        return Response(body, headers={"content-type": sources.metrics_type})

    async def alive(_: Request) -> Response:
        return _verdict(sources.alive())

    async def ready(_: Request) -> Response:
        return _verdict(sources.alive() or sources.ready())

    fault = _Fault(observer, clock)
    app = Starlette(
        routes=[
            *routes(sources.board, kitchen),
            Route("/metrics", metrics),
            Route("/healthz", alive),
            Route("/readyz", ready),
        ],
        exception_handlers={HTTPException: _refuse, Exception: fault},
    )
    app.router.redirect_slashes = False
    return Guard(app, hosts)


def _verdict(wrong: str) -> Response:
    return PlainTextResponse(f"{wrong or 'ok'}\n", 503 if wrong else 200)


async def _refuse(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return PlainTextResponse("there is nothing here\n" if status == 404 else "no\n", status)  # noqa: PLR2004


class _Fault:
    """Answers when a page failed, and says so, not too often."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._said: float | None = None

    async def __call__(self, request: Request, error: Exception) -> Response:
        """Answer."""
        mono = self._clock.now().mono
        if self._said is None or mono - self._said >= _SAY_EVERY:
            self._said = mono
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._observer.emit(
                Event.WEB_FAILED,
                path=request.url.path[:200],
                because=f"{type(error).__name__}: {error}",
                where=f"{where.name}, line {where.lineno} of {where.filename}",
            )
        return PlainTextResponse("this page failed; the log says why, and the checks go on\n", 500)
