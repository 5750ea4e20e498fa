"""`./dev demo --once`: two at once say ok, with what they measured, and leave nothing behind; nor does an interrupted one.

    demo_test.py BIN_DIR
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import e2e
import testbed

DEMO = Path(__file__).resolve().parents[2] / "examples/demo/demo.py"
TIMEOUT_S = 300
KEYS = {"deployment_s", "rollback_s", "inference_p50_us", "inference_p99_us", "requests", "lost", "skerryd_pss_mb",
        "fleet_pss_mb", "infer_pss_mb", "start_to_connected_ms"}


class Demo(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-demos-", dir="/tmp")
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.scratch.chmod(0o755)

    def start(self):
        demo = subprocess.Popen([sys.executable, DEMO, "--once", "--bin-dir", os.environ["SKERRY_BIN_DIR"]],
                                env=os.environ | {"TMPDIR": str(self.scratch)}, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(demo.stdout.close)
        self.addCleanup(demo.wait)
        self.addCleanup(demo.kill)
        return demo

    def check_that_nothing_is_left(self):
        self.assertEqual(list(self.scratch.iterdir()), [])
        left = testbed.processes_with(str(self.scratch))
        self.assertEqual([(pid, testbed.program_of(pid)) for pid in left], [])

    def test_two_at_once(self):
        demos = [self.start(), self.start()]
        for demo in demos:
            output, _ = demo.communicate(timeout=TIMEOUT_S)
            self.assertEqual(demo.returncode, 0, output)
            last = output.splitlines()[-1]
            self.assertTrue(last.startswith("demo: ok {"), output)
            measured = json.loads(last.removeprefix("demo: ok "))
            self.assertLessEqual(KEYS, measured.keys())
            self.assertEqual(measured["lost"], 0)
            self.assertGreater(measured["requests"], 100)
            self.assertNotIn("\033", output)  # no colours off a terminal
        self.check_that_nothing_is_left()

    def test_interrupted(self):
        demo = self.start()
        for line in demo.stdout:
            if "First deployment" in line:
                break
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(TIMEOUT_S), 130)
        self.check_that_nothing_is_left()


if __name__ == "__main__":
    e2e.main()
