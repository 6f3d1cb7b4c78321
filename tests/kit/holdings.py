"""What a process holds, and whether a proxy gave back what it took."""

import os
import pathlib

from kit import waiting
from kit.binaries import PATIENCE

# Beside the links that wait for their next stream, which are counted: one may be coming or going.
SPARE_DESCRIPTORS = 8


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def pss_bytes(process):
    """Memory, with shared pages divided among those who share them."""
    return _kilobytes(f"/proc/{process.pid}/smaps_rollup", "Pss:")


def resident_bytes(process):
    return _kilobytes(f"/proc/{process.pid}/status", "VmRSS:")


def _kilobytes(path, field):
    return int(pathlib.Path(path).read_text().split(field)[1].split()[0]) << 10


def cpu_seconds(process):
    """Processor time used, user and system."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_links(proxy):
    return int(sum(proxy.metric("lanyard_proxy_idle_links", side=side) for side in ("opened", "accepted")))


def open_connections(proxy):
    return sum(proxy.metric("lanyard_proxy_connections_open", direction=direction)
               for direction in ("inbound", "outbound"))


class Holdings:
    """Of some proxies, as of now: take it when they are warm and nobody is connected."""

    def __init__(self, *proxies):
        self._before = [(proxy, descriptors(proxy.process), pss_bytes(proxy.process)) for proxy in proxies]

    def wait_until_given_back(self, memory_bytes=16 << 20, timeout_s=90):
        """No connection and no handshake, no descriptors but those of idle links, and no more than `memory_bytes` of
        memory more: the allocator keeps some of what was freed, and a sanitizer a multiple of it."""
        for proxy, descriptors_before, pss_before in self._before:
            most_descriptors, most_bytes = descriptors_before + SPARE_DESCRIPTORS, memory_bytes * PATIENCE

            def excess():
                proxy.process.check_alive()
                if open_connections(proxy):  # a page of thousands would itself take memory
                    return {"open connections": open_connections(proxy)}
                found = {"handshakes in flight": proxy.metric("lanyard_proxy_handshakes_in_flight"),
                         "entries in /connections": len(proxy.connections()),
                         "descriptors": max(0, descriptors(proxy.process) - idle_links(proxy) - most_descriptors),
                         "bytes of memory": max(0, pss_bytes(proxy.process) - pss_before - most_bytes)}
                return {what: amount for what, amount in found.items() if amount}
            waiting.until(lambda: not excess(), lambda: f"{proxy.process.name} still holds more than before: {excess()}",
                          timeout_s)
