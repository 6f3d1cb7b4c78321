import json

from kit import waiting
from kit.mesh import TRUST_DOMAIN, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False)

    def fetch(uid):
        done = mesh.fetch(mesh.client, uid)
        if done.returncode != 0:
            return done.stderr
        return sorted(svid["spiffe_id"] for svid in json.loads(done.stdout)["svids"])

    one, two = f"spiffe://{TRUST_DOMAIN}/one", f"spiffe://{TRUST_DOMAIN}/two"
    elsewhere, by_group = f"spiffe://{TRUST_DOMAIN}/elsewhere", f"spiffe://{TRUST_DOMAIN}/group"
    mesh.create_entry(one, mesh.client, ["unix:uid:3001"])
    mesh.create_entry(two, mesh.client, ["unix:uid:3002"])
    mesh.create_entry(elsewhere, mesh.server, ["unix:uid:3001"])  # another node's
    mesh.create_entry(f"spiffe://{TRUST_DOMAIN}/both", mesh.client, ["unix:uid:3001", "unix:gid:3002"])
    # The last one: an agent that knows it knows the others.
    mesh.create_entry(by_group, mesh.client, ["unix:uid:3002", "unix:gid:3002"])
    waiting.until(lambda: fetch(3002) == sorted([two, by_group]), lambda: f"uid 3002 has {fetch(3002)}")
    waiting.until(lambda: fetch(3001) == [one], lambda: f"uid 3001 has {fetch(3001)}")
    check.assertIn("no identity for this process (uid 3003)", fetch(3003))

    # An entry taken back is gone for the next who asks.
    entry = next(e for e in mesh.cli("entry", "list", "--spiffe-id", one)["entries"])
    mesh.cli("entry", "delete", entry["id"])
    waiting.until(lambda: "no identity for this process" in fetch(3001), lambda: f"uid 3001 still has {fetch(3001)}")
