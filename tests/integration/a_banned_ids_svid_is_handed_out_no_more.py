import json

from kit import waiting
from kit.mesh import CLIENT_ID, TRUST_DOMAIN, Mesh
from kit.scope import check

OTHER_ID = f"spiffe://{TRUST_DOMAIN}/other"


def test(scope):
    # Its SVIDs outlive the test: whoever gets one after the ban has one that not everybody knows to refuse.
    mesh = Mesh(scope, proxies=False)
    mesh.wait_for_agent(mesh.client)

    def fetched():
        done = mesh.fetch(mesh.client, mesh.client.uid)
        return {svid["spiffe_id"] for svid in json.loads(done.stdout)["svids"]} if done.returncode == 0 else done.stderr

    check.assertEqual(fetched(), {CLIENT_ID})
    mesh.cli("ban", CLIENT_ID, "--reason", "leaked key")
    waiting.until(lambda: "leaked key" in fetched(), lambda: f"a banned workload is told {fetched()}")

    # Another identity of the same workload is not shut out with it, and nobody waits for the banned one.
    mesh.create_entry(OTHER_ID, mesh.client, [f"unix:uid:{mesh.client.uid}"])
    waiting.until(lambda: fetched() == {OTHER_ID}, lambda: f"the other identity is not handed out: {fetched()}")
    mesh.cli("unban", CLIENT_ID)
    waiting.until(lambda: fetched() == {CLIENT_ID, OTHER_ID}, lambda: f"unbanned, and only {fetched()}")
