import json

from kit import processes
from kit.namespaces import Namespace
from kit.scope import check


def test(scope):
    namespace = Namespace(scope, "one")

    def capture(*words, uid=None):
        return processes.run(["lanyard", "capture", *words], namespace, uid)

    for words in (["up", "--proxy-uid", "7"], ["down"], ["show"]):
        done = capture(*words, uid=3001)
        check.assertEqual(done.returncode, 1, words)
        check.assertIn("CAP_NET_ADMIN", done.stderr)
        check.assertEqual(done.stderr.count("\n"), 1, f"one sentence, not:\n{done.stderr}")
    check.assertEqual(json.loads(capture("show", "-o", "json").stdout)["captured"], False)

    check.assertEqual(capture("up", "--proxy-uid", "7").returncode, 0)
    before = capture("show").stdout
    for words in (["up", "--proxy-uid", "8"], ["down"]):
        check.assertEqual(capture(*words, uid=3001).returncode, 1)
        check.assertEqual(capture("show").stdout, before)
