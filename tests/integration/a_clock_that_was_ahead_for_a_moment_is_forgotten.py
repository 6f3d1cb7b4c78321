from kit import waiting
from kit.mesh import CLIENT_ID, Mesh
from kit.scope import check
from kit.shifted_clock import ShiftedClock

# Past the time at which the authority hands over to another intermediate: half a day.
JUMP_S = 13 * 3600
LATE_UID = 21009
# The authority looks at its clock every ten seconds at least, an agent tries again every thirty.
NOTICED_S = 60


def test(scope):
    clock = ShiftedClock(scope)
    mesh = Mesh(scope, proxies=False)
    mesh.wait_for_agent(mesh.client)

    clock.jump(JUMP_S)
    waiting.until(lambda: "retired a signing authority" in mesh.authority.log(), "nothing rotates", NOTICED_S)
    clock.jump(0)

    # Nobody waits for half a day: neither who has an SVID nor who needs his first.
    mesh.create_entry(f"{CLIENT_ID}/late", mesh.client, [f"unix:uid:{LATE_UID}"])
    for uid in (mesh.client.uid, LATE_UID):
        waiting.until(lambda: mesh.fetch(mesh.client, uid).returncode == 0,
                      lambda: f"no SVID although the clock is right again:\n{mesh.client.agent.tail()}", NOTICED_S)
    check.assertIn("discarded a signing authority", mesh.authority.log())
    for process in scope.processes:
        process.check_alive()
