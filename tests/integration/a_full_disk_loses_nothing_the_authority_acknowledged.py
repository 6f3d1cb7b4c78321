import json

from kit import waiting
from kit.mesh import Mesh
from kit.scope import check
from kit.small_disk import SmallDisk

MOST_TRIES = 400  # until the last free page of the write-ahead log is used


def test(scope):
    disk = SmallDisk(scope, scope.folder / "authority")
    mesh = Mesh(scope)
    server = mesh.serve()
    mesh.exchange(server.port)
    acknowledged = {entry["id"] for entry in mesh.cli("entry", "list")["entries"]}

    def create(name):
        """The error, or nothing."""
        done = mesh.run_cli("entry", "create", "--spiffe-id", f"spiffe://example.org/{name}",
                            "--selector", "unix:uid:7", "-o", "json")
        if done.returncode != 0:
            return json.loads(done.stderr)
        return acknowledged.add(json.loads(done.stdout)["id"])

    def check_nothing_is_lost():
        kept = {entry["id"] for entry in mesh.cli("entry", "list")["entries"]}
        check.assertEqual(kept, acknowledged)

    disk.fill()
    error = next(filter(None, (create(f"full/{number}") for number in range(MOST_TRIES))), None)
    check.assertIsNotNone(error, "the disk is not full: the test shows nothing")
    check.assertEqual(error["code"], "RESOURCE_EXHAUSTED")
    check.assertIn("free space on the disk", error["error"])
    check.assertNotIn("\n", error["error"])
    check_nothing_is_lost()
    mesh.exchange(server.port)

    # It even starts without room to write.
    mesh.authority.kill()
    mesh.authority.start()
    mesh.wait_for_authority()
    check_nothing_is_lost()
    check.assertEqual(create("still-full")["code"], "RESOURCE_EXHAUSTED")

    disk.free()
    waiting.until(lambda: create("free") is None, "it does not recover when there is room again")
    mesh.authority.kill()
    mesh.authority.start()
    mesh.wait_for_authority()
    check_nothing_is_lost()
    mesh.exchange(server.port)
