import json
import threading

from kit import processes, sockets, waiting
from kit.pair import IN_PORT, SERVER_V4, Pair
from kit.proxy import ADMIN_PORT
from kit.scope import check


def test(scope):
    pair = Pair(scope)
    namespace, proxy = pair.server.namespace, pair.server.proxy

    def watchers():
        return proxy.metric("lanyard_proxy_tap_watchers")

    def tap(*words):
        """Starts `lanyard tap` on the server's proxy, and waits until it watches; a function that waits for its end."""
        outcome, before = {}, watchers()

        def run():
            outcome["done"] = processes.run(["lanyard", "tap", "--admin", f"127.0.0.1:{ADMIN_PORT}", *words], namespace)
        thread = threading.Thread(target=run)
        thread.start()
        waiting.until(lambda: watchers() > before or not thread.is_alive(), "nobody watches")

        def finish():
            thread.join()
            return outcome["done"]
        return finish

    def events(done):
        check.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    check.assertEqual(watchers(), 0)
    both = tap("--direction", "inbound", "--count", "2", "-o", "json")
    refused = tap("--reason", "plaintext_refused", "--count", "1", "-o", "json")
    pair.exchange()
    opened, closed = events(both())
    check.assertEqual((opened["event"], closed["event"]), ("opened", "closed"))
    check.assertEqual(opened["peer_id"], pair.client.svid.spiffe_id)
    check.assertEqual((closed["id"], closed["close_reason"]), (opened["id"], "normal"))
    check.assertTrue(sockets.is_refused(SERVER_V4, IN_PORT, pair.client.namespace))
    (event,) = events(refused())
    check.assertEqual((event["event"], event["close_reason"]), ("closed", "plaintext_refused"))

    # What was open before is shown to who asks for it; a filter that matches nobody shows nothing of it.
    with pair.connect() as connection:
        connection.sendall(b"x")
        sockets.receive_exactly(connection, 1)
        waiting.until(lambda: watchers() == 0, "who has left still watches")
        existing = tap("--existing", "--peer", "spiffe://example.org/*", "--count", "1", "-o", "json")
        (event,) = events(existing())
        check.assertEqual((event["event"], event["peer_id"]), ("existing", pair.client.svid.spiffe_id))
        waiting.until(lambda: watchers() == 0, "who has left still watches")
        nobody = tap("--existing", "--peer", "spiffe://example.org/nobody/*", "--count", "1", "-o", "json")
        check.assertEqual(watchers(), 1)
    pair.exchange()
    check.assertEqual(watchers(), 1, "a connection of somebody else was shown")

    for option, value, says in (("--port", "http", "port"), ("--direction", "x", "inbound or outbound"),
                                ("--reason", "plaintext_refusd", "did you mean plaintext_refused")):
        wrong = processes.run(["lanyard", "tap", option, value], namespace)
        check.assertEqual(wrong.returncode, 2)
        check.assertIn(says, wrong.stderr)
    # Without its proxy it ends, and says so.
    proxy.process.stop()
    done = nobody()
    check.assertEqual((done.returncode, done.stdout), (1, ""))
    check.assertIn("ended the connection", done.stderr)
