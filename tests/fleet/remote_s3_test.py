"""Artifacts that lie on an S3 service of the operator's: another skerry-fleet's, which stock S3 clients are tested with.

    remote_s3_test.py SKERRY_FLEET
"""

import base64
import hashlib
import json
import os
import pathlib
import sys
import tempfile
import unittest
import urllib.parse

from botocore.exceptions import ClientError

from fleet import Device, Fleet, fetch, recipe

PROGRAM = sys.argv.pop(1)
BUCKET = "models"


class RemoteS3(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-remote-s3-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.service = Fleet(PROGRAM, self.scratch / "service")
        self.addCleanup(self.service.stop)
        self.s3 = self.service.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.fleet = Fleet(PROGRAM, self.scratch / "fleet", "--s3", self.write_service())
        self.addCleanup(self.fleet.stop)
        self.device = Device(self.fleet, "press-7", self.scratch)

    def write_service(self, **changes):
        path = self.scratch / "s3.json"
        path.write_text(json.dumps({"endpoint": self.service.info["api_url"] + "/artifacts",
                                    "region": self.service.info["region"],
                                    "accessKeyId": self.service.access_key["aws_access_key_id"],
                                    "secretAccessKey": self.service.access_key["aws_secret_access_key"], **changes}))
        return str(path)

    def digest_of(self, created):
        document = self.fleet.client("greengrassv2").get_component(arn=created["arn"])["recipe"]
        [artifact] = json.loads(document)["Manifests"][0]["Artifacts"]
        return base64.b64decode(artifact["Digest"]).hex()

    def refusal(self, *uris):
        with self.assertRaises(ClientError) as refused:
            self.fleet.publish("com.example.Refused", "1.0.0", uris)
        return str(refused.exception)

    def deploy(self, name, version):
        target = f"arn:aws:iot:{self.fleet.info['region']}:{self.fleet.info['account']}:thing/press-7"
        self.fleet.client("greengrassv2").create_deployment(
            targetArn=target, components={name: {"componentVersion": version}})

    def url_of(self, created, digest, file):
        arn = urllib.parse.quote(created["arn"], safe="")
        status, answer = self.device.request(f"/greengrass/v2/components/{arn}/artifacts/{digest}/{file}")
        self.assertEqual(status, 200, answer)
        return answer["preSignedUrl"]

    def test_devices_get_them_from_there(self):
        content = os.urandom(3_000_000)
        self.s3.put_object(Bucket=BUCKET, Key="vad/v 1/model.onnx", Body=content)
        created = self.fleet.publish("com.example.A", "1.0.0", [f"s3://{BUCKET}/vad/v 1/model.onnx"])
        digest = hashlib.sha256(content).hexdigest()
        self.assertEqual(self.digest_of(created), digest)
        self.deploy("com.example.A", "1.0.0")
        url = self.url_of(created, digest, "model.onnx")
        self.assertTrue(url.startswith(self.service.info["api_url"] + f"/artifacts/{BUCKET}/"), url)
        status, _, body = fetch(url)
        self.assertEqual((status, body), (200, content))
        status, _, _ = fetch(url.replace("model.onnx", "other.onnx"))
        self.assertEqual(status, 403)
        # Nothing was copied here.
        self.assertEqual(list((self.scratch / "fleet/artifacts/sha256").iterdir()), [])

    def test_archives_are_the_devices_to_check(self):
        self.s3.put_object(Bucket=BUCKET, Key="app.zip", Body=b"no archive")
        document = json.loads(recipe("com.example.Zip", "1.0.0", [f"s3://{BUCKET}/app.zip"]))
        document["Manifests"][0]["Artifacts"][0]["Unarchive"] = "ZIP"
        self.fleet.client("greengrassv2").create_component_version(inlineRecipe=json.dumps(document).encode())

    def test_what_changed_there_is_another_content(self):
        self.s3.put_object(Bucket=BUCKET, Key="model", Body=b"first")
        first = self.fleet.publish("com.example.B", "1.0.0", [f"s3://{BUCKET}/model"])
        again = self.fleet.publish("com.example.B", "1.0.1", [f"s3://{BUCKET}/model"])
        self.s3.put_object(Bucket=BUCKET, Key="model", Body=b"second")
        second = self.fleet.publish("com.example.B", "1.1.0", [f"s3://{BUCKET}/model"])
        self.assertEqual([self.digest_of(each) for each in (first, again, second)],
                         [hashlib.sha256(body).hexdigest() for body in (b"first", b"first", b"second")])

    def test_what_was_uploaded_here_comes_first(self):
        self.s3.put_object(Bucket=BUCKET, Key="model", Body=b"there")
        here = self.fleet.client("s3")
        here.create_bucket(Bucket=BUCKET)
        here.put_object(Bucket=BUCKET, Key="model", Body=b"here")
        created = self.fleet.publish("com.example.C", "1.0.0", [f"s3://{BUCKET}/model"])
        self.assertEqual(self.digest_of(created), hashlib.sha256(b"here").hexdigest())

    def test_what_cannot_be_had_is_said(self):
        self.assertIn(f"s3://{BUCKET}/none is neither in this artifact store nor on", self.refusal(f"s3://{BUCKET}/none"))
        self.assertIn("must be s3://BUCKET/KEY", self.refusal("s3://only"))
        with self.assertRaises(ClientError):
            self.fleet.client("greengrassv2").get_component(
                arn=f"arn:aws:greengrass:{self.fleet.info['region']}:{self.fleet.info['account']}"
                    ":components:com.example.Refused:versions:1.0.0")
        self.service.stop()
        self.assertIn(self.service.info["api_url"], self.refusal(f"s3://{BUCKET}/none"))

    def test_wrong_credentials_are_said(self):
        self.fleet.stop()
        self.fleet = Fleet(PROGRAM, self.scratch / "fleet", "--s3", self.write_service(secretAccessKey="wrong"))
        self.addCleanup(self.fleet.stop)
        self.assertIn("refuses", self.refusal(f"s3://{BUCKET}/model"))

    def test_a_file_that_names_no_service(self):
        self.fleet.stop()
        with self.assertRaisesRegex(RuntimeError, "endpoint: 'ftp://x' is not"):
            Fleet(PROGRAM, self.scratch / "fleet", "--s3", self.write_service(endpoint="ftp://x"))

    def test_nobody_without_a_key_has_us_ask_there(self):
        with self.assertRaises(ClientError) as refused:
            self.fleet.client("greengrassv2", aws_secret_access_key="wrong").create_component_version(
                inlineRecipe=recipe("com.example.D", "1.0.0", [f"s3://{BUCKET}/none"]))
        self.assertNotIn("neither", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
