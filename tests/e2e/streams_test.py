"""The stream manager as a component, and a component that uses it with the stock SDK.

    streams_test.py BIN_DIR
"""

import os
import sys
from pathlib import Path

import e2e
import testbed

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples"))

import packages

RECORDER = "com.example.Recorder"


class Streams(e2e.EndToEnd):
    # The SDK is in the invoking user's cache, which users of components could not read.
    provision_options = ("--user", "root") if os.geteuid() == 0 else ()

    def publish_all(self):
        port = testbed.free_port()
        folder = self.bed.directory / "streams"
        self.fleet.cli("component", "publish",
                       packages.streams(folder, self.bed.bin_dir, STREAM_MANAGER_SERVER_PORT=str(port)))
        self.publish(RECORDER, "1.0.0", f"STREAM_PORT={port} exec {sys.executable} {{artifacts:path}}/recorder.py",
                     {"recorder.py": (HERE / "components/recorder.py").read_bytes()},
                     ComponentDependencies={packages.STREAMS: {"VersionRequirement": "^2.0.0"}})

    def test_components_use_it_strangers_do_not_and_streams_outlive_the_device(self):
        self.publish_all()
        self.start_device()
        self.must_deploy({RECORDER: "1.0.0"})
        self.wait_for_output(RECORDER, "messages from 0 to 9")
        self.wait_for_output(RECORDER, "a wrong token was refused")
        self.device.kill()
        self.device.component_log(RECORDER).unlink()
        self.device.start()
        self.wait_for_output(RECORDER, "the stream was there")
        self.wait_for_output(RECORDER, "messages from 0 to 19")
        self.wait_for_output(RECORDER, "a wrong token was refused")


if __name__ == "__main__":
    e2e.main()
