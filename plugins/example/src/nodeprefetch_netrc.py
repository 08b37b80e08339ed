"""A credential plugin for nodeprefetch: user names and passwords from a netrc file, by host."""

from netrc import NetrcParseError, netrc

from nodeprefetch.credentials.api import NotConfigured, PluginContext, ProvidedCredentials
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import ImageRef


class NetrcProvider:
    """Reads the file whenever it is asked. It blocks for that, so nodeprefetch calls it in a thread."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.read()  # whoever starts the run shall know now that the file is no good

    def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        hosts = self.read().hosts
        for machine in (image.registry, image.registry.rpartition(":")[0]):
            if machine in hosts:
                login, _, password = hosts[machine]
                auth = AuthConfig(username=login, password=password or "")
                return ProvidedCredentials.for_registry(image, auth)
        return ProvidedCredentials()

    def read(self) -> netrc:
        try:
            return netrc(self.file)
        except NetrcParseError as error:
            # The parser quotes what it stumbled on, which may be a password: no word of it, no cause.
            problem = f"is not as netrc files are written, near line {error.lineno}"
        except UnicodeDecodeError:
            problem = "is not a text in UTF-8"
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
        raise UsageError([f"netrc file {self.file}: {problem}"])


def make_provider(context: PluginContext) -> NetrcProvider | NotConfigured:
    context.allow_options("file")
    file = context.option("file")
    if not file:
        return NotConfigured(why=f"no --credential-option {context.name}.file=FILE")
    return NetrcProvider(file)
