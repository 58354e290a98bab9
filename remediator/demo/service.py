"""The two commands that the daemon's `command` runtime is given: restart a service, or inspect it.

`python -m remediator.demo.service restart|inspect NAME SOCKET`
"""

from __future__ import annotations

import socket
import sys


def main() -> int:
    """Pass the order on to the supervisor; print the service's token, or the reason for failing."""
    verb, name, address = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.sendall(f"{verb} {name}\n".encode())
        with connection.makefile() as answer:
            outcome, _, words = answer.readline().strip().partition(" ")
    print(words, file=sys.stdout if outcome == "ok" else sys.stderr)
    return 0 if outcome == "ok" else 3


if __name__ == "__main__":
    sys.exit(main())
