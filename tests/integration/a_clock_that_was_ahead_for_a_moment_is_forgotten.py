from kit import waiting
from kit.mesh import Mesh
from kit.scope import check
from kit.shifted_clock import ShiftedClock

# Past the time at which the authority hands over to another intermediate: half a day.
JUMP_S = 13 * 3600
# The authority looks at its clock every ten seconds at least.
NOTICED_S = 90


def test(scope):
    clock = ShiftedClock(scope)
    mesh = Mesh(scope, proxies=False, agents=False)
    clock.jump(JUMP_S)
    waiting.until(lambda: "retired a signing authority" in mesh.authority.log(), "nothing rotates", NOTICED_S)
    clock.jump(0)
    waiting.until(lambda: "discarded a signing authority" in mesh.authority.log(), "nothing is put right", NOTICED_S)

    # What signs, and who the authority is, are valid now, and not in half a day.
    mesh.client.start_agent()
    mesh.wait_for_agent(mesh.client)
    check.assertNotIn("no signing authority is valid", mesh.authority.log())
    mesh.authority.check_alive()
