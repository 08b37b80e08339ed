"""Everything around a `fetch`: what the user gave, checked as a whole; then plugins, readers and reporters, opened."""

import os
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from nodeprefetch.cli.flags import FetchFlags, fetch_settings, node_name, read_seconds
from nodeprefetch.cli.inputs import load_credential_plugins, read_images
from nodeprefetch.credentials.chain import open_chain
from nodeprefetch.credentials.plugins import Plugin
from nodeprefetch.errors import Problems
from nodeprefetch.events import Emitter, Notices, Reader
from nodeprefetch.kube import connect
from nodeprefetch.pull.run import Report, fetch
from nodeprefetch.report.label_key import check_prefix
from nodeprefetch.report.node_label import NodeLabel
from nodeprefetch.report.readers import Reporter, reporting
from nodeprefetch.report.unrecognized import UnrecognizedErrors
from nodeprefetch.runtime.connect import connect_to
from nodeprefetch.settings import FetchSettings
from nodeprefetch.text.known_secrets import knowing_secrets
from nodeprefetch.values.image_ref import ImageRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A run that is ready to begin."""

    settings: FetchSettings
    images: tuple[ImageRef, ...]
    plugins: tuple[Plugin, ...]
    reporters: tuple[Reporter, ...]
    """Deliver what is said."""

    speakers: tuple[Reporter, ...]
    """Say something at their own end, which reporters deliver."""

    report_grace: float
    """Seconds for reporters after the run."""

    progress_interval: float
    """Seconds between two log lines that tell how far a pull is; 0: none."""

    emit: Emitter
    """Reaches the reporters, and whoever else is added."""

    notices: Notices

    async def run(self, reader: Reader, signals: AsyncIterable[int]) -> Report:
        """Pull, report, and return how it ended.

        Args:
            reader: who watches.
            signals: the first one stops the run.
        """
        self.emit.add_first(reader)
        self.notices.pass_to(self.emit)
        with knowing_secrets():
            return await self._run(signals)

    async def _run(self, signals: AsyncIterable[int]) -> Report:
        async with (
            reporting(self.reporters, grace=self.report_grace, speakers=self.speakers, warn=self.notices.add),
            open_chain(self.plugins, self.notices.add) as credentials,
        ):
            return await fetch(
                self.images,
                self.settings,
                connect=connect_to(self.settings.cri_socket, wait=self.settings.runtime_wait, warn=self.notices.add),
                credentials=credentials,
                emit=self.emit,
                signals=signals,
            )


def prepare(flags: FetchFlags, images: Sequence[str], environment: Mapping[str, str] = os.environ) -> Session:
    """Check everything the user gave, before anything is done.

    Raises:
        UsageError: with all that is wrong.
    """
    problems = Problems()
    notices, emit = Notices(), Emitter()
    with problems.collected():
        settings = fetch_settings(flags)
    with problems.collected():
        grace = read_seconds(flags, "report_grace", may_be_zero=True)
    with problems.collected():
        progress_interval = read_seconds(flags, "progress_interval", may_be_zero=True)
    with problems.collected():
        refs = read_images(flags.image_list_file, images)
    with problems.collected():
        plugins = load_credential_plugins(flags, notices.add)
    reporters: list[Reporter] = []
    speakers: list[Reporter] = []
    with problems.collected():
        speakers += _node_label(flags, notices, emit, environment)
    with problems.collected():
        reporters += _submitter(flags, notices, environment)
    problems.raise_if_any()
    for reporter in (*speakers, *reporters):
        emit.add(reporter.emit)
    emit.add(UnrecognizedErrors(emit).hear)
    return Session(
        settings=settings,
        images=refs,
        plugins=plugins,
        reporters=tuple(reporters),
        speakers=tuple(speakers),
        report_grace=grace,
        progress_interval=progress_interval,
        emit=emit,
        notices=notices,
    )


def _node_label(
    flags: FetchFlags, notices: Notices, emit: Emitter, environment: Mapping[str, str]
) -> Sequence[Reporter]:
    check_prefix(flags.node_label_prefix)
    node, instance = environment.get("NODE_NAME", ""), environment.get("INSTANCE_NAME", "")
    if not node:
        notices.info("no node is labelled: NODE_NAME is not set")
        return []
    return [
        NodeLabel(
            node,
            instance,
            prefix=flags.node_label_prefix,
            connect=partial(connect, flags.kubeconfig),
            warn=notices.add,
            emit=emit,
        )
    ]


def _submitter(flags: FetchFlags, notices: Notices, environment: Mapping[str, str]) -> Sequence[Reporter]:
    if not flags.metrics_endpoint:
        return []
    # Only who has an aggregator pays for what speaks to it.
    from nodeprefetch.submit.submitter import Submitter  # noqa: PLC0415

    return [
        Submitter(
            flags.metrics_endpoint,
            warn=notices.add,
            node=node_name(environment),
            instance=environment.get("INSTANCE_NAME", ""),
            protocol=flags.metrics_protocol,
            ca_file=flags.metrics_ca_file,
            token_file=flags.metrics_token_file,
        )
    ]
