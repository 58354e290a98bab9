"""The deliberate leak: sessions of PostgreSQL that are opened, used once and never closed.

The switch is the Redis key `leak:SERVICE`. Its value is the number of sessions that each process of the service opens
per second, followed, if the leak shall end at a restart, by a moment: processes that started later take no notice.
"""

import logging
import threading
import time

import redis
from django.conf import settings
from django.db import DatabaseError, connections

log = logging.getLogger("shop.leak")
process_started = time.time()
leaked = []    # what keeps the sessions alive


def start() -> None:
    """Watch the switch from a thread of this process."""
    threading.Thread(target=_watch, name="leak", daemon=True).start()


def switch() -> redis.Redis:
    """The Redis that holds the switches."""
    return redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, socket_timeout=5)


def key(service: str) -> str:
    """Name of the switch of a service."""
    return f"leak:{service}"


def _watch() -> None:
    client = switch()
    while True:
        rate = _rate(client)
        if rate:
            _leak_one()
        time.sleep(1 / rate if rate else 0.5)


def _rate(client: redis.Redis) -> float:
    try:
        rate, *until = (client.get(key(settings.SERVICE)) or "0").split()
    except redis.RedisError:
        return 0
    return 0 if until and process_started > float(until[0]) else float(rate)


def _leak_one() -> None:
    wrapper = connections.create_connection("default")
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("cannot leak another session: %s", str(error).strip().splitlines()[-1])
    else:
        leaked.append(wrapper)
        log.info("leaked session %d", len(leaked))
