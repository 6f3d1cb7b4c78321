"""A disk that is easily full: a tmpfs over a folder."""

import os
import subprocess


class SmallDisk:
    """Mounted on `folder`, which is made, until the scope ends. Processes that use it must start later than this."""

    def __init__(self, scope, folder, size_bytes=1 << 20):
        self.folder = folder
        self._filler = folder / "filler"
        folder.mkdir(mode=0o700)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "lanyard-test", str(folder)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"mount: {done.stderr.strip()} (the tests need root)")
        scope.callback(subprocess.run, ["umount", "--lazy", str(folder)], capture_output=True)

    def fill(self):
        """To the last block."""
        with open(self._filler, "ab", buffering=0) as filler:
            for block in (bytes(1 << 12), b"\0"):
                try:
                    while True:
                        filler.write(block)
                except OSError:
                    pass

    def free(self):
        os.unlink(self._filler)
