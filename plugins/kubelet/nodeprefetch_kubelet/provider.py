"""One program of the configuration as a credential provider."""

from collections.abc import Mapping
from pathlib import Path

import trio

from nodeprefetch.credentials.api import PluginContext, ProvidedCredentials
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch_kubelet.config import ProviderConfig
from nodeprefetch_kubelet.process import Output, run_program
from nodeprefetch_kubelet.protocol import decode_response, encode_request
from nodeprefetch_kubelet.stderr import Tail, readable
from nodeprefetch_kubelet.tokenfiles import read_token


class ExecProvider:
    """Asks a program, which is run once for each call.

    Args:
        config: what the configuration says of it.
        program: its file.
        context: of the plugin: the environment the program inherits, and where its stderr goes when it fails.
        token_file: what it is given a service account token from.
    """

    def __init__(
        self, config: ProviderConfig, program: Path, context: PluginContext, token_file: Path | None = None
    ) -> None:
        self.name = f"{context.name}/{config.name}"
        """For people: `kubelet/ecr-credential-provider`."""
        self._config = config
        self._argv = (str(program), *config.args)
        self._env: Mapping[str, str] = {**context.environment, **config.env}
        self._warn = context.warn
        self._token_file = token_file
        self._said: set[str] = set()

    def matches(self, image: ImageRef) -> bool:
        """Whether the program is to be asked for this image: any of its `matchImages` matches."""
        name = image.lookup_name
        return any(pattern.matches(name) for pattern in self._config.match_images)

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        """Run the program. What it wrote on stderr is told if it fails or is cut, and only then.

        Raises:
            KubeletProviderError: it cannot be run, failed, or gave no usable answer.
        """
        token = await self._read_token()
        request = encode_request(self._config.api_version, image.lookup_name, token)
        stdout, stderr = Output(), Tail()
        try:
            await run_program(self._argv, env=self._env, request=request, stdout=stdout, stderr=stderr.add)
            return decode_response(
                bytes(stdout.data), self._config.api_version, self._config.default_cache_duration, self._warn_once
            )
        except BaseException:  # our errors and being cut, which comes as a group
            text = readable(stderr.data, stdout=bytes(stdout.data), env=self._env, token=token)
            if text:
                self._warn(f"{self._config.name} wrote on stderr: {text}")
            raise

    def _warn_once(self, text: str) -> None:
        """Each answer may have the same oddity."""
        if text not in self._said:
            self._said.add(text)
            self._warn(f"{self._config.name}: {text}")

    async def _read_token(self) -> str | None:
        if self._token_file is None:
            return None
        return await trio.to_thread.run_sync(read_token, self._token_file, abandon_on_cancel=True)
