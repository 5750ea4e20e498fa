"""The stream manager as a component, and a component that uses it with the stock SDK.

    streams_test.py BIN_DIR
"""

import base64
import json
import os
import sys
from pathlib import Path

import boto3
import botocore.config
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
        testbed.wait_for("the fleet has them", lambda: len(self.at_the_fleet()) >= 10)
        self.wait_for_output(RECORDER, "a wrong token was refused")
        self.device.kill()
        self.device.component_log(RECORDER).unlink()
        self.device.start()
        self.wait_for_output(RECORDER, "the stream was there")
        self.wait_for_output(RECORDER, "messages from 0 to 19")
        self.wait_for_output(RECORDER, "a wrong token was refused")
        testbed.wait_for("the fleet has all", lambda: len(self.at_the_fleet()) >= 20)
        self.assertEqual(self.at_the_fleet(), [(i, f"reading {i % 10}") for i in range(20)])

    def at_the_fleet(self):
        """Numbers and payloads of the stream's messages in the fleet's S3, in the order of their names."""
        key = json.loads((self.fleet.directory / "access-key.json").read_text())
        s3 = boto3.client("s3", endpoint_url=self.fleet.info["api_url"] + "/artifacts",
                          region_name=self.fleet.info["region"], aws_access_key_id=key["accessKeyId"],
                          aws_secret_access_key=key["secretAccessKey"],
                          config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}))
        if "skerry-streams" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            return []
        found = []
        for each in s3.list_objects_v2(Bucket="skerry-streams", Prefix=f"{self.thing}/readings/").get("Contents", []):
            body = s3.get_object(Bucket="skerry-streams", Key=each["Key"])["Body"].read()
            for line in body.decode().splitlines():
                message = json.loads(line)
                found.append((message["sequence"], base64.b64decode(message["payload"]).decode()))
        return found


if __name__ == "__main__":
    e2e.main()
