"""Waits that were begun while the clock was ahead do not last until that time comes again."""

import json

from kit import waiting
from kit.mesh import CLIENT_ID, Mesh
from kit.shifted_clock import ShiftedClock

# All SVIDs have expired by then: the agents lose the authority, and try again and again.
JUMP_S = 13 * 3600
NOTICED_S = 120
NEW_ID = "spiffe://example.org/new"


def test(scope):
    clock = ShiftedClock(scope)
    mesh = Mesh(scope, proxies=False)
    mesh.wait_for_agent(mesh.client)
    clock.jump(JUMP_S)
    waiting.until(lambda: "no connection to the authority" in mesh.client.agent.log(), "the agent notices nothing",
                  NOTICED_S)
    clock.jump(0)
    mesh.create_entry(NEW_ID, mesh.client)

    def ids():
        done = mesh.fetch(mesh.client, mesh.client.uid)
        return [svid["spiffe_id"] for svid in json.loads(done.stdout)["svids"]] if done.returncode == 0 else []

    waiting.until(lambda: sorted(ids()) == [CLIENT_ID, NEW_ID],
                  lambda: f"the agent is not back, with {ids()}:\n{mesh.client.agent.tail(8)}", NOTICED_S)
