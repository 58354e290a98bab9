"""Docker Compose services: found by labels, restarted one container at a time."""

from __future__ import annotations

from remediator.adapters.compose.client import DockerEngine
from remediator.adapters.compose.directory import ComposeDirectory
from remediator.adapters.compose.failure import unreached
from remediator.adapters.compose.report import EngineReport
from remediator.adapters.compose.runtime import ComposeRuntime

__all__ = ["ComposeDirectory", "ComposeRuntime", "DockerEngine", "EngineReport", "unreached"]
