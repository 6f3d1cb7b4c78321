from kit import waiting
from kit.mesh import Mesh
from kit.scope import check
from kit.small_disk import SmallDisk

KEPT = ("node.sealed", "workloads.sealed")


def test(scope):
    disk = SmallDisk(scope, scope.folder / "client-agent")
    mesh = Mesh(scope, lifetimes={"intermediate": "300s", "x509_svid": "12s", "node_svid": "24s", "backdate": "2s"})
    agent, server = mesh.client.agent, mesh.serve()
    mesh.exchange(server.port)

    def kept():
        return {name: (disk.folder / name).read_bytes() for name in KEPT}

    def handed_out():
        return {record["serial"] for record in agent.records() if record["message"] == "SVID handed out"}

    disk.fill()
    error = agent.wait_for_record(lambda record: record["message"].startswith("workloads not kept for a restart"),
                                  "failure to write")
    check.assertIn("No space left on device", error["error"])
    check.assertIn(str(disk.folder), error["error"])
    before, serials = kept(), handed_out()  # what was about to be kept when the disk was filled is kept by now
    waiting.until(lambda: len(handed_out() - serials) > 1, "no SVID is renewed while the disk is full")
    check.assertEqual(kept(), before, "what was kept is damaged")
    mesh.exchange(server.port)

    disk.free()
    waiting.until(lambda: all(kept()[name] != before[name] for name in KEPT), "nothing is kept when there is room again")
    litter = {path.name for path in disk.folder.iterdir() if ".sealed." in path.name}
    check.assertLessEqual(len(litter), 1, f"files half written stay: {litter}")  # one may be on its way
    agent.kill()
    agent.start()
    mesh.wait_for_agent(mesh.client)  # its join token is used up: it lives on what it kept
    mesh.exchange(server.port)
