"""What a Celery worker does for the shop."""

import time

from celery import shared_task

from .models import Ticket


@shared_task
def sell(seconds: float = 0) -> None:
    """Sell one ticket, after that many seconds of work."""
    time.sleep(seconds)
    Ticket.objects.create()
