"""Roles and the audit log: stock boto3 with keys of each role, and our own calls beside it.

    access_test.py SKERRY_FLEET
"""

import http.client
import json
import subprocess
import sys
import time
import threading
import unittest
import urllib.parse
import pathlib

from botocore.exceptions import ClientError

from fleet import Fleet, fleet_of_module, key_and_csr, recipe

PROGRAM = sys.argv.pop(1)
CLI = pathlib.Path(PROGRAM).parent / "skerry"


def setUpModule():
    global fleet, scratch
    fleet, scratch = fleet_of_module(PROGRAM)


def call(method, path, body=None, key=None):
    """Status, JSON and request id of a call of our own service."""
    status, headers, answer = fleet.send("skerry", method, path, body, key)
    return status, answer, headers["x-amzn-RequestId"]


def new_key(name, role):
    status, key, _ = call("POST", "/skerry/v1/accessKeys", {"name": name, "role": role})
    assert status == 200, key
    return {"aws_access_key_id": key["accessKeyId"], "aws_secret_access_key": key["secretAccessKey"]}


class RolesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keys = {role: new_key(f"a-{role}", role) for role in ("viewer", "deployer", "admin")}

    def refused(self, code, operation, **arguments):
        with self.assertRaises(ClientError) as raised:
            operation(**arguments)
        self.assertEqual(raised.exception.response["Error"]["Code"], code)
        self.assertEqual(raised.exception.response["ResponseMetadata"]["HTTPStatusCode"], 403)

    def test_a_viewer_reads_and_changes_nothing(self):
        greengrass = fleet.client("greengrassv2", **self.keys["viewer"])
        self.assertIn("components", greengrass.list_components(scope="PRIVATE"))
        self.refused("AccessDeniedException", greengrass.create_component_version,
                     inlineRecipe=recipe("com.example.Viewed", "1.0.0"))
        self.refused("AccessDeniedException", fleet.client("iot", **self.keys["viewer"]).create_thing,
                     thingName="by-a-viewer")
        s3 = fleet.client("s3", **self.keys["viewer"])
        self.refused("AccessDenied", s3.put_object, Bucket="skerry-artifacts", Key="k", Body=b"x")
        self.refused("AccessDenied", s3.put_object, Bucket="skerry-artifacts", Key="k",
                     Body=b"x" * 100_000)

    def test_a_deployer_changes_what_runs_and_not_who_takes_part(self):
        greengrass = fleet.client("greengrassv2", **self.keys["deployer"])
        iot = fleet.client("iot", **self.keys["deployer"])
        fleet.client("s3", **self.keys["deployer"]).put_object(
            Bucket="skerry-artifacts", Key="deployed", Body=b"x")
        greengrass.create_component_version(inlineRecipe=recipe("com.example.Deployed", "1.0.0"))
        iot.create_thing_group(thingGroupName="by-a-deployer")
        greengrass.create_deployment(targetArn=fleet.arn("iot", "thinggroup/by-a-deployer"),
                                     components={})
        self.refused("AccessDeniedException", iot.create_thing, thingName="by-a-deployer")
        self.refused("AccessDeniedException", iot.create_certificate_from_csr,
                     certificateSigningRequest=key_and_csr("t")[1])
        for method, path in (("POST", "/skerry/v1/accessKeys"), ("GET", "/skerry/v1/accessKeys"),
                             ("GET", "/skerry/v1/audit"), ("GET", "/skerry/v1/operators")):
            status, answer, _ = call(method, path, {"name": "x", "role": "admin"} if method == "POST"
                                     else None, self.keys["deployer"])
            self.assertEqual((status, "deployer" in answer["message"]), (403, True), answer)

    def test_an_admin_does_all_of_it(self):
        fleet.client("iot", **self.keys["admin"]).create_thing(thingName="by-an-admin")
        self.assertEqual(call("GET", "/skerry/v1/audit", key=self.keys["admin"])[0], 200)

    def test_sts_says_whose_key_it_is(self):
        identity = fleet.client("sts", **self.keys["viewer"]).get_caller_identity()
        self.assertTrue(identity["Arn"].endswith(":user/a-viewer"), identity)
        self.assertEqual(identity["UserId"], self.keys["viewer"]["aws_access_key_id"])


