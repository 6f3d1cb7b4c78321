import signal

from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    for node in (mesh.server, mesh.client):
        others = [each.proxy for each in (mesh.server, mesh.client) if each is not node]
        mesh.exchange(server.port)
        check.assertEqual(node.proxy.process.stop(), 0)
        with check.assertRaises((OSError, AssertionError)):
            mesh.exchange(server.port)  # closed, never past the proxy
        for other in others:
            other.wait_until_links_are_gone()
        node.proxy.process.start()
        node.proxy.wait_until_ready()
        mesh.exchange(server.port)
        node.proxy.process.signal(signal.SIGKILL)
        node.proxy.process.wait()
        for other in others:
            other.wait_until_links_are_gone()
        node.proxy.process.start()
        node.proxy.wait_until_ready()
        mesh.exchange(server.port)
