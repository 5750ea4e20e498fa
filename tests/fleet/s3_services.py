"""S3 services for tests: ours, and one that somebody else wrote."""

import contextlib
import os
import signal
import socket
import subprocess
import time

from fleet import DEADLINE_S, Fleet

NOT_BUILT = 77  # what ctest takes as skipped: `./dev setup s3` builds versitygw


class OurService:
    """The artifact store of another skerry-fleet."""

    def __init__(self, scratch, program):
        self._fleet = Fleet(program, scratch / "service")
        self.endpoint = self._fleet.info["api_url"] + "/artifacts"
        self.region = self._fleet.info["region"]
        self.access_key = self._fleet.access_key
        self.stop = self._fleet.stop


class Versitygw:
    """An S3 server that somebody else wrote, on a folder."""

    def __init__(self, scratch, program):
        self._program, self._folder, self._log_path = program, scratch / "service", scratch / "versitygw.log"
        self._folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.endpoint, self.region = f"http://127.0.0.1:{self._port}", "eu-north-9"
        self.access_key = {"aws_access_key_id": "AKIAVERSITY", "aws_secret_access_key": "a secret of the test"}
        self.start()

    def start(self):
        self._log = self._log_path.open("ab")
        self._process = subprocess.Popen(
            [self._program, "--port", f"127.0.0.1:{self._port}", "--region", self.region, "posix", self._folder],
            env={"ROOT_ACCESS_KEY": "AKIAVERSITY", "ROOT_SECRET_KEY": "a secret of the test", "PATH": os.environ["PATH"]},
            stdout=self._log, stderr=self._log)
        end = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            assert time.monotonic() < end and self._process.poll() is None, self._log_path.read_text()
            time.sleep(0.1)

    def stop(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(DEADLINE_S)
            self._log.close()

    def kill(self):
        self._process.kill()
        self._process.wait(DEADLINE_S)
        self._log.close()
