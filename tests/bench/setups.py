"""What a contender is told about the run it is to be ready for."""

import dataclasses
import enum
import pathlib


class Mode(enum.Enum):
    """How new connections between the two proxies are made."""
    DEFAULT = "as the contender comes"
    FULL = "a full TLS handshake each, nothing resumed or pooled"
    RESUMED = "a TLS handshake each, sessions resumed"


@dataclasses.dataclass
class Setup:
    """All addresses are on 127.0.0.1."""
    directory: pathlib.Path     # its own, empty
    certificates: pathlib.Path  # see certificates.mint
    outbound_port: int          # where the load arrives
    tls_port: int               # between its two proxies
    server_port: int            # the echo server
    lanyard_proxy: pathlib.Path
    mode: Mode
