"""A credential plugin for nodeprefetch: user names and passwords from a netrc file, by host."""

from netrc import NetrcParseError, netrc

from nodeprefetch.credentials import (
    AuthConfig,
    ImageRef,
    NotConfigured,
    PluginContext,
    ProvidedCredentials,
    UsageError,
)


class NetrcProvider:
    """Reads the file at each call. Reading blocks, so nodeprefetch calls it in a thread."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.read()  # report an invalid file before the run starts

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
            # The parser quotes what it cannot parse, which may be a password: omit its text and the cause.
            problem = f"is not a valid netrc file (near line {error.lineno})"
        except UnicodeDecodeError:
            problem = "is not valid UTF-8"
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
        raise UsageError([f"netrc file {self.file}: {problem}"])


def make_provider(context: PluginContext) -> NetrcProvider | NotConfigured:
    context.allow_options("file")
    file = context.option("file")
    if not file:
        return NotConfigured(why=f"no --credential-option {context.name}.file=FILE")
    return NetrcProvider(file)