class KeysTest(unittest.TestCase):
    def things(self, key):
        return fleet.client("iot", **key).list_things()["things"]

    def test_disabled_enabled_rotated_deleted(self):
        key = new_key("turning", "viewer")
        path = "/skerry/v1/accessKeys/" + key["aws_access_key_id"]
        self.things(key)
        self.assertEqual(call("PATCH", path, {"enabled": False})[0], 200)
        with self.assertRaises(ClientError):
            self.things(key)
        self.assertEqual(call("POST", path + "/rotate")[0], 409, "a disabled key has no heir")
        self.assertEqual(call("PATCH", path, {"enabled": True})[0], 200)
        self.things(key)
        status, heir, _ = call("POST", path + "/rotate")
        self.assertEqual((status, heir["name"], heir["role"]), (200, "turning", "viewer"))
        self.things({"aws_access_key_id": heir["accessKeyId"],
                     "aws_secret_access_key": heir["secretAccessKey"]})
        self.things(key)
        self.assertEqual(call("DELETE", path)[0], 200)
        with self.assertRaises(ClientError):
            self.things(key)
        self.assertEqual(call("DELETE", path)[0], 404)

    def test_no_list_and_no_log_has_a_secret(self):
        key = new_key("secretive", "viewer")
        password = "a password nobody sees"
        self.assertEqual(call("POST", "/skerry/v1/operators",
                              {"name": "eve", "role": "viewer", "password": password})[0], 200)
        for path in ("/skerry/v1/accessKeys", "/skerry/v1/operators", "/skerry/v1/audit"):
            text = json.dumps(call("GET", path)[1])
            self.assertNotIn(key["aws_secret_access_key"], text)
            self.assertNotIn(password, text)
            self.assertNotIn("scrypt", text)

    def test_keys_and_operators_outlive_the_program(self):
        directory = scratch.name + "/again"
        global fleet
        shared, fleet = fleet, Fleet(PROGRAM, directory)
        try:
            key = new_key("durable", "viewer")
            fleet.kill()
            fleet = Fleet(PROGRAM, directory)
            self.things(key)
            self.assertEqual(call("GET", "/skerry/v1/audit")[1]["entries"][0]["operation"],
                             "skerry:CreateAccessKey")
        finally:
            fleet.stop()
            fleet = shared

    def test_bad_input_names_the_field(self):
        for body, field in (({"name": "x", "role": "owner"}, "role"), ({"role": "admin"}, "name"),
                            ({"name": "a b", "role": "admin"}, "name"),
                            ({"name": ["x"], "role": "admin"}, "name")):
            status, answer, _ = call("POST", "/skerry/v1/accessKeys", body)
            self.assertEqual(status, 400, body)
            self.assertIn(field, answer["message"])
        status, answer, _ = call("POST", "/skerry/v1/operators",
                                 {"name": "x", "role": "admin", "password": "short"})
        self.assertEqual((status, "password" in answer["message"]), (400, True))


