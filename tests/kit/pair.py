"""Two proxies without agents or capture: namespaces `client` and `server` joined by a link, a proxy with a static
listener and an identity from files in each, an application behind the second. What tests of one proxy's behaviour
need, and quick to start.

application -> client.proxy 127.0.0.1:9001 -> link -> server.proxy 10.78.0.2:9002 -> 127.0.0.1:9100 `serve`
"""

from kit import namespaces, sockets
from kit.certificates import Authority
from kit.proxy import Proxy, from_files

CLIENT_V4, SERVER_V4 = "10.78.0.1", "10.78.0.2"
OUT_PORT, IN_PORT, APPLICATION_PORT = 9001, 9002, 9100


class Side:
    def __init__(self, scope, name):
        self.namespace = namespaces.Namespace(scope, name)
        self.svid = self.proxy = None


class Pair:
    """`client` and `server` are merged into the proxies' configurations, `limits` into both; `join` makes the link
    as namespaces.join does; `serve` None leaves the application's port to the caller; `before` is the proxies'."""

    def __init__(self, scope, client=None, server=None, limits=None, join=namespaces.join, serve=sockets.echo,
                 before=None):
        self.client, self.server = Side(scope, "client"), Side(scope, "server")
        join(self.client.namespace, self.server.namespace, [f"{CLIENT_V4}/24"], [f"{SERVER_V4}/24"])
        self.authority = Authority(scope.folder)
        self.client.svid, self.server.svid = self.authority.svid("/client"), self.authority.svid("/server")
        self.application = None
        if serve is not None:
            self.application = sockets.Server(scope, serve, APPLICATION_PORT, namespace=self.server.namespace)
        inbound = {"address": f"{SERVER_V4}:{IN_PORT}", "destination": f"127.0.0.1:{APPLICATION_PORT}",
                   "peers": [self.client.svid.spiffe_id]}
        outbound = {"address": f"127.0.0.1:{OUT_PORT}", "destination": f"{SERVER_V4}:{IN_PORT}",
                    "peers": [self.server.svid.spiffe_id]}
        for side, name, listener, extra in ((self.server, "server", {"name": "in", "inbound": inbound}, server),
                                            (self.client, "client", {"name": "out", "outbound": outbound}, client)):
            configuration = {"identity": from_files(side.svid), "limits": limits or {}, "listeners": [listener],
                             **(extra or {})}
            side.proxy = Proxy(scope, f"{name}-proxy", configuration, side.namespace, before=before)

    @property
    def proxies(self):
        return [self.client.proxy, self.server.proxy]

    def connect(self, **options):
        """A client application's connection to the server's."""
        return sockets.connect("127.0.0.1", OUT_PORT, self.client.namespace, **options)

    def exchange(self, message=b"hello over the mesh"):
        sockets.exchange("127.0.0.1", OUT_PORT, self.client.namespace, message)

    def works(self):
        try:
            self.exchange()
            return True
        except (OSError, AssertionError):
            return False
