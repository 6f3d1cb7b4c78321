"""Where the binaries under test are."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]

_TARGETS = {
    "lanyard-authority": "identity/authority/lanyard-authority",
    "lanyard-agent": "identity/agent/lanyard-agent",
    "lanyard-proxy": "proxy/lanyard-proxy",
    "lanyard": "identity/cli/lanyard",
}

# Sanitizers make everything slower; waits are multiplied by this.
PATIENCE = float(os.environ.get("LANYARD_PATIENCE", "1"))


def path_of(name):
    """LANYARD_BIN names a folder laid out like bazel-bin, or one with the four binaries in it."""
    folder = pathlib.Path(os.environ.get("LANYARD_BIN", ROOT / "bazel-bin"))
    for candidate in (folder / _TARGETS[name], folder / name):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{name} is not in {folder}: build it with bazel, or set LANYARD_BIN")
