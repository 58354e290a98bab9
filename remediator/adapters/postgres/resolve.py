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


async def several(hosts: str, ports: str, patience: float) -> dict[str, str]:
    """Resolve a list of hosts as libpq takes it, one entry for each address.

    A host that has no address, or none in time, is left out as long as another one has: that is what the list
    is for.

    Args:
        hosts: Names, addresses and directories of sockets, separated by commas.
        ports: One for all of them, or as many.
        patience: Seconds to wait for the slowest.

    Returns:
        libpq's `host`, `hostaddr` and `port`; as they were when libpq has to say what is wrong with them.

    Raises:
        OSError: None of them has an address.
    """
    names, numbers = hosts.split(","), ports.split(",")
    numbers = numbers * len(names) if len(numbers) == 1 else numbers
    if len(numbers) != len(names):
        return {"host": hosts, "port": ports}
    tasks = [asyncio.ensure_future(_one_of_several(*both)) for both in zip(names, numbers, strict=True)]
    _, late = await asyncio.wait(tasks, timeout=patience)
    for task in late:
        task.cancel()
    found = [task for task in tasks if task not in late and task.exception() is None]
    if not found:
        raise OSError("none of them has one")
    entries = [entry for task in found for entry in task.result()]
    host, address, port = (",".join(column) for column in zip(*entries, strict=True))
    return {"host": host, "hostaddr": address, "port": port}


async def _one_of_several(host: str, port: str) -> list[tuple[str, str, str]]:
    if not host or host.startswith(("/", "@")):
        return [(host, "", port)]
    return [(host, address, port) for address in await addresses_of(host, port or "5432")]


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
