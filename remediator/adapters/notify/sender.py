"""Sending one message through Apprise, whose own words are kept from the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from remediator.core.notice import Tone

if TYPE_CHECKING:
    import apprise

_TYPES = {Tone.ALARM: "failure", Tone.WARNING: "warning", Tone.CALM: "success", Tone.NEWS: "info"}
_UNKNOWN = "the service did not take it, and did not say why"
_SERVICES = "https://appriseit.com/services/"


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending.

    Attributes:
        because: Why it failed, without anything secret.
    """

    delivered: bool
    because: str = ""


def url_fault(url: str) -> str:
    """Say what is wrong with a URL, without any part of it; empty when Apprise understands it."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        return "is not a URL; write it as Apprise does, such as slack://... or mailto://..., quoted"
    library = _library()
    with _listening():
        if library.Apprise.instantiate(url, asset=_asset()) is not None:
            return ""
    known = _schemes()
    service = known.get(scheme.lower())
    if service is None:
        close = get_close_matches(scheme.lower(), known, n=1)
        hint = f'; did you mean "{close[0]}://"?' if close else f"; they are listed at {_SERVICES}"
        return f"does not begin like any service that Apprise knows{hint}"
    if not service["enabled"]:
        return (
            f"is for {service['service_name']}, which cannot be used here: a package, or a system, is missing"
        )
    how = service["setup_url"] or _SERVICES
    return f"is not what Apprise needs for {service['service_name']}; its form is described at {how}"


def service_of(url: str) -> str:
    """Name the service that a URL is for; empty when Apprise does not understand it."""
    with _listening():
        plugin = _library().Apprise.instantiate(url, asset=_asset())
    return str(plugin.service_name) if plugin is not None else ""


def send(url: str, title: str, body: str, tone: Tone, mask: Callable[[str], str] = str) -> Sent:
    """Send one message in the calling thread, for as long as the service takes; never raises.

    Args:
        url: Where to.
        title: One line of plain text.
        body: Plain text.
        tone: How it is to be taken.
        mask: Masks secrets in what the service says.
    """
    with _listening() as said:
        try:
            sender = _library().Apprise(asset=_asset())
            if not sender.add(url):
                return Sent(delivered=False, because="Apprise does not understand the URL")
            if sender.notify(body=body, title=title, notify_type=_TYPES[tone], body_format="text"):
                return Sent(delivered=True)
        except Exception as error:  # noqa: BLE001  a hundred plugins may fail in as many ways
            said.append(f"{type(error).__name__}: {error}")
    return Sent(delivered=False, because=mask(said[-1]) if said else _UNKNOWN)


@cache
def _library() -> Any:
    # It costs 40 MB and half a second, which only those pay who are to be notified.
    import apprise  # noqa: PLC0415  see above

    log = logging.getLogger("apprise")
    log.addHandler(_HEARD)
    log.propagate = False
    return apprise


@cache
def _asset() -> apprise.AppriseAsset:
    # A limit of its own, or sending at once, would make Apprise use threads that hold up our end.
    asset: apprise.AppriseAsset = _library().AppriseAsset(
        app_id="remediator",
        app_desc="remediator",
        app_url="",
        async_mode=False,
        service_timeout=0,
        pgp_autogen=False,
        pem_autogen=False,
    )
    return asset


def _schemes() -> dict[str, dict[str, Any]]:
    """What Apprise tells of each service, by the scheme of its URLs; those that lack a package too."""
    services = _library().Apprise(asset=_asset()).details(show_disabled=True)["schemas"]
    return {
        scheme: service
        for service in services
        for scheme in (*(service["protocols"] or ()), *(service["secure_protocols"] or ()))
    }


class _Heard(logging.Handler):
    """Keeps what Apprise warns of, for the thread in which it does; it may repeat parts of a URL."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        said: list[str] | None = getattr(self.local, "said", None)
        if said is not None:
            said.append(record.getMessage())


_HEARD = _Heard()


@contextmanager
def _listening() -> Iterator[list[str]]:
    said: list[str] = []
    _HEARD.local.said = said
    try:
        yield said
    finally:
        _HEARD.local.said = None
