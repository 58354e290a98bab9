"""Kinds of option values."""

from __future__ import annotations

from datetime import timedelta

import click

from remediator.config.units import parse_duration


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


DURATION = _Duration()
"""A length of time as the config writes it: `30s`, `10m`, `2h`, `7d`."""
