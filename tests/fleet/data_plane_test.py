"""Artifacts over S3's shapes, and the data plane with nothing but a device certificate.

    data_plane_test.py SKERRY_FLEET
"""

import datetime
import hashlib
import json
import os
import pathlib
import ssl
import sys
import unittest
import urllib.parse
import urllib.request
from unittest import mock

import botocore.auth
import botocore.awsrequest
import botocore.credentials
from botocore.exceptions import ClientError

from fleet import ClientTest, Device, DeviceMqtt, decode_recipe, fetch, fetch_json, fleet_of_module

PROGRAM = sys.argv.pop(1)
BUCKET = "skerry-artifacts"


def setUpModule():
    global fleet, scratch
    fleet, scratch = fleet_of_module(PROGRAM)


class Artifacts(ClientTest):
    def setUp(self):
        self.s3 = fleet.client("s3")

    def test_upload_download_and_ranges(self):
        content = os.urandom(100_000)
        self.s3.put_object(Bucket=BUCKET, Key="a/b c+d.bin", Body=content)
        got = self.s3.get_object(Bucket=BUCKET, Key="a/b c+d.bin")
        self.assertEqual(got["ContentLength"], len(content))
        self.assertEqual(got["Body"].read(), content)
        for header, first, last in (("bytes=10-19", 10, 20), ("bytes=99990-", 99_990, 100_000),
                                    ("bytes=-5", 99_995, 100_000), ("bytes=5-999999", 5, 100_000)):
            part = self.s3.get_object(Bucket=BUCKET, Key="a/b c+d.bin", Range=header)
            self.assertEqual(part["ResponseMetadata"]["HTTPStatusCode"], 206)
            self.assertEqual(part["ContentRange"], f"bytes {first}-{last - 1}/100000")
            self.assertEqual(part["Body"].read(), content[first:last])
        self.assert_refused("InvalidRange", self.s3.get_object, Bucket=BUCKET, Key="a/b c+d.bin",
                            Range="bytes=100000-")
        self.assertEqual(self.s3.head_object(Bucket=BUCKET, Key="a/b c+d.bin")["ContentLength"],
                         len(content))

    def test_large_uploads_stream_to_the_disk(self):
        content = os.urandom(1 << 20) * 24  # more than the API takes into memory
        self.s3.put_object(Bucket=BUCKET, Key="large", Body=content)
        digest = hashlib.sha256(content).hexdigest()
        stored = pathlib.Path(fleet.info["directory"]) / "artifacts/sha256" / digest
        self.assertEqual(stored.stat().st_size, len(content))
        self.assertEqual(list(stored.parent.parent.joinpath("tmp").iterdir()), [])

    def test_the_same_content_is_stored_once(self):
        folder = pathlib.Path(fleet.info["directory"]) / "artifacts/sha256"
        self.s3.put_object(Bucket=BUCKET, Key="one", Body=b"the same")
        before = len(list(folder.iterdir()))
        self.s3.put_object(Bucket=BUCKET, Key="two", Body=b"the same")
        self.assertEqual(len(list(folder.iterdir())), before)
        self.s3.put_object(Bucket=BUCKET, Key="one", Body=b"another")
        self.assertEqual(self.s3.get_object(Bucket=BUCKET, Key="two")["Body"].read(), b"the same")
        self.assertEqual(self.s3.get_object(Bucket=BUCKET, Key="one")["Body"].read(), b"another")

    def test_what_is_refused(self):
        self.assert_refused("NoSuchKey", self.s3.get_object, Bucket=BUCKET, Key="nothing")
        wrong = fleet.client("s3", aws_secret_access_key="wrong")
        self.assert_refused("SignatureDoesNotMatch", wrong.put_object, Bucket=BUCKET, Key="k",
                            Body=b"x")
        self.assert_refused("SignatureDoesNotMatch", wrong.put_object, Bucket=BUCKET, Key="k",
                            Body=b"x" * (20 << 20))
        self.assert_refused("InvalidAccessKeyId", fleet.client(
            "s3", aws_access_key_id="AKIANOBODY").get_object, Bucket=BUCKET, Key="k")
        self.assert_refused("AccessDenied", self.s3.put_object, Bucket="sha256", Key="k", Body=b"x")
        for key in ("../../fleet.db", "..", "a/../../../access-key.json"):
            path = urllib.parse.quote(key, safe="")
            url = self.s3.generate_presigned_url("get_object", {"Bucket": "sha256", "Key": "KEY"})
            status, _, _ = fetch(url.replace("KEY", path))
            self.assertIn(status, (400, 403, 404))

    def test_a_body_that_is_not_what_was_signed_is_refused(self):
        url = f"{fleet.info['api_url']}/artifacts/{BUCKET}/changed"
        request = botocore.awsrequest.AWSRequest("PUT", url, data=b"what was signed")
        credentials = botocore.credentials.Credentials(*fleet.access_key.values())
        botocore.auth.S3SigV4Auth(credentials, "s3", fleet.info["region"]).add_auth(request)
        status, _, body = fetch(urllib.request.Request(url, data=b"what was sent!!", method="PUT",
                                                       headers=dict(request.headers.items())))
        self.assertEqual(status, 400, body)
        self.assert_refused("NoSuchKey", self.s3.get_object, Bucket=BUCKET, Key="changed")

    def test_presigned_urls_end(self):
        self.s3.put_object(Bucket=BUCKET, Key="p", Body=b"presigned")

        def presign(seconds):
            return self.s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "p"},
                                                  ExpiresIn=seconds)
        self.assertEqual(fetch(presign(60))[2], b"presigned")
        self.assertEqual(fetch(presign(60).replace("/p?", "/q?"))[0], 403)
        request = botocore.awsrequest.AWSRequest(
            "GET", f"{fleet.info['api_url']}/artifacts/{BUCKET}/p")
        credentials = botocore.credentials.Credentials(*fleet.access_key.values())
        two_minutes_ago = (datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
                           - datetime.timedelta(minutes=2))
        with mock.patch("botocore.auth.get_current_datetime", return_value=two_minutes_ago):
            botocore.auth.S3SigV4QueryAuth(credentials, "s3", fleet.info["region"],
                                           expires=60).add_auth(request)
        expired = request.prepare().url
        status, _, body = fetch(expired)
        self.assertEqual(status, 403)
        self.assertIn(b"expired", body)


