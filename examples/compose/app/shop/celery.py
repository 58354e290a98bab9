"""Entry point of Celery."""

from pathlib import Path

from celery import Celery, signals
from django.conf import settings

app = Celery("shop", broker=settings.REDIS_URL)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
app.autodiscover_tasks(["shop"])


@signals.worker_process_init.connect
def start_leak(**_: object) -> None:
    """Let each process of the pool leak when told to."""
    from . import leak    # Django is not set up yet when this module is imported

    leak.start()


@signals.heartbeat_sent.connect
def show_alive(**_: object) -> None:
    """For the container's health check."""
    Path("/tmp/celery-alive").touch()
