"""The whole of Lanyard on two nodes: namespaces `client` and `server` joined by a veth pair, an agent, a
capturing proxy and capture rules in each, one authority in the server's."""

import json
import os

from kit import namespaces, processes, proxy, sockets, waiting

TRUST_DOMAIN = "example.org"
CLIENT_ID = f"spiffe://{TRUST_DOMAIN}/client"
SERVER_ID = f"spiffe://{TRUST_DOMAIN}/server"
AUTHORITY_PORT = 7443
CLIENT_UID, SERVER_UID = 21001, 21002  # the proxies'
SERVER_V4, SERVER_V6 = "10.77.0.2", "fd77::2"
CLIENT_V4, CLIENT_V6 = "10.77.0.1", "fd77::1"


class Node:
    """One machine as the mesh sees it."""

    def __init__(self, mesh, name, uid):
        self.mesh, self.name, self.uid = mesh, name, uid
        self.namespace = namespaces.Namespace(mesh.scope, name)
        self.socket = mesh.folder / f"{name}-agent.sock"
        self.agent = self.proxy = None

    def start_agent(self):
        token = self.mesh.cli("token", "create", "--node", self.name)
        configuration = {
            "trust_domain": TRUST_DOMAIN,
            "data_dir": str(self.mesh.folder / f"{self.name}-agent"),
            "authority": {"address": f"{SERVER_V4}:{AUTHORITY_PORT}", "bundle_file": str(self.mesh.bundle_file)},
            "attestation": {"join_token": token["token"]},
            "workload_api": {"socket": str(self.socket)},
            "log": {"level": "debug", "format": "json"},
            **self.mesh.admin_of("agent"),
        }
        path = self.mesh.folder / f"{self.name}-agent.yaml"
        path.write_text(json.dumps(configuration, indent=1))
        self.agent = processes.Process(self.mesh.scope, f"{self.name}-agent",
                                       ["lanyard-agent", "run", "--config", path], self.namespace)
        # Its socket is there before it has attested, and answers otherwise until then.
        self.agent.wait_for_record(lambda record: record["message"] == "serving", "word from the authority")

    def start_proxy(self, configuration, wait=True, **options):
        kept = self.mesh.folder / f"{self.name}-proxy"
        kept.mkdir(exist_ok=True)
        os.chown(kept, self.uid, self.uid)
        base = {
            "identity": {"workload_api": f"unix://{self.socket}"},
            "mesh": {"state_file": str(kept / "mesh.view")},
            "capture": {"outbound_address": ":15001", "inbound_address": ":15006"},
        }
        self.proxy = proxy.Proxy(self.mesh.scope, f"{self.name}-proxy", {**base, **configuration}, self.namespace,
                                 self.uid, wait, **options)

    def capture(self, *options):
        """The authority's port is left alone, for the agent's sake."""
        done = processes.run(["lanyard", "capture", "up", "--proxy-uid", self.uid, "--exclude-outbound-ports",
                              AUTHORITY_PORT, "--exclude-inbound-ports", AUTHORITY_PORT, *options], self.namespace)
        assert done.returncode == 0, f"capture up: {done.stderr}"


