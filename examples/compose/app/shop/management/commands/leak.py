"""`manage.py leak api 5`: switch the leak of a service on; `manage.py leak api off`: off."""

import time
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from shop import leak


class Command(BaseCommand):
    help = "Make a service leak database sessions, or stop it. What has leaked stays until the service restarts."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("service", choices=["api", "celery_worker"])
        parser.add_argument("rate", help="sessions per second, for each process of the service; or 'off'")
        parser.add_argument("--until-restart", action="store_true", help="the leak ends when the service is restarted")

    def handle(self, *, service: str, rate: str, until_restart: bool, **_: object) -> None:
        name = leak.key(service)
        if rate == "off":
            leak.switch().delete(name)
            self.stdout.write(f"{service} leaks no more")
            return
        try:
            per_second = float(rate)
        except ValueError:
            per_second = 0
        if not 0 < per_second <= 100:
            raise CommandError(f"rate is {rate!r}, must be a number above 0 and at most 100, or 'off'")
        leak.switch().set(name, f"{per_second} {time.time()}" if until_restart else f"{per_second}")
        end = "until it is restarted" if until_restart else "until told to stop"
        self.stdout.write(f"each process of {service} leaks {per_second:g} sessions per second, {end}")
