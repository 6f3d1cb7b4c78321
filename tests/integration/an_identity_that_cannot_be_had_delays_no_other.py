import json
import time

from kit import waiting
from kit.mesh import TRUST_DOMAIN, Mesh
from kit.scope import check

UID = 3001
# A call that waits for an identity waits ten seconds.
SECONDS = 8


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False)
    one, banned = f"spiffe://{TRUST_DOMAIN}/one", f"spiffe://{TRUST_DOMAIN}/banned"
    mesh.cli("ban", banned)
    mesh.create_entry(banned, mesh.client, [f"unix:uid:{UID}"])
    mesh.create_entry(one, mesh.client, [f"unix:uid:{UID}"])

    def fetch():
        done = mesh.fetch(mesh.client, UID)
        if done.returncode != 0:
            return done.stderr
        return sorted(svid["spiffe_id"] for svid in json.loads(done.stdout)["svids"])

    waiting.until(lambda: "SVID not renewed" in mesh.client.agent.log(), lambda: "the banned ID is not refused")
    waiting.until(lambda: fetch() == [one], lambda: f"uid {UID} has {fetch()}")
    begun = time.monotonic()
    check.assertEqual(fetch(), [one])
    check.assertLess(time.monotonic() - begun, SECONDS)

    # What was missing comes as soon as it may be had.
    mesh.cli("unban", banned)
    waiting.until(lambda: fetch() == [banned, one], lambda: f"unbanned, uid {UID} has {fetch()}")
