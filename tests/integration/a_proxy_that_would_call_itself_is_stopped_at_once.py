import os

from kit import ebpf, namespaces, processes, sockets, waiting
from kit.certificates import Authority
from kit.proxy import ADMIN_PORT, Proxy, from_files
from kit.scope import check

OTHER_UID, APPLICATION_UID = 21001, 21003
NEAR, FAR = ("10.78.0.1", "fd78::1"), ("10.78.0.2", "fd78::2")
APPLICATION, CIRCLE, OPEN = 80, 9010, 9020

_CONNECT = """import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 40) as connection:
        connection.sendall(b"hello")
        print("heard", connection.recv(100))
except ConnectionError:
    print("reset")
"""


class Machine:
    """An application and its proxy in `near`, which both run as root; a server in `far`."""

    def __init__(self, scope):
        self.scope, self.proxy, self.proxies = scope, None, 0
        self.near, self.far = namespaces.Namespace(scope, "near"), namespaces.Namespace(scope, "far")
        namespaces.join(self.near, self.far, [f"{NEAR[0]}/24", f"{NEAR[1]}/64"], [f"{FAR[0]}/24", f"{FAR[1]}/64"])
        for namespace in (self.near, self.far):
            sockets.Server(scope, sockets.echo, APPLICATION, namespace=namespace)
        self.svid = Authority(scope.folder).svid("/near")

    def start_proxy(self, mode):
        """In the place of the last one."""
        if self.proxy:
            self.proxy.process.stop()
        self.proxies += 1
        self.proxy = Proxy(self.scope, f"proxy-{self.proxies}", {
            "identity": from_files(self.svid), "admin": {"address": f"[::]:{ADMIN_PORT}"},
            "capture": {"outbound_address": ":15001", "inbound_address": ":15006",
                        "mode": "TPROXY" if mode == "tproxy" else "REDIRECT"},
            "inbound": {"rules": [{"name": "anybody", "allow_plaintext": True, "peers": []}]},
            "listeners": [{"name": "open", "inbound": {"address": f":{OPEN}", "allow_plaintext": True,
                                                       "destination": f"127.0.0.1:{APPLICATION}"}}]}, self.near)

    def capture(self, mode, proxy_uid):
        return processes.run(["lanyard", "capture", "up", "--mode", mode, "--proxy-uid", str(proxy_uid)], self.near)

    def call(self, address, port=APPLICATION):
        """What an application of near hears."""
        done = processes.run(["/usr/bin/python3", "-c", _CONNECT, address, str(port)], self.near, APPLICATION_UID)
        return done.stdout.strip() or done.stderr

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.proxy.process.pid}/fd"))

    def wait_until_quiet(self):
        """Until no connection is left that could still be counted."""
        waiting.until(lambda: self.proxy.connections() == [], "a connection is still open")

    def loops(self):
        return sum(self.proxy.metric("lanyard_proxy_connections_closed_total", direction=direction,
                                     reason="loop_detected") for direction in ("inbound", "outbound"))

    def warnings(self):
        return [record["detail"] for record in self.proxy.process.records()
                if "connections of this proxy with itself" in record["message"]]


def test(scope):
    ebpf.hide_mounts()
    ebpf.mount_file_system()
    machine = Machine(scope)
    for mode in ("redirect", "tproxy", "ebpf"):
        machine.start_proxy(mode)
        done = machine.capture(mode, OTHER_UID)  # its own connections are captured: another user is exempt
        if mode == "ebpf" and ebpf.lacking():
            check.assertEqual(done.returncode, 1, done.stdout)
            continue
        check.assertEqual(done.returncode, 0, done.stderr)
        its_own_connections_are_refused(machine)
        machine.capture(mode, 0)  # the remedy that the log names
        for address in FAR:
            check.assertEqual(machine.call(address), "heard b'hello'", mode)
        a_capture_port_is_nobodys_destination(machine)
        its_other_addresses_may_be_called(machine)
    processes.run(["lanyard", "capture", "down"], machine.near)
    a_circle_of_listeners_ends(scope, machine)


def its_own_connections_are_refused(machine):
    before, calls = machine.descriptors(), 5
    for address in FAR:
        for _ in range(calls):
            check.assertIn(machine.call(address), ("reset", "heard b''"))
    waiting.until(lambda: machine.loops() >= 2 * calls, "the loops are not counted")
    # One worker may accept before the other has told that it dials; then it goes round once more.
    check.assertLess(len(machine.proxy.closed()), 2 * calls * 8, "the loops went round and round")
    waiting.until(lambda: machine.descriptors() <= before + 2, "descriptors are left open")
    closed = machine.proxy.wait_for_closed(close_reason="loop_detected")
    check.assertIn("--proxy-uid", closed["detail"])
    waiting.until(lambda: any("--proxy-uid" in detail for detail in machine.warnings()), machine.proxy.process.tail)
    check.assertLess(len(machine.warnings()), 10, "a flood of warnings")


def a_capture_port_is_nobodys_destination(machine):
    for address in NEAR:
        for port in (15001, 15006):
            machine.wait_until_quiet()
            before = machine.loops()
            check.assertIn(machine.call(address, port), ("reset", "heard b''"))
            waiting.until(lambda: machine.loops() > before, "the loop is not counted")
    waiting.until(lambda: any("capture port" in record["detail"] for record
                              in machine.proxy.closed(close_reason="loop_detected")), machine.proxy.process.tail)


def its_other_addresses_may_be_called(machine):
    """By whom the policy allows: those who scrape its metrics come by capture like anybody else."""
    machine.wait_until_quiet()
    before = machine.loops()
    for address in NEAR:
        check.assertEqual(sockets.get(ADMIN_PORT, "/live", machine.far, address)[0], 200)
        sockets.exchange(address, OPEN, machine.far)
        shown = f"[{address}]" if ":" in address else address
        for port in (ADMIN_PORT, OPEN):
            machine.proxy.wait_for_closed(listener="capture-inbound", destination=f"{shown}:{port}")
    check.assertEqual(machine.loops(), before)


def a_circle_of_listeners_ends(scope, machine):
    # Of one worker: among several the count may begin anew.
    ways = ((CIRCLE, CIRCLE + 1), (CIRCLE + 1, CIRCLE))
    circle = Proxy(scope, "circle", {"identity": from_files(machine.svid), "workers": 1, "listeners": [
        {"name": f"to-{destination}", "outbound": {"address": f"127.0.0.1:{port}", "peers": [machine.svid.spiffe_id],
                                                   "destination": f"127.0.0.1:{destination}"}}
        for port, destination in ways]}, machine.far)
    check.assertTrue(sockets.is_refused("127.0.0.1", CIRCLE, machine.far))
    check.assertIn("leads back", circle.wait_for_closed(close_reason="loop_detected")["detail"])
    waiting.until(lambda: circle.connections() == [], "the circle is not taken apart")
    waiting.until(lambda: len(circle.closed()) >= 6, "the circle's log is incomplete")
    check.assertEqual(len(circle.closed()), 6)
