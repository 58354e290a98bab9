"""What an engine's endpoint is and allows, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ROOT = "whoever holds it is root on that host"


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What an engine's endpoint is and allows.

    Attributes:
        host: Its address.
        version: The engine's version.
        api_version: The version of its API that is spoken.
        excess: Requests that it allows though they are never needed; any of them means that whoever holds
            the endpoint can do much more than restart services.
        may_restart: Whether it lets restarts through; None when the client may not try.
        may_execute: Whether it lets programs be run in containers; None when the client may not try.
    """

    host: str
    version: str
    api_version: str
    excess: tuple[str, ...]
    may_restart: bool | None
    may_execute: bool | None

    def unwise(self, diagnosed: Sequence[str]) -> Iterator[str]:
        """Say what it allows beyond what is needed, and what is dangerous of that.

        Args:
            diagnosed: Services that are to be asked in their containers before a restart.
        """
        if self.excess:
            yield (
                f"{self.host} also allows {', '.join(self.excess)}: {_ROOT}; "
                "put a proxy in front that allows only listing, inspecting and restarting"
            )
        if diagnosed:
            asked = ", ".join(diagnosed)
            yield (
                f"services[].diagnose ({asked}) needs {self.host} to run programs in containers: {_ROOT}, "
                "whatever else a proxy refuses"
            )
            if self.may_execute is False:
                yield f"{self.host} refuses to run programs in containers: diagnose will tell nothing"
        elif self.may_execute and not self.excess:
            yield (
                f"{self.host} also allows POST /containers/ID/exec, which nothing here needs: {_ROOT}; "
                "forbid it in the proxy"
            )