class UploadTest(unittest.TestCase):
    def test_a_key_that_is_disabled_while_its_body_comes_changes_nothing(self):
        key = new_key("slow", "deployer")
        content = b"x" * (1 << 20)
        entered = threading.Event()

        class Slow:
            """Half of the content, then the other half once the key is disabled."""
            def __init__(self):
                self.left = [content[:len(content) // 2], content[len(content) // 2:]]

            def read(self, _=-1):
                if len(self.left) == 1:
                    time.sleep(0.5)  # so that the first half is on its way
                    call("PATCH", "/skerry/v1/accessKeys/" + key["aws_access_key_id"],
                         {"enabled": False})
                    entered.set()
                return self.left.pop(0) if self.left else b""

        address = urllib.parse.urlsplit(fleet.info["api_url"])
        url = fleet.client("s3", **key).generate_presigned_url(
            "put_object", {"Bucket": "skerry-artifacts", "Key": "slow"})
        connection = http.client.HTTPConnection(address.netloc, timeout=60)
        self.addCleanup(connection.close)
        target = url[len(fleet.info["api_url"]):]
        connection.request("PUT", target, body=Slow(), headers={"Content-Length": str(len(content))})
        answer = connection.getresponse()
        self.assertTrue(entered.is_set())
        self.assertEqual(answer.status, 403, answer.read())
        with self.assertRaises(ClientError):
            fleet.client("s3").head_object(Bucket="skerry-artifacts", Key="slow")


class AuditTest(unittest.TestCase):
    def entries(self, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return call("GET", "/skerry/v1/audit" + (f"?{text}" if text else ""))[1]["entries"]

    def test_each_change_is_there_with_who_and_the_request_id(self):
        key = new_key("auditor", "deployer")
        answer = fleet.client("greengrassv2", **key).create_component_version(
            inlineRecipe=recipe("com.example.Audited", "1.0.0"))
        entry = self.entries(actor="auditor")[0]
        self.assertEqual(entry["operation"], "greengrass:CreateComponentVersion")
        self.assertEqual(entry["requestId"],
                         answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"])
        self.assertEqual((entry["role"], entry["via"]), ("deployer", key["aws_access_key_id"]))
        fleet.client("s3", **key).put_object(Bucket="skerry-artifacts", Key="a/b", Body=b"x")
        entry = self.entries(actor="auditor")[0]
        self.assertEqual((entry["operation"], entry["resource"]), ("s3:PUT", "/skerry-artifacts/a/b"))

    def test_what_was_refused_or_only_read_is_not(self):
        key = new_key("reader", "viewer")
        fleet.client("iot", **key).list_things()
        with self.assertRaises(ClientError):
            fleet.client("iot").describe_thing(thingName="nobody")
        with self.assertRaises(ClientError):
            fleet.client("iot").delete_thing_group(thingGroupName="x" * 200)
        self.assertEqual(self.entries(actor="reader"), [])

    def test_pages(self):
        for number in range(5):
            call("POST", "/skerry/v1/accessKeys", {"name": f"p{number}", "role": "viewer"})
        first = call("GET", "/skerry/v1/audit?maxResults=3")[1]
        second = call("GET", f"/skerry/v1/audit?maxResults=3&nextToken={urllib.parse.quote(first['nextToken'], safe='')}")[1]
        numbers = [entry["sequence"] for entry in first["entries"] + second["entries"]]
        self.assertEqual(numbers, sorted(numbers, reverse=True))
        self.assertEqual(len(set(numbers)), 6)


class CommandsTest(unittest.TestCase):
    def skerry(self, *arguments, code=0, **options):
        done = subprocess.run([CLI, "--dir", str(fleet.directory), "--json", *arguments],
                              capture_output=True, text=True, timeout=60, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout or done.stderr)

    def test_keys(self):
        file = scratch.name + "/ci.json"
        key = self.skerry("key", "create", "ci", "--role", "viewer", "--out", file)
        self.assertEqual(pathlib.Path(file).stat().st_mode & 0o777, 0o600)
        refused = self.skerry("--access-key-file", file, "group", "create", "g", code=1)
        self.assertIn("takes the role deployer", refused["error"]["message"])
        identity = key["accessKeyId"]
        self.assertFalse(self.skerry("key", "disable", identity)["enabled"])
        self.assertTrue(self.skerry("key", "enable", identity)["enabled"])
        self.assertEqual(self.skerry("key", "rotate", identity)["replaces"], identity)
        self.assertEqual(self.skerry("key", "delete", identity)["deleted"], identity)
        self.assertNotIn(identity, json.dumps(self.skerry("key", "list")))
        self.skerry("key", "create", "ci", "--role", "owner", code=2)

    def test_operators(self):
        self.skerry("operator", "add", "ada", "--role", "admin", input="long enough it is\n")
        self.assertEqual(self.skerry("operator", "set", "ada", "--role", "viewer")["role"], "viewer")
        self.assertFalse(self.skerry("operator", "set", "ada", "--disable")["enabled"])
        self.assertIn("ada", json.dumps(self.skerry("operator", "list")))
        self.skerry("operator", "add", "ada", "--role", "admin", input="long enough it is\n", code=1)
        self.skerry("operator", "add", "bob", "--role", "admin", input="short\n", code=1)
        self.skerry("operator", "remove", "ada")
        self.skerry("operator", "set", "ada", "--enable", code=1)

    def test_audit(self):
        self.skerry("group", "create", "audited")
        entry = self.skerry("audit", "--operation", "iot:CreateThingGroup")["entries"][0]
        self.assertEqual((entry["actor"], entry["resource"]), ("root", "/thing-groups/audited"))


if __name__ == "__main__":
    unittest.main()
