"""Both proxies are replaced, again and again, while applications call: with other numbers of workers, so that sockets
change hands. Every request is answered, and each old process is gone within seconds."""

import json
import threading

from kit import sockets, upgrade, waiting
from kit.pair import OUT_PORT, Pair
from kit.scope import check

CALLERS, UPGRADES = 6, 3


class Load:
    """Threads that make one request a connection until they are stopped."""

    def __init__(self, pair):
        self._pair, self._stop = pair, threading.Event()
        self.requests, self.failures = [0] * CALLERS, []
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _run(self, i):
        message = bytes([i]) * 3000
        while not self._stop.is_set():
            try:
                sockets.exchange("127.0.0.1", OUT_PORT, self._pair.client.namespace, message)
                self.requests[i] += 1
            except (OSError, AssertionError) as error:
                self.failures.append(f"request {self.requests[i]} of caller {i}: {error!r}")

    def wait_for_more(self, count=20):
        wanted = [requests + count for requests in self.requests]
        waiting.until(lambda: self.failures or all(a >= b for a, b in zip(self.requests, wanted)), "nobody is served")

    def finish(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.failures


def times_served(proxy):
    return sum(record.get("message") == "serving" for record in proxy.process.records())


def test(scope):
    def upgradable(name):
        return {"upgrade": {"socket": str(scope.folder / f"{name}.sock")}}
    pair = Pair(scope, client=upgradable("client"), server=upgradable("server"))
    load = Load(pair)
    try:
        load.wait_for_more()
        pids = {proxy: proxy.process.pid for proxy in pair.proxies}
        for workers in (3, 1, 2)[:UPGRADES]:
            for proxy in pair.proxies:
                configuration = json.loads(proxy.config_path.read_text())
                proxy.config_path.write_text(json.dumps({**configuration, "workers": workers}))
                before, pids[proxy] = pids[proxy], upgrade.upgrade(scope, proxy)
                check.assertNotEqual(pids[proxy], before)
                load.wait_for_more()
                upgrade.wait_until_gone(before)
                load.wait_for_more()
                check.assertEqual(proxy.get("/ready")[0], 200)
    finally:
        failures = load.finish()
    check.assertEqual(failures, [])
    for proxy in pair.proxies:
        check.assertEqual(proxy.process.wait(), 0)
        waiting.until(lambda proxy=proxy: times_served(proxy) == 1 + UPGRADES, "the log of a process is incomplete")
        # A link that is made ahead of need when its process ends carries no request yet.
        bad = [record for record in proxy.closed() if record.get("protocol")
               and record["close_reason"] not in ("normal", "moved_to_new_process")]
        check.assertEqual(bad, [])
