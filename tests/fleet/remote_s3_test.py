"""Artifacts that lie on an S3 service of the operator's: another skerry-fleet's, which stock S3 clients are tested with, or
versitygw's, which is not ours (`./dev setup s3` builds it); and on servers that are slow, cut off or lie.

    remote_s3_test.py SKERRY_FLEET [VERSITYGW]
"""

import base64
import hashlib
import http.server
import json
import os
import pathlib
import sys
import tempfile
import threading
import unittest
import urllib.parse

import boto3
import botocore.config
from botocore.exceptions import ClientError

from fleet import DEADLINE_S, Device, Fleet, fetch, recipe
from s3_services import NOT_BUILT, OurService, Versitygw

PROGRAM = sys.argv.pop(1)
VERSITYGW = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") and os.sep in sys.argv[1] else None
BUCKET = "models"


class WithFleet(unittest.TestCase):
    """A fleet that knows an S3 service."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-remote-s3-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def start_fleet(self, **service):
        path = self.scratch / "s3.json"
        path.write_text(json.dumps(service))
        self.fleet = Fleet(PROGRAM, self.scratch / "fleet", "--s3", str(path))
        self.addCleanup(self.fleet.stop)

    def refusal(self, *uris):
        """What is said where a component with these artifacts cannot be made; nothing is half made."""
        with self.assertRaises(ClientError) as refused:
            self.fleet.publish("com.example.Refused", "1.0.0", uris)
        with self.assertRaises(ClientError):
            self.fleet.client("greengrassv2").get_component(
                arn=f"arn:aws:greengrass:{self.fleet.info['region']}:{self.fleet.info['account']}"
                    ":components:com.example.Refused:versions:1.0.0")
        return str(refused.exception)


class RemoteS3(WithFleet):
    def setUp(self):
        super().setUp()
        self.service = Versitygw(self.scratch, VERSITYGW) if VERSITYGW else OurService(self.scratch, PROGRAM)
        self.addCleanup(self.service.stop)
        self.s3 = boto3.client("s3", endpoint_url=self.service.endpoint, region_name=self.service.region,
                               config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}),
                               **self.service.access_key)
        self.s3.create_bucket(Bucket=BUCKET)
        self.start()
        self.device = Device(self.fleet, "press-7", self.scratch)

    def start(self, **changes):
        self.start_fleet(**{"endpoint": self.service.endpoint, "region": self.service.region,
                            "accessKeyId": self.service.access_key["aws_access_key_id"],
                            "secretAccessKey": self.service.access_key["aws_secret_access_key"], **changes})

    def restart(self, **changes):
        self.fleet.stop()
        self.start(**changes)

    def digest_of(self, created):
        document = self.fleet.client("greengrassv2").get_component(arn=created["arn"])["recipe"]
        [artifact] = json.loads(document)["Manifests"][0]["Artifacts"]
        return base64.b64decode(artifact["Digest"]).hex()

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
        self.assertTrue(url.startswith(f"{self.service.endpoint}/{BUCKET}/"), url)
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
        # Our own store says of a bucket that it does not have that the key is missing.
        self.assertIn("has no bucket for s3://nowhere/model" if VERSITYGW else "s3://nowhere/model is neither",
                      self.refusal("s3://nowhere/model"))
        self.assertIn("must be s3://BUCKET/KEY", self.refusal("s3://only"))
        self.service.stop()
        self.assertIn(self.service.endpoint, self.refusal(f"s3://{BUCKET}/none"))

    def test_wrong_credentials_are_said(self):
        self.s3.put_object(Bucket=BUCKET, Key="model", Body=b"x")
        for wrong, code in (({"secretAccessKey": "wrong"}, "SignatureDoesNotMatch"), ({"accessKeyId": "AKIANOBODY"}, "InvalidAccessKeyId|UserNotFound")):
            self.restart(**wrong)
            said = self.refusal(f"s3://{BUCKET}/model")
            self.assertIn("refuses", said)
            self.assertRegex(said, code)
            self.assertIn("--s3", said)
            self.assertNotIn("wrong", said)
            self.assertNotIn("X-Amz-Signature", said)

    def test_a_region_that_is_not_the_buckets_is_said(self):
        self.s3.put_object(Bucket=BUCKET, Key="model", Body=b"x")
        self.restart(region="ap-south-1")
        said = self.refusal(f"s3://{BUCKET}/model")
        self.assertIn("region", said)
        self.assertIn("--s3", said)

    def test_names_that_need_encoding(self):
        for key in ("a b/ü+&=?#%2F'()*!~.onnx", "deep/" * 20 + "model", "-", "a//b", "sp ace"):
            content = os.urandom(100)
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
            digest = hashlib.sha256(content).hexdigest()
            version = f"1.0.{len(key)}"
            created = self.fleet.publish("com.example.Names", version, [f"s3://{BUCKET}/{key}"])
            self.assertEqual(self.digest_of(created), digest)
            self.deploy("com.example.Names", version)
            url = self.url_of(created, digest, urllib.parse.quote(key.rsplit("/", 1)[-1], safe=""))
            self.assertEqual(fetch(url)[2], content, key)

    def test_a_file_that_names_no_service(self):
        self.fleet.stop()
        with self.assertRaisesRegex(RuntimeError, "endpoint: 'ftp://x' is not"):
            self.start(endpoint="ftp://x")

    def test_nobody_without_a_key_has_us_ask_there(self):
        with self.assertRaises(ClientError) as refused:
            self.fleet.client("greengrassv2", aws_secret_access_key="wrong").create_component_version(
                inlineRecipe=recipe("com.example.D", "1.0.0", [f"s3://{BUCKET}/none"]))
        self.assertNotIn("neither", str(refused.exception))


class StrangeServer(http.server.BaseHTTPRequestHandler):
    """Answers as its path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        getattr(self, urllib.parse.urlsplit(self.path).path.rsplit("/", 1)[-1])()

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **{key.replace("_", "-"): value for key, value in headers.items()}}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def aborted(self):
        self.answer(200, b"only this", Content_Length=1_000_000)
        self.close_connection = True

    def silent(self):
        self.server.over.wait(DEADLINE_S * 2)
        self.close_connection = True

    def stalled(self):
        self.answer(200, b"a while", Content_Length=1_000_000)
        self.silent()

    def moved(self):
        self.answer(301, b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>", x_amz_bucket_region="eu-west-1")

    def other_region(self):
        self.answer(400, b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message><Region>us-west-2</Region></Error>")

    def busy(self):
        self.answer(503, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>")

    def hostile(self):
        self.answer(403, b"<Error><Code>" + b"<b>\x1b[31m\xff" * 1000 + b"</Code><Message>" + b"x" * 100_000)

    def huge(self):
        self.answer(200, b"x", Content_Length=1 << 50)
        self.close_connection = True


class StrangeServers(WithFleet):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StrangeServer)
        self.server.over = threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.server.over.set)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.start_fleet(endpoint=self.endpoint, region="here", accessKeyId="AKIA", secretAccessKey="secret")

    def test_each_is_said_and_nothing_is_kept(self):
        for kind, part in (("aborted", self.endpoint), ("moved", "is in the region eu-west-1"),
                           ("other_region", "is in the region us-west-2"), ("busy", "SlowDown: Reduce your request rate.): try again"),
                           ("hostile", "HTTP status 403"), ("huge", self.endpoint)):
            said = self.refusal(f"s3://{BUCKET}/{kind}")
            self.assertIn(part, said)
            self.assertLess(len(said), 1000, kind)
            self.assertTrue(said.isprintable(), kind)

    def test_one_that_does_not_go_on_is_given_up_and_holds_up_nobody(self):
        said = {}

        def ask(kind):
            said[kind] = self.refusal(f"s3://{BUCKET}/{kind}")
        threads = [threading.Thread(target=ask, args=(kind,)) for kind in ("silent", "stalled")]
        for thread in threads:
            thread.start()
        self.fleet.publish("com.example.Beside", "1.0.0")
        for thread in threads:
            thread.join(DEADLINE_S * 2)
        self.assertEqual(sorted(said), ["silent", "stalled"])
        for text in said.values():
            self.assertIn(self.endpoint, text)


if __name__ == "__main__":
    if VERSITYGW and not pathlib.Path(VERSITYGW).exists():
        print(f"skipped: {VERSITYGW} is not there; ./dev setup s3 builds it")
        sys.exit(NOT_BUILT)
    unittest.main()
