"""A small shop that can be told to leak database connections."""

from .celery import app as celery

__all__ = ["celery"]
