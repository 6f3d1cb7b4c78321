"""The two ends of long-lived streams as applications that know nothing of the mesh: TCP, WebSocket and gRPC server
streams, of messages of random sizes. Started by Streams below as processes of Debian's Python, whose packages they need.

    stream_ends.py serve                       prints the ports
    stream_ends.py call ADDRESS PORTS STREAMS  (both JSON) one line a stream when it has ended

A stream is a dictionary: kind, id, up and down (which ends send), stall_s (the receivers stop reading for so long, again
and again, while the senders go on as long as they can). Each sender ends with the count and the SHA-256 of what it
sent, which the receiver compares with what it got.
"""

import asyncio
import hashlib
import json
import pathlib
import random
import signal
import struct
import sys

_PYTHON = "/usr/bin/python3"
_MOST_BYTES = 1 << 16
_GRPC_METHOD = "/lanyard.test.Streams/Run"


class _Tcp:
    """Messages with their length before them."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    async def send(self, message):
        self._writer.write(struct.pack("!I", len(message)) + message)
        await self._writer.drain()

    async def receive(self):
        size, = struct.unpack("!I", await self._reader.readexactly(4))
        return await self._reader.readexactly(size)

    async def finish(self):
        """This end sends no more: a half-close."""
        self._writer.write_eof()

    async def close(self):
        if await self._reader.read(1):
            raise AssertionError("bytes after the end")
        self._writer.close()
        await self._writer.wait_closed()


class _WebSocket:
    def __init__(self, socket):
        self._socket = socket

    async def send(self, message):
        await self._socket.send(message)

    async def receive(self):
        return await self._socket.recv()

    async def finish(self):
        """WebSocket has no half-close."""

    async def close(self):
        await self._socket.close()


class _Grpc:
    """One end of a server stream: responses one way only."""

    def __init__(self, call=None, context=None):
        self._call, self._context = call, context

    async def send(self, message):
        await self._context.write(message)

    async def receive(self):
        return await self._call.read()

    async def finish(self):
        """The stream ends with its handler."""

    async def close(self):
        if self._call is None:
            return
        rest, code = await self._call.read(), await self._call.code()
        if isinstance(rest, bytes) or code.value[0] != 0:
            raise AssertionError(f"the call ended with {code} after {rest!r:.40}")


async def _send(channel, stream, stop):
    """Until told to stop, then count and digest."""
    dice, digest, count = random.Random(), hashlib.sha256(), 0
    while not stop.is_set():
        message = dice.randbytes(int(_MOST_BYTES ** dice.random()))
        await channel.send(message)
        digest.update(message)
        count += len(message)
        if not stream["stall_s"]:
            await asyncio.sleep(0.2 * dice.random())
    await channel.send(b"")
    await channel.send(json.dumps({"bytes": count, "sha256": digest.hexdigest()}).encode())
    await channel.finish()
    return count


async def _receive(channel, stream, stop):
    digest, count, stalled_at = hashlib.sha256(), 0, 0
    while message := await channel.receive():
        digest.update(message)
        count += len(message)
        if stream["stall_s"] and count - stalled_at > 1 << 20:
            stalled_at = count
            await _stall(stream["stall_s"], stop)
    said = json.loads(await channel.receive())
    if said != {"bytes": count, "sha256": digest.hexdigest()}:
        raise AssertionError(f"{said} were sent, {count} bytes with SHA-256 {digest.hexdigest()} received")
    return count


async def _stall(seconds, stop):
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except asyncio.TimeoutError:
        pass


async def _run(channel, stream, sends, receives, stop):
    """(bytes sent, bytes received)"""
    async def nothing():
        await channel.finish()
        return 0
    sent, received = await asyncio.gather(_send(channel, stream, stop) if sends else nothing(),
                                          _receive(channel, stream, stop) if receives else asyncio.sleep(0, 0))
    await channel.close()
    return sent, received


class _Ends:
    """What either program runs; it ends with the last stream after SIGTERM."""

    def __init__(self):
        self.stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop.set)

    async def report(self, stream, running):
        record = {"id": stream["id"], "kind": stream["kind"], "error": ""}
        try:
            record["sent"], record["received"] = await running
        except Exception as error:  # whatever ends a stream is the test's to judge
            record["error"] = repr(error)
        print(json.dumps(record), flush=True)


class _Server(_Ends):
    async def serve(self):
        import grpc
        import websockets
        self._open = set()
        tcp = await asyncio.start_server(self._tcp, "0.0.0.0")
        web = await websockets.serve(self._websocket, "0.0.0.0", 0, ping_interval=None, max_size=None, compression=None)
        handler = grpc.unary_stream_rpc_method_handler(self._grpc)
        rpc = grpc.aio.server()
        rpc.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("lanyard.test.Streams", {"Run": handler})])
        ports = {"tcp": tcp.sockets[0].getsockname()[1], "websocket": web.sockets[0].getsockname()[1],
                 "grpc": rpc.add_insecure_port("0.0.0.0:0")}
        await rpc.start()
        print(json.dumps({"ports": ports}), flush=True)
        await self.stop.wait()
        while self._open:
            await asyncio.wait(self._open)
        await rpc.stop(5)

    async def _end(self, channel, stream):
        task = asyncio.current_task()
        self._open.add(task)
        try:
            await self.report(stream, _run(channel, stream, stream["down"], stream["up"], self.stop))
        finally:
            self._open.discard(task)

    async def _tcp(self, reader, writer):
        channel = _Tcp(reader, writer)
        await self._end(channel, json.loads(await channel.receive()))

    async def _websocket(self, socket, _path=""):
        channel = _WebSocket(socket)
        await self._end(channel, json.loads(await channel.receive()))

    async def _grpc(self, request, context):
        await self._end(_Grpc(context=context), json.loads(request))


class _Caller(_Ends):
    async def call(self, address, ports, streams):
        await asyncio.gather(*(self.report(stream, getattr(self, "_" + stream["kind"])(
            address, ports[stream["kind"]], stream)) for stream in streams))

    async def _tcp(self, address, port, stream):
        channel = _Tcp(*await asyncio.open_connection(address, port))
        return await self._end(channel, stream)

    async def _websocket(self, address, port, stream):
        import websockets
        socket = await websockets.connect(f"ws://{address}:{port}", ping_interval=None, max_size=None,
                                          compression=None, open_timeout=60)
        return await self._end(_WebSocket(socket), stream)

    async def _end(self, channel, stream):
        await channel.send(json.dumps(stream).encode())
        return await _run(channel, stream, stream["up"], stream["down"], self.stop)

    async def _grpc(self, address, port, stream):
        import grpc
        # A connection each, not streams of one.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(f"{address}:{port}", options=options) as channel:
            call = channel.unary_stream(_GRPC_METHOD)(json.dumps(stream).encode())
            return await _run(_Grpc(call=call), stream, False, True, self.stop)


async def _main(words):
    if words[0] == "serve":
        return await _Server().serve()
    return await _Caller().call(words[1], json.loads(words[2]), json.loads(words[3]))


def mixed(count, stalled=2, stall_s=0):
    """`count` streams of the three kinds in turn, sending up, down or both; the first `stalled` of TCP stall."""
    streams = []
    for i in range(count):
        kind = ("tcp", "websocket", "grpc")[i % 3]
        up, down = (True, True) if i // 3 % 3 == 0 else (i // 3 % 3 == 1, i // 3 % 3 == 2)
        stalls = kind == "tcp" and i // 3 < stalled
        streams.append({"id": i, "kind": kind, "up": up and kind != "grpc", "down": down or kind == "grpc",
                        "stall_s": stall_s if stalls else 0})
    return streams


class Streams:
    """Both ends across a mesh (kit.mesh); running when constructed."""

    def __init__(self, mesh, address, streams):
        from kit import processes
        command = [_PYTHON, "-B", pathlib.Path(__file__)]
        self.streams = streams
        self.server = processes.Process(mesh.scope, "streams-server", [*command, "serve"], mesh.server.namespace)
        ports = self.server.wait_for_record(lambda record: "ports" in record, "ports")["ports"]
        self.client = processes.Process(
            mesh.scope, "streams-client", [*command, "call", address, json.dumps(ports), json.dumps(streams)],
            mesh.client.namespace)

    def check(self):
        """Nothing has ended yet."""
        for process in (self.server, self.client):
            process.check_alive()
            ended = [record for record in process.records() if "error" in record]
            assert not ended, f"{process.name}: streams have ended: {ended[:5]}"

    def finish(self, timeout_s=120):
        """Ends every stream: (records of the client's end, of the server's). The server stops sending first."""
        from kit import waiting
        self.server.signal(signal.SIGTERM)
        self.client.signal(signal.SIGTERM)
        ends = [self.client, self.server]
        waiting.until(lambda: not any(process.alive() for process in ends),
                      lambda: f"streams do not end: {[process.tail(3) for process in ends]}", timeout_s)
        return tuple({record["id"]: record for record in process.records() if "error" in record} for process in ends)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
