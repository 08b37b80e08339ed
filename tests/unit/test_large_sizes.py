"""An image of 20 GB: its size needs more than 32 bits in every message, the database and the metrics."""

import msgspec
import pytest

from nodeprefetch.aggregator.access.auth import Anyone
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.web.exposition import exposition
from nodeprefetch.aggregator.web.service import make_service
from nodeprefetch.batch import Batch
from nodeprefetch.events import Phase, Progress
from nodeprefetch.pull.tracker import Observation, Track, read_layers
from nodeprefetch.rpc import containerd, cri
from nodeprefetch.rpc.metrics import Result
from nodeprefetch.runtime.api import Ingest, Resource, ResourceKind
from nodeprefetch.values.sizes import format_size
from tests.support.batches import attempt, batch_of

SIZE = 20_000_000_001
LAYER, MANIFEST = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.mark.parametrize(
    "message",
    [
        cri.Image(size=SIZE),
        containerd.content.Status(ref="a", offset=SIZE, total=SIZE),
        containerd.content.Info(digest="a", size=SIZE),
        Result(size_bytes=SIZE),
    ],
)
def test_messages_carry_it(message):
    assert message == type(message).parse(bytes(message))


def test_progress_counts_it():
    manifest = read_layers(msgspec.json.encode({"layers": [{"digest": LAYER, "size": SIZE}]}))
    ref = f"layer-{LAYER}"
    held = frozenset({Resource(kind=ResourceKind.CONTENT, id=MANIFEST), Resource(kind=ResourceKind.INGEST, id=ref)})
    ingests = {ref: Ingest(ref=ref, offset=SIZE - 1, total=SIZE)}

    sight = Track().update(Observation(ingests=ingests, resources=held, manifests={MANIFEST: manifest})).sight

    assert (SIZE - 1, SIZE) == (sight.done, sight.total)
    assert "18.6 GiB" == format_size(SIZE)


async def test_events_the_database_and_the_metrics_carry_it():
    events = (
        msgspec.structs.replace(attempt("a:1"), size=SIZE),
        Progress(attempt_id="x", image="a:1", phase=Phase.DOWNLOADING, done_bytes=SIZE, total_bytes=SIZE, rate=SIZE),
    )
    batch = msgspec.json.decode(msgspec.json.encode(batch_of(*events)), type=Batch)
    assert events == batch.events

    with open_database(None) as database:
        store = Store(database, Bounds())
        store.write([[Submission(batch=batch)]], 1000)
        service = make_service(AggregatorSettings(), store, Anyone(), lambda _: None)
        text, _ = await exposition(service, "text/plain", "a")

    assert SIZE == float(text.decode().split('nodeprefetch_pulled_bytes_total{image="a:1"} ')[1].split("\n")[0])
