"""The HTTP/2 state machine of h2, configured for a gRPC client."""

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame

STREAM_WINDOW: Final = 1024 * 1024
"""Bytes that a server may send on one stream before the caller takes them."""

CONNECTION_WINDOW: Final = 4 * 1024 * 1024
"""Bytes that a server may send on the connection before they are read."""

_DEFAULT_WINDOW = 65_535
"""RFC 9113, section 6.9.2."""


class _Http2(H2Connection):
    """Fixes GOAWAY: for h2 it is the end, but accepted streams continue (RFC 9113, section 6.8)."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data or None
        return [], [event]


def start_http2() -> H2Connection:
    """Return a connection with its preface in the send buffer.

    Does not set MAX_CONCURRENT_STREAMS: it limits pushed streams, which ENABLE_PUSH already forbids, and some servers
    interpret 0 as "no calls at all".
    """
    http2 = _Http2(H2Configuration(client_side=True, header_encoding=None))
    http2.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
        },
    )
    http2.initiate_connection()
    http2.increment_flow_control_window(CONNECTION_WINDOW - _DEFAULT_WINDOW)
    return http2
