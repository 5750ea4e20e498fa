"""What the tests of the demos share: a demo that is started in a scratch folder of its own, and a look for what it left."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import testbed

DEMOS = Path(__file__).resolve().parents[2] / "examples/demo"
TIMEOUT_S = 300


class Demos(unittest.TestCase):
    story = "demo"

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-demos-", dir="/tmp")
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.scratch.chmod(0o755)

    def start(self):
        demo = subprocess.Popen([sys.executable, DEMOS / f"{self.story}.py", "--once", "--bin-dir",
                                 os.environ["SKERRY_BIN_DIR"]],
                                env=os.environ | {"TMPDIR": str(self.scratch)}, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(demo.stdout.close)
        self.addCleanup(demo.wait)
        self.addCleanup(demo.kill)
        return demo

    def measured(self, demo):
        """What the demo says in its last line, once it has ended well."""
        output, _ = demo.communicate(timeout=TIMEOUT_S)
        self.assertEqual(demo.returncode, 0, output)
        last = output.splitlines()[-1]
        self.assertTrue(last.startswith("demo: ok {"), output)
        self.assertNotIn("\033", output)  # no colours off a terminal
        return json.loads(last.removeprefix("demo: ok "))

    def interrupt_after(self, text):
        """Once it has printed a line with `text`."""
        demo = self.start()
        for line in demo.stdout:
            if text in line:
                break
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(TIMEOUT_S), 130)
        self.check_that_nothing_is_left()

    def check_that_nothing_is_left(self):
        self.assertEqual(list(self.scratch.iterdir()), [])
        left = testbed.processes_with(str(self.scratch))
        self.assertEqual([(pid, testbed.program_of(pid)) for pid in left], [])
