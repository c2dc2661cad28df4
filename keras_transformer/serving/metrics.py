"""Metrics of the server for Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Metrics of one server. Labels have few values: paths are named by what they do."""

    def __init__(self):
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "keras_transformer_requests",
            "Requests answered.",
            ["interface", "path", "status"],
            registry=registry,
        )
        self.latency = Histogram(
            "keras_transformer_request_seconds",
            "From a request's beginning to its answer.",
            ["interface", "path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.rejected = Counter(
            "keras_transformer_rejected_requests",
            "Requests that got no answer from the model.",
            ["reason"],
            registry=registry,
        )
        self.connections = Gauge(
            "keras_transformer_connections", "HTTP connections.", registry=registry
        )
        self.refused_connections = Counter(
            "keras_transformer_refused_connections",
            "Connections that the server ended: slow clients, and those that made room.",
            ["reason"],
            registry=registry,
        )
        self.dropped_log_lines = Counter(
            "keras_transformer_dropped_log_lines",
            "Lines of the log that could not be written, or not in time.",
            registry=registry,
        )
        self.texts = Counter(
            "keras_transformer_texts", "Texts answered.", ["signature"], registry=registry
        )
        self.queued = Gauge(
            "keras_transformer_queued_texts", "Texts that wait for a worker.", registry=registry
        )
        self.active = Gauge(
            "keras_transformer_active_requests", "Requests being answered.", registry=registry
        )
        self.batch_texts = Histogram(
            "keras_transformer_batch_texts", "Texts of a batch.", buckets=_TEXTS, registry=registry
        )
        self.batch_seconds = Histogram(
            "keras_transformer_batch_seconds",
            "Time of the model for a batch.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.version = Gauge(
            "keras_transformer_model_version",
            "1 for each version in memory.",
            ["model", "version"],
            registry=registry,
        )
        self.failed_loads = Counter(
            "keras_transformer_failed_loads",
            "Versions that could not be loaded.",
            registry=registry,
        )

    def observe_batch(self, texts: int, seconds: float) -> None:
        """Notes a batch that was run."""
        self.batch_texts.observe(texts)
        self.batch_seconds.observe(seconds)

    def observe_request(self, interface: str, path: str, status: str, seconds: float) -> None:
        """Notes a request that was answered.

        Args:
            interface: ``rest`` or ``grpc``.
            path: label of its path, such as ``predict``.
            status: the status of HTTP, or the name of gRPC's code.
            seconds: time from its beginning to its answer.
        """
        self.requests.labels(interface, path, status).inc()
        self.latency.labels(interface, path).observe(seconds)

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
