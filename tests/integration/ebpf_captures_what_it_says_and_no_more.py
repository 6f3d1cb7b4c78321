import ipaddress
import json
import socket
import struct

from kit import captured, ebpf, namespaces, processes, sockets, waiting
from kit.captured import FAR, NEAR, OTHER_UID, PROXY_UID
from kit.scope import check

LATER = "10.78.1.1"  # an address that comes after capture is up
_SOL_IPV6, _ORIGINAL_DESTINATION = 41, 80
# Listens on the inbound port of an address, "::" for all, and says its name and where the caller meant to go.
_LISTEN = """import contextlib, socket, sys
address, name = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
listener = socket.create_server((address, 15006), family=family, dualstack_ipv6=address == "::")
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    meant, port = connection.getsockname()[:2]
    with connection, contextlib.suppress(OSError):
        connection.sendall(f"{name} to {meant.removeprefix('::ffff:')} {port}".encode())
"""

# What the caller hears, and whom it thinks it called.
_CALL = """import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
connection = socket.socket(family, socket.SOCK_STREAM)
connection.settimeout(30)
host, _, scope = sys.argv[1].partition("%")
try:
    connection.connect((host, int(sys.argv[2]), *([0, int(scope or 0)] if ":" in host else [])))
    print(connection.recv(100).decode(), "as", connection.getpeername()[0])
except ConnectionError:
    print("refused")
"""


def original_destination(connection):
    """As the proxy asks for it; "none" where there is none."""
    for level, size in ((socket.SOL_IP, 4), (_SOL_IPV6, 16)):
        try:
            answer = connection.getsockopt(level, _ORIGINAL_DESTINATION, 128)
        except OSError:
            continue
        start = 4 if size == 4 else 8
        port = struct.unpack("!H", answer[2:4])[0]
        return f"{ipaddress.ip_address(answer[start:start + size])} {port}"
    return "none"


def outbound(connection):
    connection.sendall(f"outbound to {original_destination(connection)}".encode())


def application(connection):
    connection.sendall(b"application")


class Machine:
    def __init__(self, scope):
        self.listeners = 0
        self.near, self.far = namespaces.Namespace(scope, "near"), namespaces.Namespace(scope, "far")
        namespaces.join(self.near, self.far, [f"{NEAR[0]}/24", f"{NEAR[1]}/64"], [f"{FAR[0]}/24", f"{FAR[1]}/64"])
        for port in (80, 81, 8005):
            for namespace in (self.near, self.far):
                sockets.Server(scope, application, port, namespace=namespace)
        sockets.Server(scope, outbound, 15001, namespace=self.near)
        self.inbound = self.listen(scope)

    def listen(self, scope, address="::", name="inbound", uid=PROXY_UID):
        """Somebody at the inbound port."""
        self.listeners += 1
        process = processes.Process(scope, f"{name}-{self.listeners}",
                                    ["/usr/bin/python3", "-c", _LISTEN, address, name], self.near, uid)
        waiting.until(lambda: "listening" in process.log(), lambda: f"{name} does not listen: {process.tail()}")
        return process

    def hear(self, address, port, namespace=None, uid=OTHER_UID, cgroup=None):
        """Who answers a connection that `uid` makes, by default from near."""
        command = ["/usr/bin/python3", "-c", _CALL, address, port]
        if cgroup:
            command = captured.in_cgroup(cgroup, command)
        done = processes.run(command, namespace or self.near, uid)
        return done.stdout.strip() or done.stderr

    def run(self, *words):
        return processes.run(["lanyard", "capture", *words, "-o", "json"], self.near)

    def capture(self, *words):
        done = self.run(*words)
        check.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def up(self, *words):
        return self.capture("up", "--mode", "ebpf", "--proxy-uid", PROXY_UID, *words)

    def expect(self, **callers):
        """`callers`: who answers port 80 of the far machine, by the address's family."""
        for family, who in callers.items():
            address = FAR[family == "v6"]
            check.assertEqual(self.hear(address, 80), f"{who} as {address}")


def test(scope):
    ebpf.hide_mounts()
    ebpf.mount_file_system()
    machine = Machine(scope)
    if ebpf.lacking():
        done = machine.run("up", "--mode", "ebpf", "--proxy-uid", PROXY_UID)
        check.assertEqual(done.returncode, 1, done.stdout)
        check.assertIn("BPF", done.stderr)
        machine.expect(v4="application", v6="application")
        return
    what_is_captured(machine)
    an_address_that_comes_later(machine)
    an_address_that_goes_elsewhere(machine)
    one_link_local_address_at_two_links(machine)
    the_proxy_comes_and_goes(scope, machine)
    filters(machine)
    cgroups(scope, machine)
    nothing_is_left(machine)


