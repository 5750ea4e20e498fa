"""A skerry-streams of a test's own, in a scratch folder."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time

DEADLINE_S = 30


class Streams:
    def __init__(self, program, *options, environment=None):
        """`options` of each start; without a nucleus in `environment` everybody may connect."""
        self.program = program
        self.environment = {**os.environ, **(environment or {"STREAM_MANAGER_AUTHENTICATE_CLIENT": "false"})}
        self.options = options
        self.folder = tempfile.TemporaryDirectory(prefix="skerry-streams-")
        self.directory = pathlib.Path(self.folder.name)
        self.process = None
        self.port = 0

    def start(self, *options):
        """On a free port, or on the one that it had."""
        (self.directory / "port").unlink(missing_ok=True)
        self.process = subprocess.Popen([self.program, "--dir", self.directory, "--port", str(self.port),
                                         "--log-level", "warn", *self.options, *options], env=self.environment)
        deadline = time.monotonic() + DEADLINE_S
        while not (self.directory / "port").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("skerry-streams does not start")
            time.sleep(0.01)
        self.port = int((self.directory / "port").read_text())

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(DEADLINE_S)

    def close(self):
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.folder.cleanup()
