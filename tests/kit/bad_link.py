"""A link between two namespaces that loses and reorders packets, on kernels with and without sch_netem: a TUN
device at each end, `eth0`, and a thread between that forwards what chance lets through."""

import fcntl
import os
import pathlib
import select
import struct
import threading
import time

from kit import namespaces

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454ca, 0x0001, 0x1000
_MOST_BYTES = 1 << 16
_LATE_S = 0.005
# Where the kernel has them: without, TCP doubles its patience at each loss, and chance makes some runs very long.
_PATIENCE = {"tcp_rto_max_ms": "1000", "tcp_thin_linear_timeouts": "1"}


class BadLink:
    """`join` is what kit.pair asks for. `loss` and `late` are the shares of packets that are dropped, and that are
    held back until others overtook them; both may be changed at any time."""

    def __init__(self, scope, random, loss=0.0, late=0.0, mtu=1500):
        self.loss, self.late = loss, late
        self.forwarded = self.lost = self.reordered = 0
        self._random, self._mtu, self._scope = random, mtu, scope
        self._late = []  # (when, to, packet)
        self._stop = os.pipe()

    def join(self, first, second, first_addresses, second_addresses):
        ends = [self._end(first, first_addresses), self._end(second, second_addresses)]
        thread = threading.Thread(target=self._forward, args=(ends,), daemon=True)
        thread.start()

        def stop():
            os.close(self._stop[1])
            thread.join()
            for end in (*ends, self._stop[0]):
                os.close(end)
        self._scope.callback(stop)

    def _end(self, namespace, addresses):
        with namespace.entered():
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH14x", b"eth0", _IFF_TUN | _IFF_NO_PI))
            for name, value in _PATIENCE.items():
                setting = pathlib.Path("/proc/sys/net/ipv4", name)
                if setting.exists():
                    setting.write_text(value)
        for address in addresses:
            namespaces.ip("-n", namespace.name, "address", "add", address, "dev", "eth0")
        namespaces.ip("-n", namespace.name, "link", "set", "eth0", "mtu", str(self._mtu), "up")
        return tun

    def _forward(self, ends):
        other = {ends[0]: ends[1], ends[1]: ends[0]}
        while True:
            wait = None if not self._late else max(0.0, self._late[0][0] - time.monotonic())
            ready = select.select([*ends, self._stop[0]], [], [], wait)[0]
            if self._stop[0] in ready:
                return
            while self._late and self._late[0][0] <= time.monotonic():
                self._put(*self._late.pop(0)[1:])
            for end in ready:
                self._take(end, other[end])

    def _take(self, end, to):
        try:
            packet = os.read(end, _MOST_BYTES)
        except BlockingIOError:
            return
        chance = self._random.random()
        if chance < self.loss:
            self.lost += 1
        elif chance < self.loss + self.late:
            self.reordered += 1
            self._late.append((time.monotonic() + _LATE_S, to, packet))
        else:
            self._put(to, packet)

    def _put(self, to, packet):
        try:
            os.write(to, packet)
            self.forwarded += 1
        except OSError:  # its queue is full, or the link is down
            self.lost += 1
