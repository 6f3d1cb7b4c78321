"""One process under test: started in a namespace under a uid, its log in a file, ended for certain."""

import ctypes
import json
import os
import signal
import subprocess

from kit import binaries, waiting

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """`command[0]` may be one of Lanyard's binaries by name. Standard output and error go to the log.
    `capabilities`: what it may besides, as `uid`: ("net_raw",)."""

    def __init__(self, scope, name, command, namespace=None, uid=None, environment=None, before=None, capabilities=()):
        self.name = name
        self.command = [str(part) for part in command]
        if self.command[0].startswith("lanyard"):
            self.command[0] = str(binaries.path_of(self.command[0]))
        if capabilities:
            given = ",".join(f"+{capability}" for capability in capabilities)
            self.command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", f"--inh-caps={given}",
                            f"--ambient-caps={given}", *self.command]
            uid = None
        self.log_path = scope.folder / f"{name}.log"
        self._namespace, self._uid, self._before = namespace, uid, before
        self._environment = {**os.environ, **(environment or {})}
        self.popen = None
        scope.processes.append(self)
        scope.callback(self.kill)
        self.start()

    def start(self):
        """Also starts it again after it ended; the log is continued."""
        identity = {} if self._uid is None else {"user": self._uid, "group": self._uid, "extra_groups": []}

        def before_exec():
            _die_with_parent()
            if self._before:
                self._before()

        with open(self.log_path, "ab") as log:
            options = dict(stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
                           preexec_fn=before_exec, start_new_session=True, **identity)
            if self._namespace is None:
                self.popen = subprocess.Popen(self.command, **options)
            else:
                with self._namespace.entered():
                    self.popen = subprocess.Popen(self.command, **options)
        return self

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def state(self):
        return "running" if self.alive() else f"exit status {self.popen.returncode}"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def tail(self, lines=25):
        return "\n".join(self.log().splitlines()[-lines:])

    def records(self):
        """The log's JSON lines as dictionaries."""
        found = []
        for line in self.log().splitlines():
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                except json.JSONDecodeError:
                    continue  # a line that is being written
        return found

    def wait_for_record(self, matches, what, timeout_s=waiting.TIMEOUT_S):
        """The first log record for which `matches` is true."""
        return waiting.until(lambda: next((record for record in self.records() if matches(record)), None),
                             lambda: f"{self.name} logged no {what}; its last lines:\n{self.tail()}", timeout_s)

    def check_alive(self):
        assert self.alive(), f"{self.name} ended by itself with {self.state()}:\n{self.tail()}"

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout_s=waiting.TIMEOUT_S):
        """Its exit status."""
        return self.popen.wait(timeout_s * binaries.PATIENCE)

    def stop(self, timeout_s=waiting.TIMEOUT_S):
        """SIGTERM; its exit status."""
        if self.alive():
            self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self):
        """SIGKILL, for it and whatever it left behind."""
        if self.alive():
            self.signal(signal.SIGKILL)
        self.popen.wait()
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run(command, namespace=None, uid=None, environment=None, stdin="", timeout_s=waiting.TIMEOUT_S):
    """Runs to the end: a CompletedProcess with text output. A failure is the caller's to judge."""
    command = [str(part) for part in command]
    if command[0].startswith("lanyard"):
        command[0] = str(binaries.path_of(command[0]))
    identity = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    options = dict(input=stdin, capture_output=True, text=True, errors="replace", preexec_fn=_die_with_parent,
                   env={**os.environ, **(environment or {})}, timeout=timeout_s * binaries.PATIENCE, **identity)
    if namespace is None:
        return subprocess.run(command, **options)
    with namespace.entered():
        return subprocess.run(command, **options)
