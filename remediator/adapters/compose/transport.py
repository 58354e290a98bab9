"""The SDK's client, kept from straying and from leaking."""

from __future__ import annotations

import socket
from math import ceil
from typing import TYPE_CHECKING, Any

from docker import APIClient
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

from remediator.errors import RejectedError

if TYPE_CHECKING:
    from datetime import timedelta

    from requests import PreparedRequest, Response


class Client(APIClient):
    """A client without proxies from the environment and without redirects, and GET only if told.

    Args:
        host: The engine's address.
        version: The version of its API to speak.
        timeout: How long to wait for each part of an answer.
        read_only: Refuse to send anything but GET.
    """

    def __init__(self, host: str, version: str, timeout: timedelta, *, read_only: bool) -> None:
        super().__init__(base_url=host, version=version, timeout=ceil(timeout.total_seconds()))
        self.trust_env = False
        self.max_redirects = 0
        self._only_get = read_only
        if host.startswith("unix://"):
            self.mount("http+docker://", _UnixAdapter(f"http+{host}", self.timeout))

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a request; everything the SDK does comes through here.

        Raises:
            RejectedError: It is not a GET, and only those are allowed.
        """
        if self._only_get and request.method != "GET":
            raise RejectedError(f"this is a dry run: {request.method} {request.path_url} is not sent")
        return super().send(request, **kwargs)


class _UnixAdapter(UnixHTTPAdapter):
    """The SDK's adapter, with connections that are closed when they cannot be made."""

    def get_connection(self, url: Any, proxies: Any = None) -> UnixHTTPConnectionPool:  # noqa: ARG002
        with self.pools.lock:
            pool: UnixHTTPConnectionPool | None = self.pools.get(url)
            if pool is None:
                pool = _UnixPool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
                self.pools[url] = pool
        return pool


class _UnixPool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        timeout: Any = self.timeout
        return _UnixConnection(self.base_url, self.socket_path, timeout)


class _UnixConnection(UnixHTTPConnection):
    def connect(self) -> None:
        # Known to the connection before it can fail; the SDK keeps it to itself until then, unclosed.
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.unix_socket)
