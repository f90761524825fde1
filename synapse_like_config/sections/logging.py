"""Logs and metrics."""

from pathlib import Path

from attrs import frozen

from synapse_like_config.reading import option


@frozen
class Logging:
    """Logs and metrics."""

    log_config: Path | None = option(None, "A YAML file for Python's logging. Null: to standard error.")
    enable_metrics: bool = option(
        False, "Whether to count for Prometheus. A listener of type `metrics` serves the numbers."
    )
