"""What unmodified stock nuclei send, replayed in their order: nucleus lite 2.6 and the Java nucleus 2.18.

    stock_test.py SKERRY_FLEET

They cannot be installed here. Each stand-in sends their shapes of requests and reads answers as strictly as they do.
"""

import base64
import json
import os
import sys
import unittest
import urllib.parse
import urllib.request

from fleet import Device, DeviceMqtt, fetch, fleet_of_module

PROGRAM = sys.argv.pop(1)
NAMESPACE = "namespace-aws-gg-deployment"
SHADOW = "AWSManagedGreengrassV2Deployment"
RECIPE = """
recipeformatversion: "2020-01-25"
componentname: com.example.Stock
componentversion: 1.0.0
componentconfiguration: {defaultconfiguration: {Message: hi}}
manifests:
  - platform: {os: linux, runtime: "*"}
    lifecycle: {run: {script: "cat {artifacts:path}/data", requiresprivilege: "true"}, setenv: {A: "1"}}
    artifacts: [{URI: "s3://skerry-artifacts/stock/data"}]
  - name: anything else
    lifecycle: {install: "true"}
"""


def setUpModule():
    global fleet, scratch
    fleet, scratch = fleet_of_module(PROGRAM, "--api-tls", "--artifact-port", "0")
    os.environ["AWS_CA_BUNDLE"] = fleet.info["ca_file"]
    fleet.upload("stock/data", b"0123456789")
    fleet.client("greengrassv2").create_component_version(inlineRecipe=RECIPE.encode())


class Stock(unittest.TestCase):
    NAME = ""

    @classmethod
    def setUpClass(cls):
        cls.device = Device(fleet, cls.NAME, scratch.name)
        cls.group = "G-" + cls.NAME
        iot = fleet.client("iot")
        iot.create_thing_group(thingGroupName=cls.group)
        iot.add_thing_to_thing_group(thingGroupName=cls.group, thingName=cls.NAME)
        cls.mqtt = DeviceMqtt(cls.device)
        cls.addClassCleanup(cls.mqtt.stop)

    def deploy(self):
        return fleet.client("greengrassv2").create_deployment(
            targetArn=fleet.arn("iot", f"thinggroup/{self.group}"),
            components={"com.example.Stock": {"componentVersion": "1.0.0"}})

    def resolve(self, requirements, attributes, trailer=b""):
        body = {"componentCandidates": [{"componentName": "com.example.Stock",
                                         "versionRequirements": requirements}],
                "platform": {"name": "linux", "attributes": attributes}}
        status, answer = self.device.request("/greengrass/v2/resolveComponentCandidates",
                                             json.dumps(body).encode() + trailer)
        self.assertEqual(status, 200, answer)
        [resolved] = answer["resolvedComponentVersions"]
        self.assertEqual((resolved["componentName"], resolved["componentVersion"]), ("com.example.Stock", "1.0.0"))
        return resolved

    def artifact_url(self, arn, recipe, query=""):
        name = recipe["Manifests"][0]["Artifacts"][0]["Uri"].removeprefix("greengrass:")
        status, answer = self.device.request(f"/greengrass/v2/components/{arn}/artifacts/{name}{query}")
        self.assertEqual(status, 200, answer)
        self.assertTrue(answer["preSignedUrl"].startswith("http://"), answer)  # trusted by digest, not by our CA
        return answer["preSignedUrl"]

    def topic(self, rest):
        return f"$aws/things/{self.NAME}/{rest}"


