"""Where the binaries under test are."""

import contextlib
import os
import pathlib
import shutil
import tempfile

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


@contextlib.contextmanager
def staged():
    """Copies the binaries to where every user may run them (bazel-bin may lie in a private home), and lets
    LANYARD_BIN name that folder."""
    with tempfile.TemporaryDirectory(prefix="lanyard-bin-") as folder:
        os.chmod(folder, 0o755)
        for name in _TARGETS:
            with contextlib.suppress(FileNotFoundError):  # whoever needs it says so
                shutil.copy(path_of(name), folder)
        before = os.environ.get("LANYARD_BIN")
        os.environ["LANYARD_BIN"] = folder
        try:
            yield
        finally:
            os.environ.pop("LANYARD_BIN") if before is None else os.environ.update(LANYARD_BIN=before)
