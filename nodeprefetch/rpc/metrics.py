"""The older Go tool's `Metrics` service: messages and stub that dev/generate makes from proto/metrics.proto."""

from nodeprefetch.rpc._generated import Empty, MetricsStub, Result

__all__ = ["Empty", "MetricsStub", "Result"]
