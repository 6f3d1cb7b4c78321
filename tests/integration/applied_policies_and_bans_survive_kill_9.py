import json
import threading

from kit import waiting
from kit.mesh import Mesh
from kit.scope import check

ROUNDS = 3


def rules(name):
    return {"policies": [{"name": name, "workloads": [f"spiffe://example.org/{name}"],
                          "rules": [{"name": "all", "peers": ["spiffe://example.org/*"]}]}]}


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False, agents=False)
    policies, bans, lock = {}, set(), threading.Lock()

    def apply(round_number, stop):
        number = 0
        while not stop.is_set():
            name = f"w{round_number}-{number}"
            path = scope.folder / f"{name}.json"
            path.write_text(json.dumps(rules(name)))
            done = mesh.run_cli("policy", "apply", "-f", str(path), "-o", "json", "--timeout", "2s")
            number += 1
            if done.returncode == 0:
                with lock:
                    policies[name] = json.loads(done.stdout)["records"][0]["version"]

    def ban(round_number, stop):
        number = 0
        while not stop.is_set():
            subject = f"spiffe://example.org/banned/{round_number}-{number}"
            done = mesh.run_cli("ban", subject, "--reason", "test", "-o", "json", "--timeout", "2s")
            number += 1
            if done.returncode == 0:
                with lock:
                    bans.add(subject)

    for round_number in range(ROUNDS):
        stop, before = threading.Event(), (len(policies), len(bans))
        writers = [threading.Thread(target=write, args=(round_number, stop)) for write in (apply, ban)]
        for writer in writers:
            writer.start()
        waiting.until(lambda: len(policies) >= before[0] + 5 and len(bans) >= before[1] + 5,
                      "the authority takes no policies or bans")
        mesh.authority.kill()
        stop.set()
        for writer in writers:
            writer.join()
        newest = max(policies.values())
        mesh.authority.start()
        mesh.wait_for_authority()
        kept = {policy["name"]: policy["version"] for policy in mesh.cli("policy", "list")["policies"]}
        check.assertEqual({name: kept.get(name) for name in policies}, policies, "acknowledged, and lost or changed")
        check.assertEqual(bans - {ban["subject"] for ban in mesh.cli("bans")["bans"]}, set(), "acknowledged, and lost")
        check.assertGreaterEqual(mesh.cli("mesh", "status")["view_version"], newest, "the version went back")
