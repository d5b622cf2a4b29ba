"""The figures of the server, for Prometheus."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from anyio import to_thread
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from smtd.server.answers import COMMON_HEADERS

#: Methods with a label of their own: clients may send any word, and all others count as "other".
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._requests = Counter(
            "smtd_server_requests",
            "Requests that were answered.",
            ["method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "smtd_server_request_seconds",
            "How long answers took.",
            ["method"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._changes = Counter(
            "smtd_server_changes", "Changes of records that were committed.", registry=self._registry
        )
        self._streams = Gauge(
            "smtd_server_streams",
            "Open change streams and waiting answers.",
            registry=self._registry,
        )
        self._head = Gauge("smtd_server_head", "The number of the last change.", registry=self._registry)

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        name = method if method in _METHODS else "other"
        self._requests.labels(name, str(status)).inc()
        self._seconds.labels(name).observe(seconds)

    def committed(self, changes: int) -> None:
        """Count the changes of one transaction."""
        self._changes.inc(changes)

    async def answer(self, *, streams: int, head: int) -> web.Response:
        """Return all figures as text."""
        self._streams.set(streams)
        self._head.set(head)
        body = await to_thread.run_sync(partial(generate_latest, self._registry))
        headers = {**COMMON_HEADERS, "Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=body, headers=headers)
