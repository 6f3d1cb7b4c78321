import json
import signal

from kit import sockets, waiting
from kit.pair import CLIENT_V4, IN_PORT, SERVER_V4, Pair
from kit.scope import check


def test(scope):
    path = scope.folder / "access.log"
    renamed = scope.folder / "access.log.1"
    pair = Pair(scope, server={"access_log": {"path": str(path), "sample": {"ok": 0}}})
    proxy = pair.server.proxy

    def lines(file):
        # What follows the last newline is being written.
        return [json.loads(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []

    def left_out():
        return proxy.metric("lanyard_proxy_access_log_lines_total", result="sampled_out")

    # Ordinary closes are sampled, here to none; what is refused always has its line.
    for _ in range(5):
        pair.exchange()
    waiting.until(lambda: left_out() >= 5, lambda: f"{left_out()} closes were left out of the log")
    check.assertTrue(sockets.is_refused(SERVER_V4, IN_PORT, pair.client.namespace))
    waiting.until(lambda: len(lines(path)) >= 1, "a refusal has no line")
    line = lines(path)[0]
    check.assertEqual((line["close_reason"], line["direction"]), ("plaintext_refused", "inbound"))
    check.assertTrue(line["source"].startswith(CLIENT_V4), line)
    check.assertEqual({one["close_reason"] for one in lines(path)}, {"plaintext_refused"})
    check.assertEqual(proxy.closed(), [], "they are in the process's log too")

    # Renamed, as logrotate does, and told so.
    before = len(lines(path))
    path.rename(renamed)
    proxy.process.signal(signal.SIGHUP)
    waiting.until(path.exists, lambda: f"SIGHUP opened no new file:\n{proxy.process.tail()}")
    check.assertTrue(sockets.is_refused(SERVER_V4, IN_PORT, pair.client.namespace))
    waiting.until(lambda: len(lines(path)) == 1, "the new file has no line")
    check.assertEqual(len(lines(renamed)), before)
    check.assertTrue(proxy.process.alive())
    pair.exchange()
