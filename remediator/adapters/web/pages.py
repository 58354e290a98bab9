"""The status page's routes: templates over values that others put together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from remediator.adapters.web.kitchen import Kitchen
from remediator.core.text import visible

Context = Mapping[str, Any]

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Board:
    """Where the pages get what they show.

    Attributes:
        page: What the status page shows.
        incident: What an incident's own page shows, None when there is no such incident.
        series: The numbers of a database's chart, None when there is no such database.
    """

    page: Callable[[], Awaitable[Context]]
    incident: Callable[[str], Awaitable[Context | None]]
    series: Callable[[str], Awaitable[Context | None]]


def routes(board: Board, kitchen: Kitchen) -> list[Route]:
    """Make the routes; what they show is made in that kitchen.

    Whatever is shown came from strangers, names of their applications above all: templates escape it.
    """
    environment = Environment(
        loader=PackageLoader("remediator.adapters.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_seen,
    )
    page_of, incident_of = environment.get_template("page.html"), environment.get_template("incident.html")

    async def page(_: Request) -> Response:
        async def make() -> bytes:
            return page_of.render(await board.page()).encode()

        return HTMLResponse(await kitchen.serve("page", make))

    async def incident(request: Request) -> Response:
        identity = request.path_params["identity"]

        async def make() -> bytes:
            return incident_of.render(_found(await board.incident(identity))).encode()

        return HTMLResponse(await kitchen.serve(f"incident {identity}", make))

    async def series(request: Request) -> Response:
        database = request.query_params.get("database", "")

        async def make() -> bytes:
            return json.dumps(_found(await board.series(database))).encode()

        body = await kitchen.serve(f"series {database}", make)
        return Response(body, headers={"content-type": "application/json"})

    return [
        Route("/", page),
        Route("/incidents/{identity}", incident),
        Route("/series", series),
        Route("/static/{name}", _Assets()),
    ]


def _seen(value: Any) -> Any:
    """Show what cannot be seen of a text; its lines stay lines."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(visible, value.split("\n")))


def _found(context: Context | None) -> Context:
    if context is None:
        raise HTTPException(404)
    return context


class _Assets:
    """The page's own files, read once; there is no way from a name to any other file."""

    def __init__(self) -> None:
        self._files = {
            file.name: (file.read_bytes(), _TYPES[file.name.rpartition(".")[2]])
            for file in (resources.files("remediator.adapters.web") / "static").iterdir()
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with a file, or say that it is still the one that the browser has."""
        request = Request(scope)
        body, kind = self._files.get(request.path_params["name"], (None, ""))
        if body is None:
            raise HTTPException(404)
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"etag": tag, "cache-control": "no-cache", "content-type": kind}
        same = request.headers.get("if-none-match") == tag
        response = Response(status_code=304, headers=headers) if same else Response(body, headers=headers)
        await response(scope, receive, send)