class DataPlane(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.device = Device(fleet, "press-7", scratch.name)
        cls.other = Device(fleet, "press-8", scratch.name)

    def deploy(self, thing, components):
        return fleet.client("greengrassv2").create_deployment(
            targetArn=fleet.arn("iot", f"thing/{thing}"),
            components={name: {"componentVersion": version}
                        for name, version in components.items()})

    def needs(self, name, requirements):
        """A root for press-7 that depends on these."""
        fleet.publish(name, "1.0.0", dependencies={
            dependency: {"VersionRequirement": requirement}
            for dependency, requirement in requirements.items()})
        self.deploy("press-7", {name: "1.0.0"})

    def test_thing_groups(self):
        iot = fleet.client("iot")
        names = [f"g{i:03}" for i in range(103)]
        for name in names:
            iot.create_thing_group(thingGroupName=name)
            iot.add_thing_to_thing_group(thingName="press-7", thingGroupName=name)
        path = "/greengrass/v2/coreDevices/press-7/thingGroups"
        status, page = self.device.request(path)
        self.assertEqual(status, 200)
        self.assertEqual(page["thingGroups"][0],
                         {"thingGroupName": "g000", "rootToParentThingGroups": [],
                          "thingGroupArn": fleet.arn("iot", "thinggroup/g000")})
        seen = page["thingGroups"]
        while "nextToken" in page:
            status, page = self.device.request(
                path + "?nextToken=" + urllib.parse.quote(page["nextToken"], safe=""))
            seen += page["thingGroups"]
        self.assertEqual([g["thingGroupName"] for g in seen], names)
        status, refusal = self.other.request(path)
        self.assertEqual(status, 403)
        self.assertIn("its own", refusal["message"])

    def test_the_longest_name_and_all_its_characters_work_everywhere(self):
        thing = "plant:7_a-Z:" + "x" * 116
        device = Device(fleet, thing, scratch.name)
        status, page = device.request(f"/greengrass/v2/coreDevices/{thing}/thingGroups")
        self.assertEqual((status, page["thingGroups"]), (200, []))
        self.assertEqual(self.credentials(device, **{"x-amzn-iot-thingname": thing})[0], 200)
        mqtt = DeviceMqtt(device)
        self.addCleanup(mqtt.stop)
        jobs = f"$aws/things/{thing}/jobs"
        mqtt.subscribe(f"{jobs}/notify-next-namespace-aws-gg-deployment", f"{jobs}/+/namespace-aws-gg-deployment/#")
        greengrass = fleet.client("greengrassv2")
        made = greengrass.create_deployment(targetArn=fleet.arn("iot", f"thing/{thing}"))
        job = mqtt.wait_for("/notify-next-namespace-aws-gg-deployment")["execution"]
        self.assertEqual(job["jobId"], made["iotJobId"])
        mqtt.publish(f"{jobs}/{job['jobId']}/namespace-aws-gg-deployment/update", {"status": "SUCCEEDED"})
        mqtt.wait_for("/update/accepted")
        [effective] = greengrass.list_effective_deployments(coreDeviceThingName=thing)["effectiveDeployments"]
        self.assertEqual(effective["coreDeviceExecutionStatus"], "SUCCEEDED")

    def test_resolve_takes_the_highest_that_fits(self):
        for version, os_label in (("1.0.0", "linux"), ("1.2.0", "linux"), ("1.10.0", "linux"),
                                  ("1.11.0", "darwin"), ("2.0.0", "linux")):
            fleet.publish("com.example.R", version, os_label=os_label)
        self.needs("com.example.NeedsR", {"com.example.R": ">=1.0.0"})

        def resolved(*arguments, **options):
            status, answer = self.device.resolve("com.example.R", *arguments, **options)
            self.assertEqual(status, 200, answer)
            self.assertEqual(len(answer["resolvedComponentVersions"]), 1)
            return answer["resolvedComponentVersions"][0]
        one = resolved("^1.0.0")
        self.assertEqual(one["componentVersion"], "1.10.0")
        self.assertEqual(one["arn"],
                         fleet.arn("greengrass", "components:com.example.R:versions:1.10.0"))
        self.assertEqual(decode_recipe(one["recipe"])["ComponentVersion"], "1.10.0")
        self.assertEqual(resolved("=1.2.0")["componentVersion"], "1.2.0")
        self.assertEqual(resolved()["componentVersion"], "2.0.0")
        self.assertEqual(resolved("1.0.0 - 1.5.0", trailer=b"\0")["componentVersion"], "1.2.0")
        self.assertEqual(resolved("^1.0.0", "darwin")["componentVersion"], "1.11.0")

        for arguments, reason in ((("com.example.None",), "does not exist"),
                                  (("com.example.R", ">=3.0.0"), ">=3.0.0 by requirements"),
                                  (("com.example.R", "^1.0.0", "windows"),
                                   "1.11.0 has no manifest for architecture=amd64 os=windows: it has manifests for os=")):
            status, refusal = self.device.resolve(*arguments)
            self.assertEqual(status, 404)
            self.assertIn(reason, refusal["message"])
        status, refusal = self.device.resolve("com.example.R", "not a range ~~")
        self.assertEqual(status, 400)
        for body in (b"", b"{", b"[]", b"{}", b'{"componentCandidates": [1]}'):
            status, _ = self.device.request("/greengrass/v2/resolveComponentCandidates", body)
            self.assertEqual(status, 400)

    def test_artifacts_come_by_presigned_url(self):
        content = os.urandom(5000)
        fleet.upload("com.example.A/1.0.0/model v1.onnx", content)
        arn = fleet.publish("com.example.A", "1.0.0",
                            [f"s3://{BUCKET}/com.example.A/1.0.0/model v1.onnx"])["arn"]
        self.deploy("press-7", {"com.example.A": "1.0.0"})
        name = hashlib.sha256(content).hexdigest() + "/model%20v1.onnx"
        for arn_in_path in (arn, urllib.parse.quote(arn, safe="")):  # lite's way, and Java's
            status, answer = self.device.request(
                f"/greengrass/v2/components/{arn_in_path}/artifacts/{name}?s3EndpointType=GLOBAL")
            self.assertEqual(status, 200, answer)
        status, headers, body = fetch(answer["preSignedUrl"])
        self.assertEqual((status, body), (200, content))
        self.assertEqual(headers["Content-Length"], "5000")
        status, _, body = fetch(urllib.request.Request(answer["preSignedUrl"],
                                                       headers={"Range": "bytes=100-199"}))
        self.assertEqual((status, body), (206, content[100:200]))
        for wrong in (f"{arn}/artifacts/{'0' * 64}/model", f"{arn}/artifacts/nothing",
                      f"{arn.replace('1.0.0', '2.0.0')}/artifacts/{name}"):
            status, _ = self.device.request(f"/greengrass/v2/components/{wrong}")
            self.assertIn(status, (400, 404))

    def test_recipes_come_in_the_spelling_of_awss_serialiser(self):
        fleet.client("greengrassv2").create_component_version(inlineRecipe=json.dumps({
            "recipeFormatVersion": "2020-01-25", "COMPONENTNAME": "com.example.Spelled",
            "ComponentVersion": "1.0.0",
            "Manifests": [{"platform": {"OS": "linux", "runtime": "*"},
                           "lifecycle": {"Install": {"script": "true", "requiresprivilege": "true"},
                                         "RUN": "sleep 1000"}}]}).encode())
        self.deploy("press-7", {"com.example.Spelled": "1.0.0"})
        status, answer = self.device.resolve("com.example.Spelled")
        self.assertEqual(status, 200, answer)
        self.assertEqual(decode_recipe(answer["resolvedComponentVersions"][0]["recipe"]), {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.Spelled",
            "ComponentVersion": "1.0.0", "ComponentType": "aws.greengrass.generic",
            "ComponentDependencies": {}, "Lifecycle": {},
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, "Artifacts": [],
                           "Selections": [],
                           "Lifecycle": {"install": {"Script": "true", "RequiresPrivilege": True},
                                         "run": "sleep 1000"}}]})
        published = fleet.client("greengrassv2").get_component(
            arn=fleet.arn("greengrass", "components:com.example.Spelled:versions:1.0.0"))["recipe"]
        self.assertIn(b'"requiresprivilege"', published)

    def test_a_device_reads_only_what_its_deployments_lead_to(self):
        content = os.urandom(100)
        fleet.upload("secret/weights", content)
        name = hashlib.sha256(content).hexdigest() + "/weights"
        arns = {version: fleet.publish("com.example.Secret", version,
                                       [f"s3://{BUCKET}/secret/weights"])["arn"]
                for version in ("1.0.0", "1.1.0")}
        fleet.publish("com.example.User", "1.0.0",
                      dependencies={"com.example.Secret": {"VersionRequirement": "<1.1.0"}})

        def artifact(device, version):
            return device.request(
                f"/greengrass/v2/components/{arns[version]}/artifacts/{name}")[0]
        for component in ("com.example.Secret", "com.example.User"):
            self.assertEqual(self.other.resolve(component)[0], 404)
        self.assertEqual(artifact(self.other, "1.0.0"), 404)
        iot = fleet.client("iot")
        iot.create_thing_group(thingGroupName="users")
        iot.add_thing_to_thing_group(thingName="press-8", thingGroupName="users")
        fleet.client("greengrassv2").create_deployment(
            targetArn=fleet.arn("iot", "thinggroup/users"),
            components={"com.example.User": {"componentVersion": "1.0.0"}})
        self.assertEqual(self.other.resolve("com.example.User")[0], 200)
        status, answer = self.other.resolve("com.example.Secret")
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["resolvedComponentVersions"][0]["componentVersion"], "1.0.0")
        self.assertEqual(artifact(self.other, "1.0.0"), 200)
        self.assertEqual(artifact(self.other, "1.1.0"), 404)
        self.assertEqual(self.device.resolve("com.example.Secret")[0], 404)
        # A version that is published later and fits is in reach at once.
        fleet.publish("com.example.Secret", "1.0.1")
        self.assertEqual(self.other.resolve("com.example.Secret")[1]["resolvedComponentVersions"][
            0]["componentVersion"], "1.0.1")
        iot.remove_thing_from_thing_group(thingName="press-8", thingGroupName="users")
        fleet.client("greengrassv2").cancel_deployment(deploymentId=fleet.client(
            "greengrassv2").list_deployments(targetArn=fleet.arn("iot", "thinggroup/users"))[
                "deployments"][0]["deploymentId"])
        self.assertEqual(self.other.resolve("com.example.Secret")[0], 404)

    def test_what_nuclei_provide_is_resolved_without_steps(self):
        status, answer = self.device.resolve("aws.greengrass.TokenExchangeService", "~2.0.0")
        self.assertEqual(status, 200, answer)
        one = answer["resolvedComponentVersions"][0]
        self.assertEqual(one["componentVersion"], "2.0.3")
        recipe = decode_recipe(one["recipe"])
        self.assertEqual(recipe["Manifests"][0]["Lifecycle"], {})
        self.assertEqual(recipe["Manifests"][0]["Artifacts"], [])
        self.assertEqual(self.device.resolve("aws.greengrass.TokenExchangeService", ">=3")[0], 404)
        self.needs("com.example.NeedsTes", {"aws.greengrass.TokenExchangeService": "^2.0.0",
                                            "aws.greengrass.Nucleus": ">=2.0.0"})
        self.deploy("press-7", {"aws.greengrass.TokenExchangeService": "2.0.3",
                                "aws.greengrass.Nucleus": "2.16.0"})

    def test_what_is_a_plugin_of_aws_is_resolved_for_skerryd_alone(self):
        status, answer = self.device.resolve("aws.greengrass.ShadowManager", runtime="skerry")
        self.assertEqual(status, 200, answer)
        for runtime in (None, "aws_nucleus_classic", "aws_nucleus_lite"):
            status, answer = self.device.resolve("aws.greengrass.ShadowManager", runtime=runtime)
            self.assertEqual(status, 404)
            self.assertIn("plugin", answer["message"])

    def test_what_nobody_has_is_refused_when_the_deployment_is_made(self):
        fleet.publish("com.example.NeedsStreams", "1.0.0", dependencies={
            "aws.greengrass.StreamManager": {"VersionRequirement": "^2.0.0"}})
        fleet.publish("com.example.NeedsNothingThere", "1.0.0", dependencies={
            "com.example.NeedsStreams": {"VersionRequirement": "^2.0.0"}})
        for components, reasons in (
                ({"aws.greengrass.Cli": "2.13.0"}, ("aws.greengrass.Cli", "publish")),
                ({"aws.greengrass.Nonsense": "1.0.0"}, ("aws.greengrass.Nonsense", "publish")),
                ({"aws.greengrass.TokenExchangeService": "9.0.0"}, ("2.0.3",)),
                ({"com.example.NeedsStreams": "1.0.0"},
                 ("aws.greengrass.StreamManager", "com.example.NeedsStreams 1.0.0")),
                ({"com.example.NeedsNothingThere": "1.0.0"}, ("^2.0.0",))):
            with self.subTest(components), self.assertRaises(ClientError) as raised:
                self.deploy("press-7", components)
            self.assertEqual(raised.exception.response["ResponseMetadata"]["HTTPStatusCode"], 404)
            for reason in reasons:
                self.assertIn(reason, raised.exception.response["Error"]["Message"])

    def test_requests_are_bounded(self):
        def resolve(candidates):
            return self.device.request(
                "/greengrass/v2/resolveComponentCandidates",
                json.dumps({"componentCandidates": candidates, "platform": {}}).encode())
        status, refusal = resolve([{"componentName": f"c{i}"} for i in range(101)])
        self.assertEqual(status, 400, refusal)
        status, refusal = resolve([{"componentName": "same"}] * 2)
        self.assertEqual(status, 400)
        self.assertIn("twice", refusal["message"])
        status, _ = resolve([{"componentName": "c", "versionRequirements": {
            f"d{i}": "*" for i in range(201)}}])
        self.assertEqual(status, 400)

    def test_a_device_that_asks_without_end_is_told_to_wait_and_others_are_served(self):
        flooder = Device(fleet, "flooder", scratch.name)
        body = json.dumps({"componentCandidates": [{"componentName": f"c{i}"} for i in range(100)],
                           "platform": {}}).encode()
        seen = set()
        for _ in range(500):
            seen.add(flooder.request("/greengrass/v2/resolveComponentCandidates", body)[0])
            if 429 in seen:
                break
        self.assertIn(429, seen)
        self.assertEqual(self.other.request("/greengrass/v2/coreDevices/press-8/thingGroups")[0],
                         200)

    def credentials(self, device, **headers):
        return device.request(f"/role-aliases/{fleet.info['role_alias']}/credentials",
                              headers=headers)

    def test_temporary_credentials_read_artifacts_only(self):
        fleet.upload("for/devices", b"content")
        status, answer = self.credentials(self.device, **{"x-amzn-iot-thingname": "press-7"})
        self.assertEqual(status, 200, answer)
        given = answer["credentials"]
        self.assertRegex(given["expiration"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        keys = {"aws_access_key_id": given["accessKeyId"],
                "aws_secret_access_key": given["secretAccessKey"],
                "aws_session_token": given["sessionToken"]}
        s3 = fleet.client("s3", **keys)
        self.assertEqual(s3.get_object(Bucket=BUCKET, Key="for/devices")["Body"].read(),
                         b"content")
        with self.assertRaises(ClientError) as raised:
            s3.put_object(Bucket=BUCKET, Key="for/devices", Body=b"changed")
        self.assertEqual(raised.exception.response["Error"]["Code"], "AccessDenied")
        with self.assertRaises(ClientError) as raised:
            fleet.client("greengrassv2", **keys).list_components()
        self.assertEqual(raised.exception.response["ResponseMetadata"]["HTTPStatusCode"], 403)
        token = given["sessionToken"]
        for changed in ({"aws_session_token": token[:-6] + "AAAA" + token[-2:]},
                        {"aws_session_token": None},
                        {"aws_access_key_id": "ASIA0000000000000000"}):
            with self.assertRaises(ClientError) as raised:
                fleet.client("s3", **{**keys, **changed}).get_object(Bucket=BUCKET,
                                                                     Key="for/devices")
            self.assertEqual(raised.exception.response["Error"]["Code"], "InvalidAccessKeyId")
        status, _ = self.credentials(self.device, **{"x-amzn-iot-thingname": "press-8"})
        self.assertEqual(status, 403)
        status, _ = self.device.request("/role-aliases/Another/credentials")
        self.assertEqual(status, 404)

    def test_a_revoked_certificate_is_refused_and_its_credentials_end(self):
        device = Device(fleet, "press-9", scratch.name)
        fleet.upload("for/press-9", b"content")
        path = "/greengrass/v2/coreDevices/press-9/thingGroups"
        self.assertEqual(device.request(path)[0], 200)
        given = self.credentials(device)[1]["credentials"]
        s3 = fleet.client("s3", aws_access_key_id=given["accessKeyId"],
                          aws_secret_access_key=given["secretAccessKey"],
                          aws_session_token=given["sessionToken"])
        s3.get_object(Bucket=BUCKET, Key="for/press-9")
        iot = fleet.client("iot")
        iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
        self.assertEqual(device.request(path)[0], 403)
        iot.update_certificate(certificateId=device.certificate_id, newStatus="ACTIVE")
        self.assertEqual(device.request(path)[0], 200)
        iot.update_certificate(certificateId=device.certificate_id, newStatus="REVOKED")
        status, refusal = device.request(path)
        self.assertEqual(status, 403)
        self.assertIn("REVOKED", refusal["message"])
        with self.assertRaises(ClientError):
            s3.get_object(Bucket=BUCKET, Key="for/press-9")

    def test_credentials_end_when_their_certificate_is_detached(self):
        device = Device(fleet, "press-10", scratch.name)
        fleet.upload("for/press-10", b"content")
        given = self.credentials(device)[1]["credentials"]
        s3 = fleet.client("s3", aws_access_key_id=given["accessKeyId"],
                          aws_secret_access_key=given["secretAccessKey"],
                          aws_session_token=given["sessionToken"])
        s3.get_object(Bucket=BUCKET, Key="for/press-10")
        arn = fleet.arn("iot", f"cert/{device.certificate_id}")
        fleet.client("iot").detach_thing_principal(thingName="press-10", principal=arn)
        with self.assertRaises(ClientError):
            s3.get_object(Bucket=BUCKET, Key="for/press-10")

    def test_without_a_certificate_of_the_fleet_nobody_gets_in(self):
        context = ssl.create_default_context(cafile=fleet.info["ca_file"])
        with self.assertRaises((ssl.SSLError, OSError)):
            fetch(fleet.info["data_plane_url"] + "/", context)
        # The control plane's own certificate is no device's.
        ca = pathlib.Path(fleet.info["ca_file"]).parent
        context.load_cert_chain(ca / "client.pem", ca / "client.key")
        status, refusal = fetch_json(fleet.info["data_plane_url"] + "/", context)
        self.assertEqual(status, 403)
        self.assertIn("not registered", refusal["message"])

    def test_unknown_paths(self):
        status, refusal = self.device.request("/greengrass/v2/nothing")
        self.assertEqual(status, 404)
        self.assertTrue(refusal["message"])

    def test_the_info_page_needs_no_key(self):
        status, info = fetch_json(fleet.info["api_url"] + "/skerry/v1/info")
        self.assertEqual(status, 200)
        self.assertEqual(info["name"], "skerry-fleet")
        self.assertTrue(info["broker_connected"])
        self.assertNotIn("secret", json.dumps(info).lower())


if __name__ == "__main__":
    unittest.main()
