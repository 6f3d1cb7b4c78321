"""The commands of README's "By hand" are pasted as they stand, on a machine of their own: other mounts, another network.
Only the build is left out, and what it made lies on the PATH."""

import re

from kit import binaries, namespaces, processes
from kit.scope import check

MACHINE = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/etc && cp -a /etc/. /run/etc/ && mount --bind /run/etc /etc
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /usr/local/bin
"""


def by_hand():
    """The block, without the build."""
    text = (binaries.ROOT / "README.md").read_text()
    block = re.search(r"^### By hand$.*?^```sh$(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]
    build = re.compile(r"\A\nbazel build .*?\ninstall -m 755 (?:.*\\\n)*.*\n")
    check.assertRegex(block, build)
    return build.sub("", block)


def test(scope):
    machine, neighbour = namespaces.Namespace(scope, "machine"), namespaces.Namespace(scope, "neighbour")
    namespaces.join(machine, neighbour, ["10.77.0.1/24"], ["10.77.0.2/24"])
    namespaces.ip("-n", machine.name, "route", "add", "default", "via", "10.77.0.2")
    install = "".join(f"cp {binaries.path_of(name)} /usr/local/bin/\n"
                      for name in ("lanyard-authority", "lanyard-agent", "lanyard-proxy", "lanyard"))
    script = scope.folder / "by-hand.sh"
    script.write_text(MACHINE + install + by_hand() + "stat -c 'mode %a' /etc/lanyard/join-token\nlanyard capture show\n")
    shell = processes.Process(scope, "by-hand", ["unshare", "--mount", "bash", "-e", script], machine)
    check.assertEqual(shell.wait(180), 0, shell.log())
    check.assertIn("mode 600", shell.log())
    # Nobody's callers but the example's: neither SSH's nor the authority's.
    check.assertIn("--include-inbound-ports 80", shell.log())
    check.assertNotIn("lanyard: warning", shell.log())