def what_is_captured(machine):
    held = sockets.connect(FAR[0], 80, machine.near)
    machine.up()
    machine.up()  # is up once
    check.assertEqual(held.getpeername()[:2], (FAR[0], 80))
    for v in (0, 1):
        near, far, loopback = NEAR[v], FAR[v], ("127.0.0.1", "::1")[v]
        check.assertEqual(machine.hear(far, 80), f"outbound to {far} 80 as {far}")
        check.assertEqual(machine.hear(far, 80, uid=PROXY_UID), f"application as {far}")
        for own in (near, loopback):  # does not leave the machine
            check.assertEqual(machine.hear(own, 80), f"application as {own}")
            check.assertEqual(machine.hear(own, 80, uid=PROXY_UID), f"application as {own}")
        # Callers from outside, who are in the same cgroup, and whose own calls are not captured.
        check.assertEqual(machine.hear(near, 80, machine.far), f"inbound to {near} 80 as {near}")
        check.assertEqual(machine.hear(near, 99, machine.far), f"inbound to {near} 99 as {near}")
        for port in (15001, 15006):
            check.assertEqual(machine.hear(near, port, machine.far), "refused")
        # Dialled from within, the proxy sees that nobody was captured.
        check.assertEqual(machine.hear(loopback, 15001), f"outbound to none as {loopback}")
    mapped = f"::ffff:{FAR[0]}"
    check.assertEqual(machine.hear(mapped, 80), f"outbound to {FAR[0]} 80 as {mapped}")
    counters = machine.capture("show")["counters"]
    check.assertEqual(counters["outbound_captured"], 3)
    check.assertEqual(counters["inbound_captured"], 4)
    check.assertEqual(counters["capture_port_dialled"], 4)


def an_address_that_comes_later(machine):
    namespaces.ip("-n", machine.near.name, "address", "add", f"{LATER}/24", "dev", "eth0")
    check.assertEqual(machine.hear(LATER, 80, uid=PROXY_UID), f"application as {LATER}")
    check.assertEqual(machine.hear(LATER, 80), f"application as {LATER}")


def heard_from_far(machine, source, address):
    """What a caller from outside hears at port 80; both addresses as bind and connect take them."""
    with machine.far.entered():
        connection = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    with connection:
        connection.settimeout(sockets.TIMEOUT_S)
        connection.bind((source[0], 0, *source[1:]))
        connection.connect((address[0], 80, *address[1:]))
        return sockets.receive_all(connection).decode()


def an_address_that_goes_elsewhere(machine):
    """Whoever has it now is a stranger."""
    namespaces.ip("-n", machine.near.name, "address", "del", f"{LATER}/24", "dev", "eth0")
    namespaces.ip("-n", machine.near.name, "route", "add", f"{LATER}/32", "dev", "eth0")
    namespaces.ip("-n", machine.far.name, "address", "add", f"{LATER}/24", "dev", "eth0")
    check.assertEqual(heard_from_far(machine, (LATER,), (NEAR[0],)), f"inbound to {NEAR[0]} 80")
    namespaces.ip("-n", machine.far.name, "address", "del", f"{LATER}/24", "dev", "eth0")
    namespaces.ip("-n", machine.near.name, "route", "del", f"{LATER}/32", "dev", "eth0")


def one_link_local_address_at_two_links(machine):
    """A neighbour at one link who has the address that this machine has at the other."""
    ours, at_other_link = "fe80::5", "fe80::6"
    namespaces.ip("-n", machine.near.name, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns",
                  machine.far.name)
    for namespace, address, link in ((machine.near, ours, "eth0"), (machine.near, at_other_link, "eth1"),
                                     (machine.far, ours, "eth1")):
        namespaces.ip("-n", namespace.name, "address", "add", f"{address}/64", "dev", link, "nodad")
    for namespace in (machine.near, machine.far):
        namespaces.ip("-n", namespace.name, "link", "set", "eth1", "up")
    for namespace in (machine.near, machine.far):
        waiting.until(lambda namespace=namespace: namespaces.is_up(namespace, "eth1"), "a link does not come up")
    machine.up()  # reads this machine's addresses
    with machine.far.entered():
        scope_id = socket.if_nametoindex("eth1")
    heard = heard_from_far(machine, (ours, 0, scope_id), (at_other_link, 0, scope_id))
    check.assertTrue(heard.startswith(f"inbound to {at_other_link}"), heard)
    with machine.near.entered():
        scope_id = socket.if_nametoindex("eth0")
    check.assertTrue(machine.hear(f"{ours}%{scope_id}", 80).startswith("application as "))
    namespaces.ip("-n", machine.near.name, "link", "delete", "eth1")
    namespaces.ip("-n", machine.near.name, "address", "del", f"{ours}/64", "dev", "eth0")


def the_proxy_comes_and_goes(scope, machine):
    machine.inbound.kill()
    for v in (0, 1):
        check.assertEqual(machine.hear(NEAR[v], 80, machine.far), "refused")
    check.assertEqual(machine.capture("show")["counters"]["inbound_without_proxy"], 2)
    others_at_the_inbound_port_get_nobody(scope, machine)
    machine.inbound = machine.listen(scope)
    for v in (0, 1):
        check.assertEqual(machine.hear(NEAR[v], 80, machine.far), f"inbound to {NEAR[v]} 80 as {NEAR[v]}")


