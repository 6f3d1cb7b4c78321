import contextlib

from kit import processes, waiting
from kit.captured import PROXY_UID, Captured
from kit.namespaces import ip
from kit.scope import check

UP = ("up", "--proxy-uid", str(PROXY_UID))
_HOLD = "add table inet lanyard { flags owner; }"


def test(scope):
    pair = Captured(scope, ports=())
    # What others laid stays theirs, alike as it may look.
    ip("-n", pair.near.name, "rule", "add", "fwmark", "0x4c", "lookup", "99", "priority", "150")
    ip("-n", pair.near.name, "route", "add", "local", "default", "dev", "lo", "table", "99")
    others = pair.ruleset()

    def fails(*words, says, status=1):
        before = pair.ruleset()
        done = pair.run_capture(*words)
        check.assertEqual(done.returncode, status, done.stderr)
        check.assertIn(says, done.stderr)
        check.assertEqual(pair.ruleset(), before, f"{words} failed and changed something")

    # Nothing is in force, and nothing is after a mistake, or after a step that fails behind others.
    fails("up", "--proxy-uid", "no-such-user", says="no such user", status=2)
    fails(*UP, "--include-uids", str(PROXY_UID), says="refused as loops", status=2)
    fails(*UP, "--cgroup", "no-such-cgroup", says="there is no cgroup")
    fails(*UP, "--cgroup", "/", says="holds every process", status=2)
    with held(scope, pair):
        fails(*UP, "--mode", "tproxy", says="nothing was changed")
    check.assertEqual(pair.ruleset(), others)
    ip("-n", pair.near.name, "link", "set", "lo", "down")
    fails(*UP, "--mode", "tproxy", says="loopback interface is down")
    ip("-n", pair.near.name, "link", "set", "lo", "up")

    # What is in force stays so after a mistake.
    pair.capture(*UP, "--mode", "tproxy")
    fails(*UP, "--cgroup", "no-such-cgroup", says="there is no cgroup")
    # One mode after the other leaves nothing of the first.
    pair.capture(*UP)
    redirect = pair.ruleset()
    pair.capture(*UP, "--mode", "tproxy", "--preserve-source")
    check.assertNotEqual(pair.ruleset(), redirect)
    pair.capture(*UP)
    check.assertEqual(pair.ruleset(), redirect)
    pair.capture("down")
    check.assertEqual(pair.ruleset(), others)
    pair.capture(*UP, "--mode", "tproxy")
    pair.capture("down")
    check.assertEqual(pair.ruleset(), others)


@contextlib.contextmanager
def held(scope, pair):
    """While it lasts, a process owns the table of capture, and nobody else may change it."""
    holder = processes.Process(scope, "holder", ["/bin/sh", "-c", f"(echo '{_HOLD}'; exec sleep 1000) | nft -i"],
                               pair.near)
    waiting.until(lambda: "lanyard" in processes.run(["nft", "list", "tables"], pair.near).stdout,
                  lambda: f"nft made no table of its own: {holder.tail()}")
    yield
    holder.kill()
    waiting.until(lambda: "lanyard" not in processes.run(["nft", "list", "tables"], pair.near).stdout,
                  "the table outlived its owner")
