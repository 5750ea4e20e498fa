"""Rollouts: stock boto3 and `aws` with iotJobConfiguration, our own service, and `skerry rollout`.

    rollout_test.py SKERRY_FLEET
"""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

from botocore.exceptions import ClientError

from fleet import DEADLINE_S, Device, DeviceMqtt, Fleet

PROGRAM = sys.argv.pop(1)
CLI = pathlib.Path(PROGRAM).parent / "skerry"
AWS = pathlib.Path(sys.executable).parent / "aws"
DEVICES = 4
STAGES = {"stages": [{"devices": 1}, {"percent": 100}]}


def setUpModule():
    global fleet, scratch, devices, mqtt
    scratch = tempfile.TemporaryDirectory(prefix="skerry-rollout-")
    fleet = Fleet(PROGRAM, scratch.name + "/fleet")
    devices = [Device(fleet, f"cam-{i}", scratch.name) for i in range(DEVICES)]
    mqtt = {device.name: DeviceMqtt(device) for device in devices}


def tearDownModule():
    for connection in mqtt.values():
        connection.stop()
    code = fleet.stop()
    scratch.cleanup()
    assert code == 0, f"skerry-fleet ended with {code}:\n" + "".join(fleet.log)


def call(method, path, body=None):
    """Status and JSON of a call of our own service."""
    status, _, answer = fleet.send("skerry", method, path, body)
    return status, answer


