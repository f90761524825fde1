"""What an operator's machines ask: is it alive, and what does it count?

Source: Synapse's /health and /_synapse/metrics, which load balancers and Prometheus are set up for.
"""

from homeserver.runtime.metrics import Metrics
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, route


class HealthApi:
    @route("GET", "/health", access=Access.PUBLIC)
    async def get_health(self, call: Call) -> Answer:
        return Reply(200, "OK")


class MetricsApi:
    """Only on listeners that are asked to serve metrics: what is counted is nobody else's business."""

    def __init__(self, *, metrics: Metrics) -> None:
        self._metrics = metrics

    @route("GET", "/_synapse/metrics", "/metrics", access=Access.PUBLIC)
    async def get_metrics(self, call: Call) -> Answer:
        body, content_type = self._metrics.exposition()
        return Reply(200, body, content_type)
