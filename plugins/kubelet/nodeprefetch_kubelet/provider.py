"""A credential provider that runs one program of the configuration."""

from collections.abc import Mapping
from pathlib import Path

import trio

from nodeprefetch.credentials import ImageRef, PluginContext, ProvidedCredentials
from nodeprefetch_kubelet.config import ProviderConfig
from nodeprefetch_kubelet.process import Output, run_program
from nodeprefetch_kubelet.protocol import decode_response, encode_request
from nodeprefetch_kubelet.stderr import Tail, readable
from nodeprefetch_kubelet.token_files import read_token


class ExecProvider:
    """Runs a program once for each call.

    Args:
        config: the program's configuration.
        program: the path of its file.
        context: of the plugin; the program inherits its environment, and its stderr is a warning if it fails.
        token_file: the file with its service account token.
    """

    def __init__(
        self, config: ProviderConfig, program: Path, context: PluginContext, token_file: Path | None = None
    ) -> None:
        self.name = f"{context.name}/{config.name}"
        """For messages: `kubelet/ecr-credential-provider`."""
        self._config = config
        self._argv = (str(program), *config.args)
        self._env: Mapping[str, str] = {**context.environment, **config.env}
        self._warn = context.warn
        self._token_file = token_file
        self._warned: set[str] = set()

    def matches(self, image: ImageRef) -> bool:
        """Whether any of the program's `matchImages` matches the image."""
        name = image.lookup_name
        return any(pattern.matches(name) for pattern in self._config.match_images)

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        """Run the program. Its stderr is a warning if it fails or is cancelled, and only then.

        Raises:
            KubeletProviderError: it could not run, failed, or did not return a valid response.
        """
        token = await self._read_token()
        request = encode_request(self._config.api_version, image.lookup_name, token)
        stdout, stderr = Output(), Tail()
        try:
            await run_program(self._argv, env=self._env, request=request, stdout=stdout, stderr=stderr.add)
            return decode_response(
                bytes(stdout.data), self._config.api_version, self._config.default_cache_duration, self._warn_once
            )
        except BaseException:  # our errors and cancellation, which comes as a group
            text = readable(stderr.data, stdout=bytes(stdout.data), env=self._env, token=token)
            if text:
                self._warn(f"{self._config.name} wrote to stderr: {text}")
            raise

    def _warn_once(self, text: str) -> None:
        """Warn only once, as each response may cause the same warning."""
        if text not in self._warned:
            self._warned.add(text)
            self._warn(f"{self._config.name}: {text}")

    async def _read_token(self) -> str | None:
        if self._token_file is None:
            return None
        return await trio.to_thread.run_sync(read_token, self._token_file, abandon_on_cancel=True)
