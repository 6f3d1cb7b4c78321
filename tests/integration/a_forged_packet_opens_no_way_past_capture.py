"""Address translation is decided once for a connection as the kernel tracks it, by its first packet. Nobody on the wire
gets past the proxy by choosing that packet, nor to a server on 127.0.0.1 by sending a frame for that address here."""

import json
import socket
import struct
import subprocess

from kit import sockets
from kit.captured import FAR, NEAR, OTHER_UID, PROXY_UID, Captured
from kit.scope import check

_SYN, _ACK = 0x02, 0x10
# TCP drops a segment with an MD5 signature that it does not expect without a word, so that no RST ends the tracking.
_MD5 = b"\x01\x01\x13\x12" + bytes(16)
_ETH_P_IP = 0x0800


def test(scope):
    pair = Captured(scope)
    for mode, answer in (("redirect", "refused"), ("tproxy", "inbound")):
        pair.capture("up", "--proxy-uid", str(PROXY_UID), "--mode", mode)
        for v, port in ((0, 40001), (1, 40002)):
            send_segment(pair.far, FAR[v], NEAR[v], port, _ACK)
            check.assertEqual(called_from(pair.far, port, v), answer, f"{mode} {NEAR[v]}")
        refused = pair.capture("show")["counters"].get("refuse_inbound", 0)
        check.assertEqual(refused, 2 if mode == "redirect" else 0)
        before = pair.capture("show")["counters"]["take_inbound"]
        send_frame(pair, "127.0.0.1", 80)
        pair.expect({(NEAR[v], 80, pair.far, OTHER_UID): "inbound" for v in (0, 1)})  # arrives later
        check.assertEqual(pair.capture("show")["counters"]["take_inbound"], before + 2, mode)


def called_from(far, port, v):
    try:
        with sockets.connect(NEAR[v], 80, far, source=FAR[v], source_port=port) as connection:
            return sockets.receive_all(connection).decode()
    except ConnectionRefusedError:
        return "refused"


def segment(source, destination, port, to, flags, options=b""):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    header = struct.pack("!HHIIBBHHH", port, to, 1000, 2000, (20 + len(options)) // 4 << 4, flags, 65535, 0, 0)
    text = header + options
    pseudo = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    checksum = internet_checksum(pseudo + struct.pack("!II", len(text), socket.IPPROTO_TCP) + text)
    return text[:16] + struct.pack("!H", checksum) + text[18:]


def internet_checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send_segment(namespace, source, destination, port, flags):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with namespace.entered(), socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.sendto(segment(source, destination, port, 80, flags, _MD5), (destination, 0))


def send_frame(pair, destination, port):
    """From `far`, to the hardware address of `near`: a SYN for an address that no route leads there for."""
    listed = subprocess.run(["ip", "-n", pair.near.name, "-json", "link", "show", "eth0"], capture_output=True,
                            check=True, text=True).stdout
    hardware = bytes.fromhex(json.loads(listed)[0]["address"].replace(":", ""))
    text = segment(FAR[0], destination, 40003, port, _SYN)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(text), 1, 0, 64, socket.IPPROTO_TCP, 0,
                         socket.inet_aton(FAR[0]), socket.inet_aton(destination))
    header = header[:10] + struct.pack("!H", internet_checksum(header)) + header[12:]
    with pair.far.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(hardware + bytes(6) + struct.pack("!H", _ETH_P_IP) + header + text)
