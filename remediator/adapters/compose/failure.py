"""What the docker SDK and its HTTP client raise, classed by what the caller must do."""

from __future__ import annotations

import re

from docker.errors import APIError, DockerException
from requests.exceptions import JSONDecodeError, RequestException, Timeout

from remediator.core.text import one_line
from remediator.errors import RejectedError, UnavailableError

# Everything a call may raise, an answer of an unexpected shape included.
FAILURES = (DockerException, RequestException, OSError, ValueError, LookupError, TypeError, AttributeError)

_LONGEST = 200
_HUNG = "no answer in time; is the engine hung?"
_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (FileNotFoundError, "there is no such socket; is the engine running, the socket mounted?"),
    (ConnectionRefusedError, "nobody listens there; is the engine running?"),
    (Timeout, _HUNG),
    (TimeoutError, _HUNG),
    (JSONDecodeError, "the answer is not one of a Docker Engine"),
)
_FORBIDDEN = 403
_CLIENT_ERRORS = range(400, 500)
_TRY_AGAIN = frozenset({408, 425, 429})


def translate(error: Exception, host: str, what: str) -> UnavailableError | RejectedError:
    """Make one of our errors out of whatever went wrong, with one line that says what to do.

    Args:
        error: One of `FAILURES`.
        host: The engine's address.
        what: What was tried: `list containers`.
    """
    start = f"{peer(host)}: cannot {what}"
    if isinstance(error, APIError):
        return _answered(error, start)
    system = _system_error(error)
    if isinstance(system, PermissionError):
        return RejectedError(f"{start}: permission denied; run as a user of the socket's group")
    for kind, hint in _HINTS:
        if isinstance(system, kind) or isinstance(error, kind):
            return UnavailableError(f"{start}: {hint}")
    if isinstance(error, RequestException | OSError):
        return UnavailableError(f"{start}: {one_line(str(system or error), _LONGEST)}")
    if isinstance(error, DockerException):
        return RejectedError(f"{start}: {one_line(str(error), _LONGEST)}")
    return UnavailableError(f"{start}: the answer is not one of a Docker Engine")


def peer(host: str) -> str:
    """Name the engine in messages."""
    return f"Docker Engine at {shown(host)}"


def unreached(said: str) -> str:
    """Why an engine could not be asked, by what we say of it; empty when it answered, if only to refuse.

    Args:
        said: An error of `translate`, or of a call that took too long, in words.
    """
    why = said.partition(": cannot ")[2].partition(": ")[2]
    return "" if why.startswith("HTTP ") else why


def shown(host: str) -> str:
    """Write an engine's address without the credentials it may hold."""
    return re.sub(r"//[^/@]*@", "//", host)


def _answered(error: APIError, start: str) -> UnavailableError | RejectedError:
    status = error.status_code or 0
    said = one_line(str(error.explanation or ""), _LONGEST)
    # A proxy in front of the engine answers with a web page, which tells nothing more than its status.
    answer = f"HTTP {status}" if not said or said.startswith("<") else f"HTTP {status}: {said}"
    if status == _FORBIDDEN:
        return RejectedError(f"{start}: {answer}; allow this request in the proxy in front of the engine")
    if status in _CLIENT_ERRORS and status not in _TRY_AGAIN:
        return RejectedError(f"{start}: {answer}")
    return UnavailableError(f"{start}: {answer}")


def _system_error(error: BaseException) -> OSError | None:
    """The system call's own error, which the HTTP libraries wrap several times over."""
    seen: set[BaseException] = set()
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, BaseException) or current in seen:
            continue
        if isinstance(current, OSError) and current.errno is not None:
            return current
        seen.add(current)
        waiting += [*current.args, getattr(current, "reason", None), current.__context__, current.__cause__]
    return None
