import json
import threading

from kit import waiting
from kit.mesh import Mesh
from kit.scope import check

ROUNDS, WRITERS = 3, 3


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False, agents=False)
    acknowledged, lock = set(), threading.Lock()

    def write(writer, stop):
        number = 0
        while not stop.is_set():
            done = mesh.run_cli("entry", "create", "--spiffe-id", f"spiffe://example.org/w{writer}/{number}",
                                "--selector", f"unix:uid:{number}", "-o", "json", "--timeout", "2s")
            number += 1
            if done.returncode == 0:
                with lock:
                    acknowledged.add(json.loads(done.stdout)["id"])

    for round_number in range(ROUNDS):
        stop, before = threading.Event(), len(acknowledged)
        writers = [threading.Thread(target=write, args=(f"{round_number}-{i}", stop)) for i in range(WRITERS)]
        for writer in writers:
            writer.start()
        waiting.until(lambda: len(acknowledged) >= before + 10, "the authority takes no entries")
        mesh.authority.kill()
        stop.set()
        for writer in writers:
            writer.join()
        mesh.authority.start()
        mesh.wait_for_authority()
        kept = {entry["id"] for entry in mesh.cli("entry", "list")["entries"]}
        check.assertEqual(acknowledged - kept, set(), "acknowledged, and lost")
