"""One proxy: its process, its admin address, and what its log says of connections."""

import json

from kit import metrics, processes, sockets, waiting

ADMIN_PORT = 15000


class Proxy:
    """Runs `configuration` (a dictionary) in `namespace`; waits until it is ready unless told not to."""

    def __init__(self, scope, name, configuration, namespace=None, uid=None, wait=True, admin_port=ADMIN_PORT,
                 before=None, environment=None, capabilities=()):
        self.namespace, self.admin_port = namespace, admin_port
        self.config_path = scope.folder / f"{name}.yaml"
        configuration = {"admin": {"address": f"127.0.0.1:{admin_port}"}, "workers": 2,
                         "log": {"level": "debug", "format": "json"}, **configuration}
        self.config_path.write_text(json.dumps(configuration, indent=1))
        self.process = processes.Process(scope, name, ["lanyard-proxy", "run", "--config", self.config_path],
                                         namespace, uid, before=before, environment=environment,
                                         capabilities=capabilities)
        if wait:
            self.wait_until_ready()

    def get(self, path):
        return sockets.get(self.admin_port, path, self.namespace)

    def answer(self, path):
        """As get(), and (0, "") while nobody listens at the admin address yet."""
        self.process.check_alive()
        try:
            return self.get(path)
        except OSError:
            return 0, ""

    def is_ready(self):
        return self.answer("/ready")[0] == 200

    def wait_until_ready(self, timeout_s=waiting.TIMEOUT_S):
        waiting.until(self.is_ready, lambda: f"{self.process.name} is not ready:\n{self.process.tail()}", timeout_s)

    def metric(self, name, **labels):
        """The value of one sample, 0.0 where there is none."""
        for line in self.get("/metrics")[1].splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{key}="{text}"' in head for key, text in labels.items()):
                return float(value)
        return 0.0

    def wait_for_metric(self, value, name, **labels):
        """Until the sample is exactly that. What a log says of a connection may be a moment ahead of what counts it."""
        waiting.until(lambda: self.metric(name, **labels) == value, lambda: f"{self.process.name}: {name} {labels} is "
                      f"{self.metric(name, **labels)} instead of {value}")

    def views(self):
        """(the newest view published, the newest that every worker has in force)"""
        page = self.get("/metrics")[1]
        return tuple(metrics.value(page, f"lanyard_proxy_{name}")
                     for name in ("view_version", "view_acknowledged_version"))

    def wait_until_in_force(self):
        """Until every worker has looked at its connections by the newest view. /ready is true before."""
        waiting.until(lambda: len(set(self.views())) == 1, lambda: f"{self.process.name}: a view is not taken up: "
                      f"{self.views()}")

    def change_configuration(self, **fields):
        """Rewrites these fields of its file, and waits until every worker has them in force."""
        def applied():
            return self.metric("lanyard_proxy_config_reloads_total", result="applied")
        before, whole = applied(), json.loads(self.config_path.read_text())
        self.config_path.write_text(json.dumps({**whole, **fields}))
        waiting.until(lambda: applied() > before, lambda: f"the file is not taken up:\n{self.process.tail()}")
        self.wait_until_in_force()

    def wait_until_links_are_gone(self):
        """Until it has heard that the proxies it opened links to have ended. A call on a link whose end it has not
        seen yet would fail."""
        waiting.until(lambda: self.metric("lanyard_proxy_idle_links", side="opened") == 0,
                      lambda: f"{self.process.name} keeps links to a proxy that has ended")

    def connections(self):
        return json.loads(self.get("/connections")[1])

    def closed(self, **fields):
        """Access log lines (one a finished connection) whose fields are these."""
        return [record for record in self.process.records() if "close_reason" in record
                and all(record.get(key) == value for key, value in fields.items())]

    def wait_for_closed(self, timeout_s=waiting.TIMEOUT_S, count=1, **fields):
        """The last of at least `count` finished connections with these fields."""
        def enough():
            found = self.closed(**fields)
            return found[-1] if len(found) >= count else None
        return waiting.until(enough, lambda: f"{self.process.name} logged no closed connection with {fields}; it has "
                             f"{self.closed()}\n{self.process.tail(5)}", timeout_s)


def from_files(svid):
    """The configuration of an identity in files."""
    return {"files": {"certificate": str(svid.certificate), "key": str(svid.key), "bundle": str(svid.bundle)}}
