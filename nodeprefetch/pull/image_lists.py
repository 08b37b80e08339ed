"""Lists the images on the node: before the pulls, to skip what is there, and after them, for `--debug`."""

from nodeprefetch.emitter import Reader
from nodeprefetch.events import ImagesListed, Notice
from nodeprefetch.runtime.api import ImageService, Inventory
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError, answered_within
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.settings import FetchSettings


async def list_before(
    service: ImageService, gate: RuntimeGate, settings: FetchSettings, emit: Reader
) -> Inventory | None:
    """List the images on the node; None: the runtime failed to, and each image is checked individually.

    Args:
        service: of the runtime.
        gate: where to wait while the runtime is away.
        settings: with the timeout.
        emit: gets the list for `--debug`, or a notice of the failure.
    """
    while True:
        try:
            with answered_within(settings.image_list_timeout):
                inventory = Inventory(await service.list_images())
        except RuntimeFaultError as error:
            if error.fault.kind is FaultClass.RUNTIME_GONE:
                await gate.wait()
                continue
            problem = str(error)
        else:
            if settings.debug:
                emit(ImagesListed(when="before", images=inventory.names()))
            return inventory
        emit(Notice(message=f"could not list images, checking each one individually: {problem}"))
        return None


async def list_after(service: ImageService, settings: FetchSettings, emit: Reader) -> None:
    """Emit the list of images on the node after the run, for `--debug`. An error changes nothing."""
    error = ""
    names: tuple[str, ...] = ()
    try:
        with answered_within(settings.image_list_timeout):
            names = Inventory(await service.list_images()).names()
    except RuntimeFaultError as fault:
        error = str(fault)
    emit(ImagesListed(when="after", images=names, error=error))
