"""Looking up host names without ever waiting for a resolver that hangs.

Not with the event loop's own threads: they are few and shared by all databases, and the process
waits for them at its end, for as long as a resolver likes.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future

_Key = tuple[str, str]
_looking: dict[_Key, Future[list[str]]] = {}


async def addresses_of(host: str, port: str) -> list[str]:
    """Look up a host's addresses, best first.

    A look-up that is given up goes on in its thread, and whoever asks for the same host meanwhile waits for
    that one: a resolver that hangs costs one thread for each host.

    Args:
        host: A name or an address.
        port: A port, by number or name.

    Raises:
        OSError: There is no such name, or the resolver failed.
    """
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)  # an address needs no resolver
    except OSError:
        pass
    key = (host, port)
    found = _looking.get(key)
    if found is None:
        found = _looking[key] = Future()
        thread = threading.Thread(target=_work, args=(key, found), name=f"resolve {host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had
            _looking.pop(key)
            raise OSError(str(error)) from None
    return await asyncio.shield(asyncio.wrap_future(found))


def _work(key: _Key, found: Future[list[str]]) -> None:
    try:
        result = _look_up(*key)
    except Exception as error:  # noqa: BLE001  it is raised where the host was asked for
        _looking.pop(key)
        found.set_exception(error)
    else:
        _looking.pop(key)
        found.set_result(result)


def _look_up(host: str, port: str, flags: int = 0) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)]
