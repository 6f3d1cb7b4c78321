import json

from kit import binaries, ebpf, namespaces, processes
from kit.certificates import Authority
from kit.proxy import Proxy, from_files
from kit.scope import check

ADDRESSES = ("10.78.0.1", "[fd78::1]")


class Machine:
    """One that others call, and its proxy, which runs as root."""

    def __init__(self, scope):
        self.scope, self.proxy = scope, None
        self.near, far = namespaces.Namespace(scope, "near"), namespaces.Namespace(scope, "far")
        namespaces.join(self.near, far, ["10.78.0.1/24", "fd78::1/64"], ["10.78.0.2/24", "fd78::2/64"])
        self.identity = from_files(Authority(scope.folder).svid("/near"))

    def start_proxy(self, mode="REDIRECT"):
        """In the place of the last one."""
        if self.proxy:
            self.proxy.process.stop()
        self.proxy = Proxy(self.scope, f"proxy-{mode}", {"identity": self.identity, "capture": {
            "outbound_address": ":15001", "inbound_address": ":15006", "mode": mode}}, self.near)

    def up(self, *words, proxy_uid=0):
        done = processes.run(["lanyard", "capture", "up", "--proxy-uid", proxy_uid, *words], self.near)
        check.assertEqual(done.returncode, 0, done.stderr)

    def nft(self, command):
        done = processes.run(["nft", command], self.near)
        check.assertEqual(done.returncode, 0, done.stderr)

    def probe(self, *words, before=()):
        """What `capture check` finds of connections from outside."""
        done = processes.run([*before, binaries.path_of("lanyard"), "capture", "check", "-o", "json", "--timeout",
                              "8s", *words], self.near)
        links = processes.run(["ip", "-o", "link", "show"], self.near).stdout
        check.assertNotIn("lanyard-probe", links, "an interface was left behind")
        return [finding for finding in json.loads(done.stdout)["findings"] if finding["subject"] == "inbound probe"]

    def expect(self, level, says, port=9, **options):
        """Of both families."""
        found = self.probe(**options)
        check.assertEqual([finding["level"] for finding in found], [level] * 2, found)
        for finding, address in zip(found, ADDRESSES):
            check.assertIn(says, finding["detail"])
            if port:
                check.assertIn(f"from outside to {address}:{port} ", finding["detail"])
            check.assertTrue(level == "ok" or finding["remedy"], finding)


def test(scope):
    ebpf.hide_mounts()
    ebpf.mount_file_system()
    machine = Machine(scope)
    machine.up()
    machine.expect("problem", "was refused")  # there is no proxy yet
    machine.start_proxy()
    machine.expect("ok", "came to the proxy")
    check.assertEqual(machine.probe("--outbound-only"), [])
    rules_that_let_callers_pass(machine)
    what_cannot_be_told(machine)

    machine.up("--mode", "tproxy")
    machine.expect("problem", "was refused")  # its listeners are none for TPROXY
    machine.start_proxy("TPROXY")
    machine.expect("ok", "came to the proxy")

    machine.start_proxy()
    if not ebpf.lacking():
        machine.up("--mode", "ebpf")
        machine.expect("ok", "came to the proxy")
        machine.proxy.process.stop()
        machine.expect("problem", "was refused")


def rules_that_let_callers_pass(machine):
    machine.nft("insert rule inet lanyard prerouting return")
    machine.expect("problem", "was not captured")
    machine.up(proxy_uid=7)
    machine.expect("problem", "came to a process of uid 0")
    machine.up("--include-inbound-ports", "80-90", "--exclude-inbound-ports", "80")
    machine.expect("ok", "came to the proxy", port=81)


def what_cannot_be_told(machine):
    machine.up("--exclude-inbound-ports", "1-65535")
    machine.expect("note", "leaves no port", port=None)
    machine.up()
    # A firewall that lets callers in by the interface it knows.
    machine.nft("add table inet wall; add chain inet wall callers { type filter hook input priority 0; policy drop; }; "
                'add rule inet wall callers iifname { "lo", "eth0" } accept')
    machine.expect("note", "something else filters packets")
    machine.nft("delete table inet wall")
    machine.expect("note", "CAP_SYS_ADMIN", port=None, before=["setpriv", "--bounding-set=-sys_admin"])
