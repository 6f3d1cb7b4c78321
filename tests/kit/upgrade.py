"""`lanyard proxy upgrade`: another process takes over from a proxy that runs."""

import json
import os
import signal

from kit import processes, waiting
from kit.scope import check


def command(scope, proxy, *words, environment=None):
    """A CompletedProcess of the command for `proxy`."""
    return processes.run(["lanyard", "proxy", "upgrade", "--admin", f"127.0.0.1:{proxy.admin_port}", *words],
                         proxy.namespace, environment=environment, timeout_s=90)


def alive(pid):
    """Whether it runs; one that has ended and that nobody waited for does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def upgrade(scope, proxy, *words):
    """Upgrades, and returns the pid of the process that serves now; it ends with the scope."""
    done = command(scope, proxy, *words, "-o", "json")
    check.assertEqual(done.returncode, 0, done.stderr)
    pid = json.loads(done.stdout)["pid"]
    scope.callback(lambda: alive(pid) and os.kill(pid, signal.SIGKILL))
    return pid


def wait_until_gone(pid, timeout_s=waiting.TIMEOUT_S):
    waiting.until(lambda: not alive(pid), f"process {pid} is still there", timeout_s)