def others_at_the_inbound_port_get_nobody(scope, machine):
    """Neither instead of the proxy nor beside it, and whether they listen before `up` or after."""
    def expect(*heard):
        for v, who in enumerate(heard):
            check.assertEqual(machine.hear(NEAR[v], 80, machine.far), who)

    by_ipv4 = f"inbound to {NEAR[0]} 80 as {NEAR[0]}"
    rogue = machine.listen(scope, "::", "rogue", OTHER_UID)
    expect("refused", "refused")
    machine.up()
    expect("refused", "refused")
    rogue.kill()
    rogue = machine.listen(scope, "::1", "rogue", OTHER_UID)
    proxy = machine.listen(scope, NEAR[0])
    expect(by_ipv4, "refused")
    machine.up()
    expect(by_ipv4, "refused")
    machine.capture("down")
    machine.up()  # both listen already
    expect(by_ipv4, "refused")
    rogue.kill()
    proxy.kill()


def filters(machine):
    """New rules replace the old ones."""
    taken = {"v4": f"outbound to {FAR[0]} 80", "v6": f"outbound to {FAR[1]} 80"}
    machine.up("--exclude-uids", OTHER_UID, "--exclude-inbound-ports", "80")
    machine.expect(v4="application", v6="application")
    check.assertEqual(machine.hear(FAR[0], 80, uid=0), f"{taken['v4']} as {FAR[0]}")
    check.assertEqual(machine.hear(NEAR[0], 80, machine.far), f"application as {NEAR[0]}")
    check.assertEqual(machine.hear(NEAR[1], 81, machine.far), f"inbound to {NEAR[1]} 81 as {NEAR[1]}")
    machine.up("--include-gids", OTHER_UID, "--include-outbound-ports", "81,8000-8010", "--exclude-outbound-ports",
               "8005", "--include-inbound-ports", "81")
    machine.expect(v4="application", v6="application")
    check.assertEqual(machine.hear(FAR[0], 81), f"outbound to {FAR[0]} 81 as {FAR[0]}")
    check.assertEqual(machine.hear(FAR[0], 81, uid=0), f"application as {FAR[0]}")
    check.assertEqual(machine.hear(FAR[1], 8005), f"application as {FAR[1]}")
    check.assertEqual(machine.hear(NEAR[0], 80, machine.far), f"application as {NEAR[0]}")
    check.assertEqual(machine.hear(NEAR[0], 81, machine.far), f"inbound to {NEAR[0]} 81 as {NEAR[0]}")
    machine.up("--include-cidrs", "10.78.0.0/24,10.78.0.0/16")
    machine.expect(v4=taken["v4"], v6="application")
    check.assertEqual(machine.hear(f"::ffff:{FAR[0]}", 80), f"{taken['v4']} as ::ffff:{FAR[0]}")
    machine.up("--exclude-cidrs", f"{FAR[0]},::/0")
    machine.expect(v4="application", v6="application")
    # A mistake changes nothing.
    before = machine.capture("show")["options"]
    check.assertNotEqual(machine.run("up", "--mode", "ebpf", "--proxy-uid", PROXY_UID, "--udp", "refuse").returncode, 0)
    check.assertEqual(machine.capture("show")["options"], before)
    machine.up()
    machine.expect(**taken)


def cgroups(scope, machine):
    path = captured.make_cgroup(scope, "inside")

    def expect(who_inside, who_outside):
        check.assertEqual(machine.hear(FAR[0], 80, uid=0, cgroup=path), f"{who_inside} as {FAR[0]}")
        check.assertEqual(machine.hear(FAR[0], 80, uid=0), f"{who_outside} as {FAR[0]}")

    taken = f"outbound to {FAR[0]} 80"
    machine.up("--cgroup", path, "--include-inbound-ports", "80")
    expect(taken, "application")
    machine.up("--exclude-cgroups", path, "--include-inbound-ports", "80")
    expect("application", taken)


def nothing_is_left(machine):
    check.assertTrue(machine.capture("show")["captured"])
    for _ in range(2):
        check.assertEqual(machine.capture("down"), {"captured": False})
        check.assertEqual(ebpf.pins(), [])
        check.assertFalse((ebpf.BPF_FILE_SYSTEM / "lanyard").exists())
    check.assertFalse(machine.capture("show")["captured"])
    machine.expect(v4="application", v6="application")
    for v in (0, 1):
        check.assertEqual(machine.hear(NEAR[v], 80, machine.far), f"application as {NEAR[v]}")
    check.assertEqual(machine.hear(NEAR[0], 15001, machine.far), f"outbound to none as {NEAR[0]}")
