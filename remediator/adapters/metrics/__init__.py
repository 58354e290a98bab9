"""Events and what is in force as Prometheus metrics. The only importer of prometheus_client."""

from __future__ import annotations

from remediator.adapters.metrics.counting import CONTENT_TYPE, Metrics

__all__ = ["CONTENT_TYPE", "Metrics"]
