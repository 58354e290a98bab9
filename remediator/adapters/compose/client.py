"""The Docker Engine's API, as much of it as is needed: find containers, look at them, restart one."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.errors import APIError, NotFound

from remediator.adapters.compose.calls import Calls
from remediator.adapters.compose.executing import execute
from remediator.adapters.compose.failure import FAILURES, peer, shown, translate
from remediator.adapters.compose.report import EngineReport
from remediator.adapters.compose.transport import Client
from remediator.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


T = TypeVar("T")

_DENIED = frozenset({401, 403, 405})
_NO_CONTAINER = "0" * 64
_SLACK = timedelta(seconds=2)


class DockerEngine:
    """One engine, by its explicit address; neither the environment nor Docker's contexts have a say.

    Args:
        host: `unix:///var/run/docker.sock`, `tcp://proxy:2375`.
        read_only: Refuse to send anything but GET, whatever is asked for.
        answer_within: How long a question may take.
        patience: How long a restart may take on top of the container's stop timeout.
        overdue: How many requests may be overdue at once before no more are made.
    """

    def __init__(
        self,
        host: str,
        *,
        read_only: bool = False,
        answer_within: timedelta = timedelta(seconds=10),
        patience: timedelta = timedelta(seconds=30),
        overdue: int = 4,
    ) -> None:
        self.host = host
        self._read_only = read_only
        self._answer_within = answer_within
        self._patience = patience
        self._calls = Calls(peer(host), overdue)
        self._lock = threading.Lock()
        self._client: Client | None = None

    async def find(self, labels: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
        """Inspect every container, running or not, that has exactly these labels.

        Args:
            labels: At least one; names and values are not empty.

        Raises:
            ValueError: No label, or an empty one: that would mean every container there is.
            UnavailableError: The engine did not answer in time.
            RejectedError: It, or a proxy in front of it, does not allow it.
        """
        if not labels or not all(name and value for name, value in labels.items()):
            raise ValueError("containers are only looked for by labels that are not empty")
        wanted = [f"{name}={value}" for name, value in labels.items()]

        def look(client: Client) -> tuple[dict[str, Any], ...]:
            listed = client.containers(all=True, filters={"label": wanted})
            inspected = (_inspect(client, item["Id"]) for item in listed)
            return tuple(container for container in inspected if container is not None)

        return await self._ask("list containers", look)

    async def running(
        self, known: Callable[[Mapping[str, Any]], dict[str, Any] | None] = lambda _: None
    ) -> tuple[dict[str, Any], ...]:
        """Inspect every container that runs, whoever it belongs to.

        Args:
            known: What inspecting a container would tell, by what the list says of it; None to inspect it.
                Called in another thread.

        Raises:
            UnavailableError: The engine did not answer in time.
            RejectedError: It, or a proxy in front of it, does not allow it.
        """

        def look(client: Client) -> tuple[dict[str, Any], ...]:
            inspected = (known(item) or _inspect(client, item["Id"]) for item in client.containers())
            return tuple(container for container in inspected if container is not None)

        return await self._ask("list running containers", look)

    async def labels(self, name: str) -> tuple[dict[str, str], ...]:
        """The labels of every container, running or not, that has this one, whatever it says.

        Args:
            name: The label's name.

        Raises:
            UnavailableError: The engine did not answer in time.
            RejectedError: It, or a proxy in front of it, does not allow it.
        """

        def look(client: Client) -> tuple[dict[str, str], ...]:
            return tuple(
                dict(item.get("Labels") or {})
                for item in client.containers(all=True, filters={"label": [name]})
            )

        return await self._ask("list containers", look)

    async def restart(self, container_id: str, *, stop_timeout: int, stops_within: timedelta) -> bool:
        """Restart a container; the request is sent at once and only once.

        Args:
            container_id: The container's full id.
            stop_timeout: Seconds between the stop signal and the kill; negative for no kill.
            stops_within: How long the container may thus take to stop.

        Returns:
            Whether there was such a container.

        Raises:
            UnavailableError: No answer, or the engine failed half-way: the container may have been
                restarted or not.
            RejectedError: Refused; it was not restarted.
        """
        what = f"restart {container_id[:12]}"
        version = await self._ask(what, lambda client: client.api_version)
        within = stops_within + self._patience

        def act() -> bool:
            # A connection of its own, and nothing to negotiate: the request goes out now or not at all.
            # The SDK waits for the client's own timeout plus the stop timeout.
            client = self._connect(version, within - timedelta(seconds=stop_timeout))
            try:
                client.restart(container_id, timeout=stop_timeout)
            except NotFound:
                return False
            finally:
                client.close()
            return True

        return await self._call(what, act, within + _SLACK)

    async def execute(self, container_id: str, argv: Sequence[str], within: timedelta) -> tuple[str, str]:
        """Run a program in a container, and read the beginning of what it prints.

        One that does not end in time is left to itself: the engine has no way to end it.

        Args:
            container_id: The container's full id.
            argv: The program and its arguments; no shell is involved.
            within: How long it may take.

        Returns:
            How it ended, and what it printed until then.

        Raises:
            UnavailableError: The engine did not answer in time.
            RejectedError: It, or a proxy in front of it, does not allow it.
        """
        version = await self._ask("execute", lambda client: client.api_version)
        work = partial(execute, partial(self._connect, version, within), container_id, argv, within)
        return await self._call("execute", work, within + _SLACK)

    async def report(self) -> EngineReport:
        """Find out what the endpoint is and allows, by requests that change nothing.

        Raises:
            UnavailableError: The engine did not answer in time.
            RejectedError: It, or a proxy in front of it, does not even tell its version.
        """
        return await self._ask("tell what it allows", self._look_around)

    def close(self) -> None:
        """Close idle connections; the engine can be used again afterwards."""
        self._forget()

    def _look_around(self, client: Client) -> EngineReport:
        version = client.version(api_version=False)
        # The container does not exist: what is allowed answers 404.
        never_needed: dict[str, Callable[[], object]] = {
            "GET /info": client.info,
            "GET /images/json": client.images,
            "GET /containers/ID/archive": lambda: client.get_archive(_NO_CONTAINER, "/"),
        }
        excess = tuple(name for name, attempt in never_needed.items() if _allowed(attempt))
        may_restart = may_execute = None
        if not self._read_only:
            may_restart = _allowed(lambda: client.restart(_NO_CONTAINER, timeout=0))
            may_execute = _allowed(lambda: client.exec_create(_NO_CONTAINER, ["true"]))
        return EngineReport(
            shown(self.host),
            str(version["Version"]),
            client.api_version,
            excess,
            may_restart,
            may_execute,
        )

    async def _ask(self, what: str, question: Callable[[Client], T]) -> T:
        return await self._call(what, lambda: question(self._negotiated()), self._answer_within)

    async def _call(self, what: str, call: Callable[[], T], deadline: timedelta) -> T:
        try:
            return await self._calls.run(what, call, deadline)
        except UnavailableError:
            self._forget()
            raise
        except FAILURES as error:
            # The next call negotiates anew: the engine may come back as another version.
            self._forget()
            raise translate(error, self.host, what) from error

    def _negotiated(self) -> Client:
        with self._lock:
            client = self._client
        if client is None:
            client = self._connect(self._negotiate(), self._answer_within)
            with self._lock:
                self._client = client
        return client

    def _negotiate(self) -> str:
        client = self._connect(MINIMUM_DOCKER_API_VERSION, self._answer_within)
        try:
            return str(client.version(api_version=False)["ApiVersion"])
        finally:
            client.close()

    def _connect(self, version: str, timeout: timedelta) -> Client:
        return Client(self.host, version, timeout, read_only=self._read_only)

    def _forget(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def _inspect(client: Client, container_id: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.inspect_container(container_id)
    except NotFound:
        return None
    return found


def _allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except NotFound as error:
        # The engine's own words; a proxy may hide what it denies behind a 404.
        return "no such container" in str(error.explanation).lower()
    except APIError as error:
        if error.status_code in _DENIED:
            return False
        raise
    return True
