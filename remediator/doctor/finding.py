"""What the doctor says of what it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Grade(IntEnum):
    """How a check came out; the worst one is the exit code."""

    OK = 0
    WARNING = 1
    PROBLEM = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: What was looked at.
        text: What was found, and for anything but OK what to do about it.
    """

    grade: Grade
    subject: str
    text: str
