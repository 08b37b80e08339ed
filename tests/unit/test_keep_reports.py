"""Whether anybody hears the reports of `keep`."""

import math

import pytest

from nodeprefetch.cli.flags import KeepFlags
from nodeprefetch.cli.keep import report_interval


@pytest.mark.parametrize(
    ("flags", "seconds"),
    [
        (KeepFlags(), math.inf),
        (KeepFlags(metrics_endpoint="aggregator:8443"), 3600),
        (KeepFlags(metrics_endpoint="aggregator:8443", report_every="30m"), 1800),
        (KeepFlags(metrics_endpoint="aggregator:8443", metrics_protocol="grpc"), math.inf),
        (KeepFlags(node_condition=True), 3600),
    ],
)
def test_reports_are_made_only_where_somebody_hears_them(flags: KeepFlags, seconds: float) -> None:
    """The older protocol has attempts only."""
    assert seconds == report_interval(flags)
