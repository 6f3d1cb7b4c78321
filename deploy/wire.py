#!/usr/bin/env python3
"""What a packet capture shows: wire.py FILE.pcap PORT WORD

One sentence on standard output. Exit 0 if every TCP stream to PORT is TLS 1.3 from its first byte to its last and
WORD is nowhere in the file.
"""

import struct
import sys

HANDSHAKE, CHANGE_CIPHER_SPEC, ALERT, APPLICATION_DATA = 22, 20, 21, 23
SUPPORTED_VERSIONS, TLS13 = 43, 0x0304


class NotTls(Exception):
    """What stands there instead."""


def packets(data):
    """Ethernet frames of a classic pcap file."""
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(data[:4])
    if order is None:
        raise NotTls("the capture is no pcap file")
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        yield data[at + 16:at + 16 + size]
        at += 16 + size


def streams(data, port):
    """{(source port, towards the server): bytes in order} of IPv4 TCP to or from `port`."""
    parts = {}
    for frame in packets(data):
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        header = 14 + (frame[14] & 15) * 4
        end = 14 + struct.unpack(">H", frame[16:18])[0]
        source, target, sequence = struct.unpack(">HHI", frame[header:header + 8])
        payload = frame[header + (frame[header + 12] >> 4) * 4:end]
        if payload and port in (source, target):
            key = (source, True) if target == port else (target, False)
            parts.setdefault(key, {})[sequence] = payload
    joined = {}
    for key, segments in parts.items():
        start, stream = min(segments), b""
        for sequence, payload in sorted(segments.items()):
            stream += payload[len(stream) - (sequence - start):] if sequence - start <= len(stream) else b""
        joined[key] = stream
    return joined


def records(stream):
    """(type, body) of TLS records; NotTls where the bytes are none."""
    at = 0
    while at < len(stream):
        kind, version, size = struct.unpack(">BHH", stream[at:at + 5].ljust(5, b"\0"))
        if kind not in (HANDSHAKE, CHANGE_CIPHER_SPEC, ALERT, APPLICATION_DATA) or version >> 8 != 3:
            raise NotTls(f"these bytes are no TLS record: {stream[at:at + 16]!r}")
        yield kind, stream[at + 5:at + 5 + size]
        at += 5 + size


def hello_extensions(body, from_client):
    """{type: content} of a ClientHello or ServerHello."""
    at = 4 + 2 + 32
    at += 1 + body[at]                                                     # session ID
    if from_client:
        at += 2 + struct.unpack(">H", body[at:at + 2])[0]                  # cipher suites
        at += 1 + body[at]                                                 # compression methods
    else:
        at += 3                                                            # one suite, one method
    end = at + 2 + struct.unpack(">H", body[at:at + 2])[0]
    at, found = at + 2, {}
    while at + 4 <= end:
        kind, size = struct.unpack(">HH", body[at:at + 4])
        found[kind] = body[at + 4:at + 4 + size]
        at += 4 + size
    return found


def negotiated_version(body):
    """From the ServerHello: in TLS 1.3 the version stands in an extension."""
    chosen = hello_extensions(body, False).get(SUPPORTED_VERSIONS, body[4:6])
    return struct.unpack(">H", chosen[:2])[0]


def main(path, port, word):
    with open(path, "rb") as file:
        data = file.read()
    if word.encode() in data:
        return f"the word '{word}' crosses the wire in the clear", 1
    encrypted = connections = 0
    for (number, to_server), stream in streams(data, port).items():
        kinds = list(records(stream))
        if kinds[0][0] != HANDSHAKE or kinds[0][1][:1] != (b"\x01" if to_server else b"\x02"):
            return f"the connection from port {number} does not begin with a TLS hello", 1
        if to_server:
            connections += 1
        elif negotiated_version(kinds[0][1]) != TLS13:
            return f"the connection from port {number} is TLS, but not 1.3", 1
        # After the hellos, and the message that middleboxes want, everything is encrypted.
        if any(kind not in (CHANGE_CIPHER_SPEC, APPLICATION_DATA) for kind, _ in kinds[1:]):
            return f"the connection from port {number} has more than its hello in the clear", 1
        encrypted += sum(len(body) for kind, body in kinds[1:] if kind == APPLICATION_DATA)
    if connections == 0 or encrypted == 0:
        return "no connection was captured", 1
    return (f"{connections} connection(s) captured between the machines: TLS 1.3 (0x0304), {encrypted} bytes in "
            f"encrypted records, no plaintext"), 0


if __name__ == "__main__":
    try:
        sentence, status = main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    except NotTls as error:
        sentence, status = str(error), 1
    print(sentence)
    sys.exit(status)