class Mesh:
    """Starts everything and waits until it is ready. `lifetimes` are the authority's; `client` and `server` are
    merged into the proxies' configurations."""

    def __init__(self, scope, lifetimes=None, client=None, server=None, entries=True, proxies=True,
                 agents=True, admin_ports=None):
        self.scope, self.folder, self.admin_ports = scope, scope.folder, admin_ports or {}
        self.bundle_file = self.folder / "bundle.pem"
        self.authority_socket = self.folder / "authority.sock"
        self.client, self.server = Node(self, "client", CLIENT_UID), Node(self, "server", SERVER_UID)
        namespaces.join(self.client.namespace, self.server.namespace, [f"{CLIENT_V4}/24", f"{CLIENT_V6}/64"],
                        [f"{SERVER_V4}/24", f"{SERVER_V6}/64"])
        self._start_authority(lifetimes or {})
        for node in (self.client, self.server) if agents else ():
            node.start_agent()
        if entries:
            self.create_entry(CLIENT_ID, self.client)
            self.create_entry(SERVER_ID, self.server)
        if proxies:
            self.server.start_proxy({**self.server_rules(), **(server or {})}, wait=entries)
            self.client.start_proxy({**self.client_rules(), **(client or {})}, wait=entries)
            for node in (self.client, self.server):
                node.capture()

    def admin_of(self, what):
        """`admin_ports` are those of "agent" (on each node) and "authority", which have none unless told."""
        port = self.admin_ports.get(what)
        return {"admin": {"address": f"127.0.0.1:{port}"}} if port else {}

    @staticmethod
    def client_rules():
        return {"routes": [{"name": "server", "destinations": [f"{SERVER_V4}/32", f"{SERVER_V6}/128"],
                            "action": "mutual_tls", "peers": [SERVER_ID]}]}

    @staticmethod
    def server_rules():
        return {"inbound": {"rules": [{"name": "client", "peers": [CLIENT_ID]}]}}

    def _start_authority(self, lifetimes):
        configuration = {
            "trust_domain": TRUST_DOMAIN,
            "data_dir": str(self.folder / "authority"),
            "bundle_file": str(self.bundle_file),
            "agents": {"address": f"0.0.0.0:{AUTHORITY_PORT}"},
            "operators": {"address": f"unix://{self.authority_socket}"},
            "lifetimes": lifetimes,
            "log": {"level": "debug", "format": "json"},
            **self.admin_of("authority"),
        }
        path = self.folder / "authority.yaml"
        path.write_text(json.dumps(configuration, indent=1))
        self.authority = processes.Process(self.scope, "authority", ["lanyard-authority", "run", "--config", path],
                                           self.server.namespace)
        self.wait_for_authority()

    def wait_for_authority(self):
        def answers():
            self.authority.check_alive()
            return self.run_cli("bundle", "show").returncode == 0
        waiting.until(answers, lambda: f"the authority does not answer:\n{self.authority.tail()}")

    def fetch(self, node, uid):
        """`lanyard svid fetch` on the node as `uid`: a CompletedProcess with JSON."""
        return processes.run(["lanyard", "svid", "fetch", "--socket", f"unix://{node.socket}", "-o", "json"], uid=uid)

    def wait_for_agent(self, node):
        """Until its agent gives the proxy's user an SVID."""
        waiting.until(lambda: self.fetch(node, node.uid).returncode == 0,
                      lambda: f"the agent gives no SVID:\n{node.agent.tail()}")

    def wait_until_in_force(self, *ids):
        """Until the proxies of these identities, by default of both nodes, say that every worker has looked at its
        connections by the registry's newest version."""
        def proxies():
            status = self.cli("mesh", "status")
            return {proxy["spiffe_id"]: proxy["view_version"] >= status["view_version"] for proxy in status["proxies"]}

        def current():
            found = proxies()
            return all(found.get(spiffe_id) for spiffe_id in ids or (CLIENT_ID, SERVER_ID))
        waiting.until(current, lambda: f"not every proxy runs the newest view: {self.cli('mesh', 'status')}")

    def run_cli(self, *words, **options):
        """`lanyard`, told where the authority is."""
        return processes.run(["lanyard", *words], environment={"LANYARD_AUTHORITY_SOCKET": str(self.authority_socket)},
                             **options)

    def cli(self, *words, **options):
        """The JSON that `lanyard ... -o json` prints."""
        done = self.run_cli(*words, "-o", "json", **options)
        assert done.returncode == 0, f"lanyard {' '.join(words)}: exit {done.returncode}: {done.stderr}"
        return json.loads(done.stdout)

    def apply(self, policies=(), routes=()):
        """`lanyard policy apply` of these records."""
        path = self.folder / "rules.json"
        path.write_text(json.dumps({"policies": list(policies), "routes": list(routes)}))
        return self.cli("policy", "apply", "-f", path)

    def apply_rules(self):
        """The rules that the proxies' files have by default, as records of the registry."""
        return self.apply([{"name": "server", "workloads": [SERVER_ID], **self.server_rules()["inbound"]}],
                          [{"name": "client", "workloads": [CLIENT_ID], **self.client_rules()}])

    def create_entry(self, spiffe_id, node, selectors=None):
        words = [word for selector in (selectors or [f"unix:uid:{node.uid}"]) for word in ("--selector", selector)]
        return self.cli("entry", "create", "--spiffe-id", spiffe_id, "--parent-id",
                        f"spiffe://{TRUST_DOMAIN}/lanyard/agent/{node.name}", *words)

    def serve(self, serve=sockets.echo, port=0):
        """A server application on the server node that knows nothing of TLS; its port."""
        return sockets.Server(self.scope, serve, port, namespace=self.server.namespace)

    def connect(self, port, v6=False, **options):
        """A client application's connection to it, from the client node."""
        return sockets.connect(SERVER_V6 if v6 else SERVER_V4, port, self.client.namespace, **options)

    def exchange(self, port, v6=False, message=b"hello over the mesh"):
        sockets.exchange(SERVER_V6 if v6 else SERVER_V4, port, self.client.namespace, message)
