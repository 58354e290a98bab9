"""What the daemon shows over HTTP: read-only, hardened, and never in the way of the checks.

The only importer of Starlette, Uvicorn and Jinja2.
"""

from __future__ import annotations

from remediator.adapters.web.app import Sources, make_app
from remediator.adapters.web.pages import Board
from remediator.adapters.web.server import WebServer

__all__ = ["Board", "Sources", "WebServer", "make_app"]
