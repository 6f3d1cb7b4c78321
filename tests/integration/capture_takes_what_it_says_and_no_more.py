from kit import sockets
from kit.captured import FAR, NEAR, OTHER_UID, PROXY_UID, Captured
from kit.scope import check


def test(scope):
    pair = Captured(scope)
    near, far = pair.near, pair.far
    held = sockets.Server(scope, sockets.echo, namespace=far)
    older = sockets.connect(FAR[0], held.port, near)
    for mode in ("redirect", "tproxy"):
        takes_both_directions(pair, mode, older)
        follows_ports_and_networks(pair, mode)
    for _ in range(2):
        check.assertEqual(pair.capture("down"), {"captured": False})
    check.assertEqual(pair.capture("show")["captured"], False)
    pair.expect({(FAR[0], 80, near, OTHER_UID): "application", (NEAR[1], 80, far, OTHER_UID): "application"})


def takes_both_directions(pair, mode, older):
    near, far = pair.near, pair.far
    up = ("up", "--proxy-uid", str(PROXY_UID), "--mode", mode)
    pair.capture(*up)
    rules = pair.ruleset()
    pair.capture(*up)
    check.assertEqual(pair.ruleset(), rules, "up twice is up once")
    shown = pair.capture("show")
    check.assertIn(f"--proxy-uid {PROXY_UID}", shown["options"])
    check.assertEqual("--mode tproxy" in shown["options"], mode == "tproxy")
    older.sendall(b"still here")
    check.assertEqual(sockets.receive_exactly(older, 10), b"still here", "a connection older than the rules was cut")
    for v in (0, 1):
        loopback = ("127.0.0.1", "::1")[v]
        pair.expect({
            (FAR[v], 80, near, OTHER_UID): "outbound",
            (FAR[v], 80, near, PROXY_UID): "application",
            (loopback, 80, near, OTHER_UID): "application",
            (NEAR[v], 80, near, OTHER_UID): "application",  # its own address
            (NEAR[v], 80, far, OTHER_UID): "inbound",
            # The capture ports take captured connections only.
            (NEAR[v], 15001, far, OTHER_UID): "silence",
            (NEAR[v], 15006, far, OTHER_UID): "silence",
        })
    counters = pair.capture("show")["counters"]
    check.assertEqual((counters["take_outbound"], counters["take_inbound"]), (2, 2), counters)


# New rules replace the old ones.
def follows_ports_and_networks(pair, mode):
    near, far = pair.near, pair.far
    up = ("up", "--proxy-uid", str(PROXY_UID), "--mode", mode)
    pair.capture(*up, "--exclude-uids", str(OTHER_UID), "--exclude-inbound-ports", "80")
    pair.expect({(FAR[0], 80, near, OTHER_UID): "application", (FAR[0], 80, near, 0): "outbound",
                 (NEAR[0], 80, far, OTHER_UID): "application", (NEAR[1], 81, far, OTHER_UID): "inbound"})
    pair.capture(*up, "--include-outbound-ports", "81,8000-8010", "--exclude-outbound-ports", "8005",
                 "--include-inbound-ports", "81")
    pair.expect({(FAR[0], 80, near, OTHER_UID): "application", (FAR[0], 81, near, OTHER_UID): "outbound",
                 (FAR[1], 8005, near, OTHER_UID): "application", (FAR[1], 81, near, OTHER_UID): "outbound",
                 (NEAR[0], 80, far, OTHER_UID): "application", (NEAR[0], 81, far, OTHER_UID): "inbound"})
    pair.capture(*up, "--include-cidrs", "10.78.0.0/24,10.78.0.0/16")
    pair.expect({(FAR[0], 80, near, OTHER_UID): "outbound", (FAR[1], 80, near, OTHER_UID): "application"})
    pair.capture(*up, "--exclude-cidrs", f"{FAR[0]},fd78::/16")
    pair.expect({(FAR[0], 80, near, OTHER_UID): "application", (FAR[1], 80, near, OTHER_UID): "application"})
