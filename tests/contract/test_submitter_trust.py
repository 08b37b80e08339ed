"""The submitter over TLS, and with a token that is renewed."""

import gc
import os
import ssl
from functools import partial

import pytest
import trio
import trustme

from nodeprefetch.errors import UsageError
from nodeprefetch.events import RunEnd, RunFinished, RunStarted
from nodeprefetch.submit.submitter import Submitter
from nodeprefetch.text.token_file import TokenFile
from tests.support.fake_aggregator import FakeAggregator, Reply

STARTED = RunStarted(run_id="r1", node="n1", version="1", runtime="x", socket="/s", images=("a",))
FINISHED = RunFinished(run_id="r1", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=1)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def tls_aggregator(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with FakeAggregator(tls=context) as running:
        yield running


def submitter(endpoint, said=None, **options):
    warn = (said if said is not None else []).append
    return Submitter(endpoint, **{"warn": warn, "node": "n0", "jitter": lambda: 0.1, **options})


async def deliver(reporter, *events):
    for event in events:
        reporter.emit(event)
    with trio.fail_after(300):
        await reporter.finish()


async def say_nothing(_stream):
    await trio.sleep_forever()


async def test_events_travel_over_tls_with_an_authority_of_ones_own(tls_aggregator, ca_file):
    await deliver(submitter(tls_aggregator.endpoint, ca_file=ca_file), STARTED)

    assert [STARTED] == tls_aggregator.events


async def test_an_aggregator_killed_and_restarted_is_found_again_over_tls(tls_aggregator, ca_file):
    reporter = submitter(tls_aggregator.endpoint, ca_file=ca_file)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        reporter.emit(STARTED)
        await trio.to_thread.run_sync(tls_aggregator.wait_until, lambda it: it.events)
        await trio.to_thread.run_sync(tls_aggregator.stop)
        reporter.emit(FINISHED)
        await trio.sleep(0.02)
        tls_aggregator.start()
        with trio.fail_after(300):
            await reporter.finish()

    assert [STARTED, FINISHED] == tls_aggregator.events


async def test_an_aggregator_whose_authority_is_not_trusted_gets_nothing(tls_aggregator):
    said = []
    reporter = submitter(tls_aggregator.endpoint, said)
    reporter.emit(STARTED)
    with trio.move_on_after(1):
        await reporter.finish()

    assert [] == tls_aggregator.requests
    assert "certificate verify failed" in said[0]


async def test_a_handshake_that_hangs_leaves_no_open_connection(ca_file):
    """An open socket would be a ResourceWarning, which is an error here."""
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, say_nothing, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        reporter = submitter(f"https://localhost:{port}", ca_file=ca_file)
        reporter.emit(STARTED)
        with trio.move_on_after(0.2) as grace:
            await reporter.finish()
        nursery.cancel_scope.cancel()
    gc.collect()

    assert grace.cancelled_caught


async def test_a_renewed_token_is_used(tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    with FakeAggregator() as aggregator:
        reporter = submitter(aggregator.endpoint, token_file=str(file))
        await deliver(reporter, STARTED)
        renewed = tmp_path / "renewed"
        renewed.write_text("second")
        renewed.rename(file)
        await deliver(reporter, FINISHED)

    assert ["Bearer first", "Bearer second"] == [request.headers["authorization"] for request in aggregator.requests]


async def test_a_token_is_read_again_though_its_file_looks_the_same(tmp_path):
    file = tmp_path / "token"
    file.write_text("first1")
    dates = file.stat()
    with FakeAggregator() as aggregator:
        aggregator.token = "second"
        reporter = submitter(aggregator.endpoint, token_file=str(file))
        file.write_text("second")
        os.utime(file, ns=(dates.st_atime_ns, dates.st_mtime_ns))
        await deliver(reporter, STARTED)

    assert [STARTED] == aggregator.events
    assert 1 == len(aggregator.requests)


async def test_a_token_is_in_no_message(tmp_path):
    file = tmp_path / "token"
    file.write_text("s3cr3t-value")
    said = []
    with FakeAggregator() as aggregator:
        aggregator.script.append(Reply(status=403, body=b"the token s3cr3t-value may not"))
        reporter = submitter(aggregator.endpoint, said, token_file=str(file))
        await deliver(reporter, STARTED)

    assert "the token *** may not" in said[0]
    assert "s3cr3t" not in repr(reporter) + repr(reporter._destination)


@pytest.mark.parametrize("content", [None, "", "two words", "ümlaut", "x" * 70_000])
def test_a_token_file_without_a_token_is_a_usage_error(tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)

    with pytest.raises(UsageError, match="token file"):
        submitter("host:1", token_file=str(file))


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_ca_file_without_certificates_is_a_usage_error(tmp_path, content):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(UsageError, match="CA file"):
        submitter("https://host:1", ca_file=str(file))


def test_nobody_waits_for_a_fifo(tmp_path):
    """Neither at the start nor when the token's file becomes one."""
    fifo, token = tmp_path / "fifo", tmp_path / "token"
    os.mkfifo(fifo)
    token.write_text("first")
    file = TokenFile(str(token))
    fifo.rename(token)

    with pytest.raises(UsageError, match=f"cannot read certificates from CA file '{token}': .*not a regular file"):
        submitter("https://host:1", ca_file=str(token))
    with pytest.raises(UsageError, match=r"cannot read token file .*: not a regular file"):
        submitter("host:1", token_file=str(token))
    assert "first" == file.token()


def test_a_ca_file_without_tls_is_a_usage_error(ca_file):
    with pytest.raises(UsageError, match="requires an https endpoint"):
        submitter("host:1", ca_file=ca_file)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    with pytest.raises(UsageError) as error:
        submitter("host", token_file=str(tmp_path / "missing"))

    assert 2 == len(error.value.problems)