class Lite(Stock):
    NAME = "lite-1"

    def ask(self, request, message):
        """Subscribes to the answers, publishes, and takes the one with its token, as lite does."""
        self.mqtt.subscribe(self.topic(f"{request}/accepted"), self.topic(f"{request}/rejected"))
        self.mqtt.publish(self.topic(request), {**message, "clientToken": "lite-token"})
        answer = self.mqtt.wait_for(f"{request}/accepted")
        self.assertEqual(answer["clientToken"], "lite-token")
        return answer

    def test_a_group_deployment_from_job_to_status(self):
        self.mqtt.subscribe(self.topic(f"jobs/notify-next-{NAMESPACE}"))
        get = {"jobId": "$next", "thingName": self.NAME, "includeJobDocument": True}
        self.assertNotIn("execution", self.ask(f"jobs/$next/{NAMESPACE}/get", get))
        self.deploy()
        execution = self.mqtt.wait_for(f"jobs/notify-next-{NAMESPACE}")["execution"]
        self.assertIsInstance(execution["queuedAt"], int)
        self.assertLessEqual(len(execution["jobId"]), 64)
        self.assertLess(len(json.dumps(execution)), 4500)
        arn = execution["jobDocument"]["configurationArn"]
        self.assertEqual(arn[arn.index("/") + 1:arn.rindex(":")], self.group)
        self.assertEqual(self.ask(f"jobs/$next/{NAMESPACE}/get", get)["execution"]["jobId"], execution["jobId"])
        update = f"jobs/{execution['jobId']}/{NAMESPACE}/update"
        self.ask(update, {"status": "IN_PROGRESS"})
        _, groups = self.device.request(f"/greengrass/v2/coreDevices/{self.NAME}/thingGroups")
        self.assertEqual([each["thingGroupName"] for each in groups["thingGroups"]], [self.group])
        attributes = {"runtime": "aws_nucleus_lite", "os": "linux", "architecture": "amd64"}
        resolved = self.resolve({"requirements": "1.0.0"}, attributes, trailer=b"\0")
        self.check_recipe(json.loads(base64.b64decode(resolved["recipe"])))
        self.ask(update, {"status": "SUCCEEDED"})
        self.assertNotIn("execution", self.ask(f"jobs/$next/{NAMESPACE}/get", get))

    def check_recipe(self, recipe):
        """lite looks keys up by these exact spellings, and fails on a manifest without a list of artifacts."""
        for manifest in recipe["Manifests"]:
            self.assertIsInstance(manifest["Artifacts"], list)
            for artifact in manifest["Artifacts"]:
                self.assertLessEqual({"Uri", "Unarchive", "Digest", "Algorithm"}, set(artifact))
        lifecycle = recipe["Manifests"][0]["Lifecycle"]
        self.assertIn("run", lifecycle)
        self.assertEqual(lifecycle["run"]["Script"], "cat {artifacts:path}/data")
        self.assertIn("RequiresPrivilege", lifecycle["run"])
        self.assertEqual(lifecycle["Setenv"], {"A": "1"})
        self.assertEqual(recipe["ComponentConfiguration"]["DefaultConfiguration"], {"Message": "hi"})
        self.assertIsInstance(recipe["ComponentDependencies"], (dict, list))
        resolved = self.resolve({"requirements": "1.0.0"}, {"os": "linux", "architecture": "amd64"})
        status, _, body = fetch(urllib.request.Request(self.artifact_url(resolved["arn"], recipe)))  # the ARN as it is
        self.assertEqual((status, body), (200, b"0123456789"))


class Java(Stock):
    NAME = "java-1"

    def update(self, job, message):
        """Subscribes for each update anew, without a token."""
        request = f"jobs/{job}/{NAMESPACE}/update"
        self.mqtt.subscribe(self.topic(f"{request}/accepted"), self.topic(f"{request}/rejected"))
        self.mqtt.publish(self.topic(request), message)
        self.mqtt.wait_for(f"{request}/accepted")

    def test_a_group_deployment_from_job_to_status(self):
        self.mqtt.subscribe(*(self.topic(f"shadow/name/{SHADOW}/{rest}")
                              for rest in ("update/accepted", "update/rejected", "get/accepted", "get/rejected")))
        self.mqtt.publish(self.topic(f"shadow/name/{SHADOW}/get"), {})
        self.assertEqual(self.mqtt.wait_for("get/rejected")["code"], 404)
        self.mqtt.subscribe(self.topic(f"jobs/$next/{NAMESPACE}/get/accepted"),
                            self.topic(f"jobs/$next/{NAMESPACE}/get/rejected"), self.topic(f"jobs/notify-{NAMESPACE}"))
        self.deploy()
        [queued] = self.mqtt.wait_for(f"jobs/notify-{NAMESPACE}")["jobs"]["QUEUED"]
        self.assertLessEqual({"jobId", "queuedAt", "lastUpdatedAt", "executionNumber", "versionNumber"}, set(queued))
        self.mqtt.publish(self.topic(f"jobs/$next/{NAMESPACE}/get"),
                          {"thingName": self.NAME, "jobId": "$next", "includeJobDocument": True})
        execution = self.mqtt.wait_for(f"jobs/$next/{NAMESPACE}/get/accepted")["execution"]
        self.assertEqual(execution["jobId"], queued["jobId"])
        self.update(queued["jobId"], {"status": "IN_PROGRESS", "statusDetails": {}})
        resolved = self.resolve({f"thinggroup/{self.group}": "=1.0.0"}, {"os": "linux", "architecture": "amd64"})
        recipe = json.loads(base64.b64decode(resolved["recipe"]))
        arn = urllib.parse.quote(resolved["arn"], safe="")
        for _ in range(2):  # for the size first
            url = self.artifact_url(arn, recipe, "?s3EndpointType=GLOBAL")
            status, headers, _ = fetch(urllib.request.Request(url))
            self.assertEqual((status, headers["Content-Length"]), (200, "10"))
        status, headers, body = fetch(urllib.request.Request(url, headers={"Range": "bytes=4-9"}))
        self.assertEqual((status, body, headers["Content-Range"]), (206, b"456789", "bytes 4-9/10"))
        self.update(queued["jobId"], {"status": "SUCCEEDED", "statusDetails": {
            "detailed-deployment-status": "SUCCESSFUL", "deployment-error-types": "[]", "deployment-error-stack": "[]"}})
        # Nothing left: an empty map, on which it goes back to sleep.
        while self.mqtt.wait_for(f"jobs/notify-{NAMESPACE}")["jobs"]:
            pass


if __name__ == "__main__":
    unittest.main()
