"""Network namespaces of our own. Needs root; without it everything fails, nothing is skipped."""

import contextlib
import ctypes
import itertools
import os
import subprocess

from kit import waiting

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()} (the tests need root)")


def _setns(descriptor):
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """An empty network namespace with its loopback up."""

    def __init__(self, scope, name):
        self.name = f"lanyard-{os.getpid()}-{next(_numbers)}-{name}"
        ip("netns", "add", self.name)
        scope.callback(self._delete)
        ip("-n", self.name, "link", "set", "lo", "up")

    def _delete(self):
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True)

    @contextlib.contextmanager
    def entered(self):
        """Sockets made and processes started by this thread belong to the namespace, and stay in it."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
            try:
                yield self
            finally:
                _setns(home)
        finally:
            os.close(there)
            os.close(home)


def join(first, second, first_addresses, second_addresses):
    """A veth pair, `eth0` at both ends."""
    ip("-n", first.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", second.name)
    for namespace, addresses in ((first, first_addresses), (second, second_addresses)):
        for address in addresses:
            ip("-n", namespace.name, "address", "add", address, "dev", "eth0",
               *(["nodad"] if ":" in address else []))
        ip("-n", namespace.name, "link", "set", "eth0", "up")
    for namespace in (first, second):  # what is sent before the link has come up is lost
        waiting.until(lambda namespace=namespace: is_up(namespace), "a link does not come up")


def is_up(namespace, link="eth0"):
    done = subprocess.run(["ip", "-n", namespace.name, "-o", "link", "show", link], capture_output=True, text=True)
    return " state UP " in done.stdout
