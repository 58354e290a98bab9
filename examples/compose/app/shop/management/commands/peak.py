"""`manage.py peak 44 60`: 44 clients that are busy for 60 seconds, and then go: a load peak, and no leak."""

import threading
import time
from argparse import ArgumentParser

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connections


class Command(BaseCommand):
    help = "Keep many database sessions busy for a while, as a rush of customers does."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("clients", type=int, help="sessions, each of them busy nearly all the time")
        parser.add_argument("seconds", type=float, help="how long it lasts")

    def handle(self, *, clients: int, seconds: float, **_: object) -> None:
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=_work, args=(end,), daemon=True) for _ in range(min(clients, 200))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.stdout.write("the rush is over")


def _work(end: float) -> None:
    wrapper = connections.create_connection("default")
    while time.monotonic() < end:
        try:
            with wrapper.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.5)")
        except DatabaseError:    # no slot left, or the session was ended
            time.sleep(1)
    wrapper.close()
