"""A real skerryd that downloads from an S3 server that is not ours, by links that the fleet signs: the server is killed in the
middle, loses an object, has another content than was published.

    s3_test.py BIN_DIR
"""

import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fleet"))

import boto3
import botocore.config

import e2e
import testbed
from s3_services import NOT_BUILT, Versitygw

CACHE = Path(os.environ["SKERRY_CACHE"])
PROGRAM = CACHE / "s3/versitygw"
BUCKET = "models"


class S3(e2e.EndToEnd):
    def setUp(self):
        self.scratch = testbed.Testbed("s3")
        self.addCleanup(self.scratch.close)
        self.service = Versitygw(self.scratch.directory, PROGRAM)
        self.addCleanup(self.service.stop)
        access = self.service.access_key
        path = self.scratch.directory / "s3.json"
        path.write_text(json.dumps({
            "endpoint": self.service.endpoint, "region": self.service.region,
            "accessKeyId": access["aws_access_key_id"], "secretAccessKey": access["aws_secret_access_key"]}))
        self.fleet_options = ("--s3", path)
        super().setUp()
        self.s3 = boto3.client("s3", endpoint_url=self.service.endpoint, region_name=self.service.region,
                               config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}), **access)
        self.s3.create_bucket(Bucket=BUCKET)
        self.start_device()

    def publish_from_there(self, version, content):
        """A component that prints the digest of its artifact, which lies in the bucket."""
        self.s3.put_object(Bucket=BUCKET, Key=f"{version}/model.bin", Body=content)
        folder = self.bed.directory / "packages" / version
        folder.mkdir(parents=True)
        document = {"RecipeFormatVersion": "2020-01-25", "ComponentName": e2e.NAME, "ComponentVersion": version, "Manifests": [{
            "Platform": {"os": "linux"}, "Lifecycle": {"Run": "sha256sum {artifacts:path}/model.bin; sleep 1000"},
            "Artifacts": [{"URI": f"s3://{BUCKET}/{version}/model.bin"}]}]}
        (folder / "recipe.json").write_text(json.dumps(document))
        self.fleet.cli("component", "publish", folder / "recipe.json")
        return hashlib.sha256(content).hexdigest()

    def test_a_device_downloads_from_there(self):
        digest = self.publish_from_there("1.0.0", os.urandom(5_000_000))
        self.must_deploy({e2e.NAME: "1.0.0"})
        self.wait_for_output(e2e.NAME, digest)

    def test_the_service_is_killed_in_the_middle(self):
        digest = self.publish_from_there("1.0.0", os.urandom(300_000_000))
        deployment = self.begin_deployment({e2e.NAME: "1.0.0"})
        testbed.wait_for("something was downloaded", lambda: any(
            path.is_file() and path.stat().st_size > 1_000_000 for path in self.device.root.rglob("*") if "staging" in str(path)),
            alive=[self.device])
        self.service.kill()
        self.service.start()
        status, reason = self.wait_for_end(deployment, 240)
        self.assertEqual(status, "SUCCEEDED", reason)
        self.wait_for_output(e2e.NAME, digest)

    def test_an_object_is_gone_or_another_when_devices_want_it(self):
        good = self.publish_from_there("1.0.0", b"good" * 1000)
        self.must_deploy({e2e.NAME: "1.0.0"})
        self.publish_from_there("1.1.0", b"better" * 1000)
        self.s3.delete_object(Bucket=BUCKET, Key="1.1.0/model.bin")
        self.publish_from_there("1.2.0", b"best" * 1000)
        self.s3.put_object(Bucket=BUCKET, Key="1.2.0/model.bin", Body=b"evil" * 1000)
        for version in ("1.1.0", "1.2.0"):
            status, reason = self.deploy({e2e.NAME: version})
            self.assertEqual(status, "FAILED", version)
            self.assertIn("model.bin", reason)
            self.assertNotIn("X-Amz-Signature", reason)
        self.wait_for_components({e2e.NAME: ("1.0.0", "RUNNING")})
        self.wait_for_output(e2e.NAME, good)


if __name__ == "__main__":
    if not PROGRAM.exists():
        print(f"skipped: {PROGRAM} is not there; ./dev setup s3 builds it")
        sys.exit(NOT_BUILT)
    e2e.main()
