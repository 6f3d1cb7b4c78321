#!/usr/bin/env python3
"""Very many connections from few processes: a crowd of callers, and an echo that can hold them.

As a program: crowd.py echo PORT | crowd.py call ADDRESS PORT COUNT. It says "ready" when all is in place; the
crowd answers each line on its standard input when the line is done: "again" sends and expects one message on every
connection, "close" ends them all.
"""

import pathlib
import resource
import selectors
import socket
import subprocess
import sys

MESSAGE = b"one of very many"
AT_ONCE = 64  # dialled, and not yet answered
TIMEOUT_S = 60


class Crowd:
    """One such program, from the test's side. The callers' messages are checked there."""

    def __init__(self, scope, namespace, *words):
        with namespace.entered():
            self._process = subprocess.Popen([sys.executable, __file__, *(str(word) for word in words)], text=True,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_many_descriptors)
        scope.callback(self._end)

    def wait(self, word="ready"):
        answer = self._process.stdout.readline().strip()
        assert answer == word, f"the crowd says {answer!r} instead of {word!r}"

    def ask(self, word):
        """`wait(word)` says when it is done."""
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def _end(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _many_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(word):
    print(word, flush=True)


def echo(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setblocking(False)
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    say("ready")
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                ready.register(connection, selectors.EVENT_READ)
                continue
            try:
                part = key.fileobj.recv(1 << 12)
                if part:
                    key.fileobj.sendall(part)
                    continue
            except OSError:
                pass
            ready.unregister(key.fileobj)
            key.fileobj.close()


def send_and_receive(ready, connections):
    """One message on each, few at a time; `connections` may dial as it goes."""
    coming, waiting_for, done = iter(connections), {}, []
    while True:
        while len(waiting_for) < AT_ONCE and (connection := next(coming, None)) is not None:
            connection.sendall(MESSAGE)
            waiting_for[connection] = b""
            ready.register(connection, selectors.EVENT_READ)
        if not waiting_for:
            return done
        events = ready.select(TIMEOUT_S)
        assert events, f"no answer within {TIMEOUT_S} s; {len(done)} had theirs"
        for key, _ in events:
            connection = key.fileobj
            part = connection.recv(len(MESSAGE))
            assert part, f"a connection ended; {len(done)} had their answer"
            waiting_for[connection] += part
            if len(waiting_for[connection]) == len(MESSAGE):
                assert waiting_for.pop(connection) == MESSAGE, "the echo is not what was sent"
                ready.unregister(connection)
                done.append(connection)


def call(address, port, count):
    def dialled():
        for _ in range(count):
            yield socket.create_connection((address, port), timeout=TIMEOUT_S)
    ready = selectors.DefaultSelector()
    connections = send_and_receive(ready, dialled())
    say("ready")
    for line in sys.stdin:
        if line.strip() == "again":
            send_and_receive(ready, connections)
        else:
            for connection in connections:
                connection.close()
            connections = []
        say(line.strip())


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    if sys.argv[1] == "echo":
        echo(int(sys.argv[2]))
    else:
        call(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
