"""docs/openapi.yaml against the real skerry-infer by Schemathesis: requests of its own making to every operation, valid and not,
whose answers have to be as described, and never 500. Skipped (77) where `./dev setup schemathesis` has not been run.

    schemathesis_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from infer_server import CACHE, SOURCE, Server, affine_package

SCHEMATHESIS = CACHE / "schemathesis/bin/schemathesis"
if not SCHEMATHESIS.exists():
    print("Schemathesis is not there: run ./dev setup schemathesis")
    raise SystemExit(77)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"
EXAMPLES = 50  # of each operation, besides those that cover its parameters' limits
DEADLINE_S = 1200


class Described(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-schemathesis-")
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)
        self.server = Server(self.directory, "--repository-over-tcp", stderr=subprocess.DEVNULL)
        self.addCleanup(self.server.stop, signal.SIGKILL)
        done = self.server.load("affine", affine_package(self.directory / "affine", "1", "double.onnx"))
        self.assertEqual(done.returncode, 0, done.stderr)
        # A model that is there, else every answer would be 404.
        self.settings = self.directory / "schemathesis.toml"
        self.settings.write_text('[parameters]\n"path.model" = "affine"\n"path.version" = "1"\n')

    def run_against(self, description, *options):
        """Its exit code, and what it says."""
        done = subprocess.run(
            [SCHEMATHESIS, "--config-file", self.settings, "run", description, "--url", f"http://{self.server.url}", "--no-color",
             "--seed", "1", "--max-examples", str(EXAMPLES), "--checks", CHECKS, "--continue-on-failure", "--warnings", "off",
             "--phases", "coverage,fuzzing", *options],
            cwd=self.directory, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        return done.returncode, done.stdout + done.stderr

    def test_every_operation(self):
        code, text = self.run_against(SOURCE / "docs/openapi.yaml", "--exclude-operation-id", "unload")
        self.assertEqual(code, 0, text)
        selected, tested = re.search(r"Selected: (\d+)/\d+\s+Tested: (\d+)", text).groups()
        self.assertEqual(selected, tested)
        self.assertGreater(int(tested), 40)
        code, text = self.run_against(SOURCE / "docs/openapi.yaml", "--include-operation-id", "unload")
        self.assertEqual(code, 0, text)
        self.assertIsNone(self.server.process.poll())

    def test_what_is_not_as_described_is_seen(self):
        description = (SOURCE / "docs/openapi.yaml").read_text()
        for right, wrong in [("hangs: {type: integer}", "hangs: {type: string}"), ("slow, fault]", "slow, fault, more]")]:
            self.assertIn(right, description)
            path = self.directory / "openapi.yaml"
            path.write_text(description.replace(right, wrong))
            code, text = self.run_against(path, "--include-operation-id", "watchdog")
            self.assertEqual(code, 1, text)
            self.assertIn("Response violates schema", text)


if __name__ == "__main__":
    unittest.main()
