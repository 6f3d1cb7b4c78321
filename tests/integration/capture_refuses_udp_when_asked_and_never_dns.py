from kit import processes, waiting
from kit.captured import FAR, NEAR, OTHER_UID, PROXY_UID, Captured
from kit.scope import check

_ECHO = """import select, socket, sys
listeners = []
for port in sys.argv[1:]:
    listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", int(port)))
    listeners.append(listener)
print("listening", flush=True)
while True:
    for listener in select.select(listeners, [], [])[0]:
        message, sender = listener.recvfrom(100)
        listener.sendto(message, sender)
"""
_ASK = """import socket, sys
address = sys.argv[1]
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as question:
    question.settimeout(30)
    question.connect((address, int(sys.argv[2])))
    try:
        try:
            question.send(b"answer")
        except PermissionError:
            pass  # of a packet refused on its way out the sender hears at once, and by ICMP too
        print(question.recv(100).decode())
    except ConnectionRefusedError:
        print("refused")
    except TimeoutError:
        print("silence")
"""


def test(scope):
    pair = Captured(scope, ports=(53,))
    for name, namespace in (("near", pair.near), ("far", pair.far)):
        server = processes.Process(scope, f"udp-{name}", ["/usr/bin/python3", "-c", _ECHO, 53, 443, 444], namespace)
        waiting.until(lambda: "listening" in server.log(), server.tail)

    def ask(address, port, namespace=pair.near, uid=OTHER_UID):
        done = processes.run(["/usr/bin/python3", "-c", _ASK, address, port], namespace, uid)
        return done.stdout.strip() or done.stderr

    def expect(table):
        for (address, port, uid), answer in table.items():
            check.assertEqual(ask(address, port, uid=uid), answer, f"{address}:{port} by {uid}")

    for mode in ("redirect", "tproxy"):
        up = ("up", "--proxy-uid", str(PROXY_UID), "--mode", mode)
        pair.capture(*up)
        for v in (0, 1):
            expect({(FAR[v], 443, OTHER_UID): "answer", (FAR[v], 53, OTHER_UID): "answer"})
            check.assertEqual(pair.hear(FAR[v], 53), "application", "DNS over TCP is left alone unless it is asked for")
        pair.capture(*up, "--udp", "refuse", "--exclude-outbound-ports", "444", "--dns", "capture")
        for v in (0, 1):
            loopback = ("127.0.0.1", "::1")[v]
            expect({(FAR[v], 443, OTHER_UID): "refused", (FAR[v], 443, PROXY_UID): "answer",
                    (FAR[v], 53, OTHER_UID): "answer", (FAR[v], 444, OTHER_UID): "answer",
                    (loopback, 443, OTHER_UID): "answer"})
            # A server's own answers are not refused.
            check.assertEqual(ask(NEAR[v], 443, pair.far), "answer")
            check.assertEqual(pair.hear(FAR[v], 53), "outbound")
        pair.capture(*up, "--udp", "refuse", "--exclude-cidrs", FAR[0], "--exclude-uids", "0")
        expect({(FAR[0], 443, OTHER_UID): "answer", (FAR[1], 443, OTHER_UID): "refused", (FAR[1], 443, 0): "answer"})