class RolloutTest(unittest.TestCase):
    counter = 0

    def setUp(self):
        self.greengrass, self.iot = fleet.client("greengrassv2"), fleet.client("iot")
        RolloutTest.counter += 1
        self.group = f"group-{RolloutTest.counter}"
        self.arn = fleet.arn("iot", f"thinggroup/{self.group}")
        self.iot.create_thing_group(thingGroupName=self.group)
        for device in devices:
            self.iot.add_thing_to_thing_group(thingGroupName=self.group, thingName=device.name)
        self.component = f"com.example.Rollout{RolloutTest.counter}"
        fleet.publish(self.component, "1.0.0")
        fleet.publish(self.component, "2.0.0")
        self.addCleanup(self.greengrass_cleanup)

    def greengrass_cleanup(self):
        self.iot.delete_thing_group(thingGroupName=self.group)

    def components(self, version):
        return {self.component: {"componentVersion": version}}

    def executions(self, job):
        return {each["thingArn"].rsplit("/", 1)[1]: each["jobExecutionSummary"]["status"]
                for each in self.iot.list_job_executions_for_job(jobId=job)["executionSummaries"]}

    def wait_until(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        self.fail(f"{what} does not come to pass")

    def answer(self, job, status, *names):
        for name in names:
            mqtt[name].publish(f"$aws/things/{name}/jobs/{job}/namespace-aws-gg-deployment/update",
                               {"status": status})
        self.wait_until(lambda: all(self.executions(job).get(n) == status for n in names),
                        f"{names} being {status}")

    def deploy_everywhere(self, version="1.0.0"):
        made = self.greengrass.create_deployment(targetArn=self.arn,
                                                 components=self.components(version))
        self.answer(made["iotJobId"], "SUCCEEDED", *mqtt)
        return made

    def start(self, rollout, version="2.0.0"):
        status, started = call("POST", "/skerry/v1/rollouts", {
            "deployment": {"targetArn": self.arn, "components": self.components(version)},
            "rollout": rollout})
        self.assertEqual(status, 201, started)
        return started

    def phase(self, rollout_id):
        return call("GET", f"/skerry/v1/rollouts/{rollout_id}")[1]["phase"]

    # --- With AWS's own fields ---

    def test_boto3_creates_watches_and_cancels_with_a_rate(self):
        made = self.greengrass.create_deployment(
            targetArn=self.arn, components=self.components("1.0.0"), iotJobConfiguration={
                "jobExecutionsRolloutConfig": {"maximumPerMinute": 1},
                "timeoutConfig": {"inProgressTimeoutInMinutes": 60}})
        asked = self.wait_until(lambda: self.executions(made["iotJobId"]), "a first device")
        self.assertEqual(list(asked.values()), ["QUEUED"])
        got = self.greengrass.get_deployment(deploymentId=made["deploymentId"])
        self.assertEqual(got["deploymentStatus"], "ACTIVE")
        self.assertEqual(got["iotJobConfiguration"]["jobExecutionsRolloutConfig"],
                         {"maximumPerMinute": 1})
        name, = asked
        effective = self.greengrass.list_effective_deployments(coreDeviceThingName=name)
        self.assertIn(made["deploymentId"],
                      [each["deploymentId"] for each in effective["effectiveDeployments"]])
        self.greengrass.cancel_deployment(deploymentId=made["deploymentId"])
        self.assertEqual(self.executions(made["iotJobId"]), {name: "CANCELED"})
        self.assertEqual(self.phase(made["deploymentId"]), "canceled")

    def test_the_aws_command_does_so_too(self):
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": fleet.access_key["aws_access_key_id"],
                       "AWS_SECRET_ACCESS_KEY": fleet.access_key["aws_secret_access_key"],
                       "AWS_DEFAULT_REGION": fleet.info["region"], "AWS_PAGER": ""}

        def aws(*arguments):
            done = subprocess.run(
                [AWS, "greengrassv2", "--endpoint-url", fleet.info["api_url"], "--output", "json",
                 *arguments], env=environment, capture_output=True, text=True, timeout=DEADLINE_S,
                check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout)
        made = aws("create-deployment", "--target-arn", self.arn, "--iot-job-configuration",
                   json.dumps({"jobExecutionsRolloutConfig": {"exponentialRate": {
                       "baseRatePerMinute": 2, "incrementFactor": 1.5,
                       "rateIncreaseCriteria": {"numberOfNotifiedThings": 1}}}}))
        self.wait_until(lambda: len(self.executions(made["iotJobId"])) >= 2, "two devices")
        got = aws("get-deployment", "--deployment-id", made["deploymentId"])
        self.assertEqual(got["deploymentStatus"], "ACTIVE")
        aws("cancel-deployment", "--deployment-id", made["deploymentId"])
        self.assertEqual(set(self.executions(made["iotJobId"]).values()), {"CANCELED"})

    def test_an_abort_criterion_cancels(self):
        made = self.greengrass.create_deployment(
            targetArn=self.arn, components=self.components("1.0.0"), iotJobConfiguration={
                "jobExecutionsRolloutConfig": {"maximumPerMinute": 2},
                "abortConfig": {"criteriaList": [{
                    "failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 50,
                    "minNumberOfExecutedThings": 1}]}})
        asked = self.wait_until(lambda: len(found := self.executions(made["iotJobId"])) == 2 and found,
                                "two devices")
        first, second = asked
        self.answer(made["iotJobId"], "FAILED", first)
        self.wait_until(lambda: self.greengrass.get_deployment(deploymentId=made["deploymentId"])[
            "deploymentStatus"] == "CANCELED", "the end")
        self.assertEqual(self.executions(made["iotJobId"]), {first: "FAILED", second: "CANCELED"})

    def test_what_is_out_of_range_is_a_validation_error(self):
        for wrong in ({"jobExecutionsRolloutConfig": {"maximumPerMinute": 1001}},
                      {"jobExecutionsRolloutConfig": {"maximumPerMinute": 0}},
                      {"jobExecutionsRolloutConfig": {"exponentialRate": {
                          "baseRatePerMinute": 1, "incrementFactor": 6,
                          "rateIncreaseCriteria": {"numberOfNotifiedThings": 1}}}},
                      {"jobExecutionsRolloutConfig": {"exponentialRate": {
                          "baseRatePerMinute": 1, "incrementFactor": 2,
                          "rateIncreaseCriteria": {}}}},
                      {"abortConfig": {"criteriaList": []}},
                      {"abortConfig": {"criteriaList": [{
                          "failureType": "SAD", "action": "CANCEL", "thresholdPercentage": 5,
                          "minNumberOfExecutedThings": 1}]}},
                      {"timeoutConfig": {"inProgressTimeoutInMinutes": 0}},
                      {"timeoutConfig": {"inProgressTimeoutInMinutes": 10081}}):
            with self.subTest(wrong), self.assertRaises(ClientError) as raised:
                self.greengrass.create_deployment(targetArn=self.arn, components={},
                                                  iotJobConfiguration=wrong)
            self.assertEqual(raised.exception.response["Error"]["Code"], "ValidationException")
        self.assertEqual(self.greengrass.list_deployments(targetArn=self.arn)["deployments"], [])

    # --- With our own document ---

    def test_a_good_release_goes_through_its_stages(self):
        self.deploy_everywhere()
        started = self.start(STAGES)
        first = self.wait_until(lambda: self.executions(started["iotJobId"]), "the first stage")
        self.assertEqual(len(first), 1)
        self.answer(started["iotJobId"], "SUCCEEDED", *first)
        everyone = self.wait_until(
            lambda: len(found := self.executions(started["iotJobId"])) == DEVICES and found,
            "the last stage")
        self.answer(started["iotJobId"], "SUCCEEDED",
                    *[name for name, status in everyone.items() if status == "QUEUED"])
        self.wait_until(lambda: self.phase(started["rolloutId"]) == "completed", "the end")
        self.assertEqual(self.greengrass.get_deployment(deploymentId=started["rolloutId"])[
            "deploymentStatus"], "ACTIVE")

    def test_a_bad_one_is_taken_back_and_aws_sees_it(self):
        good = self.deploy_everywhere()
        started = self.start({"stages": [{"devices": 3}, {"percent": 100}]})
        asked = self.wait_until(
            lambda: len(found := self.executions(started["iotJobId"])) == 3 and found, "three")
        self.answer(started["iotJobId"], "FAILED", *asked)
        back = self.wait_until(
            lambda: call("GET", f"/skerry/v1/rollouts/{started['rolloutId']}")[1].get(
                "rollbackDeploymentId"), "a rollback")
        deployment = self.greengrass.get_deployment(deploymentId=back)
        self.assertEqual(deployment["components"], self.greengrass.get_deployment(
            deploymentId=good["deploymentId"])["components"])
        self.assertEqual(deployment["tags"]["skerry:rolledBackFrom"], started["rolloutId"])
        self.assertTrue(deployment["isLatestForTarget"])
        self.assertEqual(set(self.executions(deployment["iotJobId"])), set(asked))
        self.answer(deployment["iotJobId"], "SUCCEEDED", *asked)
        self.wait_until(lambda: self.phase(started["rolloutId"]) == "rolledBack", "the end")
        self.assertEqual(set(self.executions(started["iotJobId"])), set(asked))
        status, answer = call("POST", f"/skerry/v1/rollouts/{started['rolloutId']}/rollback", {})
        self.assertEqual((status, "was rolled back" in answer["message"]), (409, True), answer)

    def test_a_killed_server_goes_on_where_it_was(self):
        global fleet
        self.deploy_everywhere()
        started = self.start({"stages": [{"devices": 1, "approval": True}, {"percent": 100}]})
        first = self.wait_until(lambda: self.executions(started["iotJobId"]), "the first stage")
        self.answer(started["iotJobId"], "SUCCEEDED", *first)
        self.wait_until(lambda: self.phase(started["rolloutId"]) == "waitingForApproval", "approval")
        self.assertEqual(fleet.kill(), -9)
        fleet = Fleet(PROGRAM, scratch.name + "/fleet")
        self.iot, self.greengrass = fleet.client("iot"), fleet.client("greengrassv2")
        self.assertEqual(self.phase(started["rolloutId"]), "waitingForApproval")
        self.assertEqual(set(self.executions(started["iotJobId"])), set(first))
        for stage, expected in ((2, 409), (1, 200)):
            status, answer = call("POST", f"/skerry/v1/rollouts/{started['rolloutId']}/approve",
                                  {"stage": stage})
            self.assertEqual(status, expected, answer)
        self.wait_until(lambda: len(self.executions(started["iotJobId"])) == DEVICES, "all of them")
        for device in devices:
            device.fleet = fleet
            mqtt[device.name].stop()
            mqtt[device.name] = DeviceMqtt(device)

    def test_wrong_requests_leave_nothing_behind(self):
        def refused(body, part, status=400):
            got, answer = call("POST", "/skerry/v1/rollouts", body)
            self.assertEqual(got, status, answer)
            self.assertIn(part, answer["message"])
        deployment = {"targetArn": self.arn, "components": self.components("1.0.0")}
        refused({"deployment": deployment, "rollout": {"stages": []}}, "rollout.stages")
        refused({"deployment": deployment, "rollout": {
            "stages": [{"percent": 50}, {"percent": 10}, {"percent": 100}]}}, "stages[1]")
        refused({"deployment": deployment, "rollout": {  # 3 of 4 devices, then 1
            "stages": [{"devices": 3}, {"percent": 25}, {"percent": 100}]}}, "stages[1]")
        refused({"deployment": deployment, "rollout": {**STAGES, "canaryGroup": "nobody"}},
                "canaryGroup", 404)
        refused({"deployment": {**deployment, "x": 1}, "rollout": STAGES}, "deployment.x")
        refused({"deployment": deployment}, "rollout")
        refused({"deployment": {"components": {}}, "rollout": STAGES}, "targetArn")
        refused({"deployment": {**deployment, "components": self.components("9.9.9")},
                 "rollout": STAGES}, "publish it first", 404)
        self.assertEqual(self.greengrass.list_deployments(targetArn=self.arn)["deployments"], [])
        self.assertEqual(call("GET", "/skerry/v1/rollouts/nothing")[0], 404)

    # --- The command line ---

    def skerry(self, *arguments, code=0):
        done = subprocess.run([CLI, "--dir", scratch.name + "/fleet", *arguments],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def test_the_command_line_plans_starts_steers_and_tells(self):
        document = pathlib.Path(scratch.name) / "rollout.json"
        document.write_text(json.dumps(
            {"stages": [{"devices": 1, "approval": True}, {"percent": 50}, {"percent": 100}]}))
        picture = pathlib.Path(scratch.name) / "plan.svg"
        release = ("--group", self.group, "--component", f"{self.component}=1.0.0", "--rollout",
                   str(document))
        plan = json.loads(self.skerry("rollout", "plan", *release, "--svg", str(picture), "--json"))
        self.assertEqual([stage["devicesSoFar"] for stage in plan["stages"]], [1, 2, DEVICES])
        self.assertTrue(picture.read_text().startswith("<svg"))
        self.assertEqual(self.greengrass.list_deployments(targetArn=self.arn)["deployments"], [])
        started = json.loads(self.skerry("deploy", *release, "--json"))
        rollout = started["rolloutId"]
        first = self.wait_until(lambda: self.executions(started["iotJobId"]), "the first stage")
        self.skerry("rollout", "pause", rollout)
        self.skerry("rollout", "pause", rollout, code=1)
        self.skerry("rollout", "resume", rollout)
        self.answer(started["iotJobId"], "SUCCEEDED", *first)
        self.wait_until(lambda: self.phase(rollout) == "waitingForApproval", "approval")
        self.skerry("rollout", "approve", rollout, "--stage", "7", code=1)
        self.skerry("rollout", "approve", rollout, "--stage", "1")
        self.wait_until(lambda: len(self.executions(started["iotJobId"])) == 2, "the second stage")
        self.skerry("rollout", "rollback", rollout, "--json")
        back = call("GET", f"/skerry/v1/rollouts/{rollout}")[1]["rollbackDeploymentId"]
        job = self.greengrass.get_deployment(deploymentId=back)["iotJobId"]
        self.answer(job, "SUCCEEDED", *self.executions(job))
        told = self.skerry("rollout", "watch", rollout, code=1)
        self.assertIn("rolledBack", told)
        self.assertIn("rolled back by an operator", self.skerry("rollout", "history", rollout))
        self.assertIn(rollout, self.skerry("rollout", "list"))
        self.skerry("rollout", "abort", rollout, code=1)

    def test_on_a_terminal_watch_redraws_in_place(self):
        columns = 50
        self.deploy_everywhere()
        started = self.start({"stages": [{"devices": 1, "approval": True}, {"percent": 100}]})
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        watch = subprocess.Popen([CLI, "--dir", scratch.name + "/fleet", "rollout", "watch", started["rolloutId"]],
                                 stdin=its, stdout=its, stderr=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"})
        os.close(its)
        first = self.wait_until(lambda: self.executions(started["iotJobId"]), "the first stage")
        self.answer(started["iotJobId"], "SUCCEEDED", *first)
        self.wait_until(lambda: self.phase(started["rolloutId"]) == "waitingForApproval", "approval")
        self.skerry("rollout", "approve", started["rolloutId"], "--stage", "1")
        everyone = self.wait_until(lambda: len(found := self.executions(started["iotJobId"])) == DEVICES and found,
                                   "the last stage")
        self.answer(started["iotJobId"], "SUCCEEDED",
                    *[name for name, status in everyone.items() if status == "QUEUED"])
        output = b""
        with contextlib.suppress(OSError):  # how a terminal without programs ends
            while part := os.read(ours, 65536):
                output += part
        os.close(ours)
        self.assertEqual(watch.wait(DEADLINE_S), 0, output)
        pictures = re.split(rb"\x1b\[(\d+)F\x1b\[J", output.replace(b"\r", b""))
        shown, heights = pictures[::2], [int(number) for number in pictures[1::2]]
        self.assertGreaterEqual(len(shown), 3, output)
        self.assertEqual([picture.count(b"\n") for picture in shown[:-1]], heights, "it erases what it has drawn")
        self.assertIn(b"every stage is fine", shown[-1])
        for picture in shown:
            self.assertNotIn(b"\x1b", picture)
            self.assertLessEqual(max(len(line) for line in picture.split(b"\n")), columns)


if __name__ == "__main__":
    unittest.main()
