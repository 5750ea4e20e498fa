"""A control plane whose disk is full: rights and work can be taken away all the same.

    full_disk_test.py SKERRY_FLEET

Needs root, to mount a small disk of its own.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from botocore.exceptions import ClientError

from fleet import DEADLINE_S, Device, DeviceMqtt, Fleet

PROGRAM = sys.argv.pop(1)
DISK = "64m"


def mounted(directory):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", directory],
                          capture_output=True).returncode == 0


class FullDisk(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-full-disk-")
        self.addCleanup(scratch.cleanup)
        self.disk = pathlib.Path(scratch.name) / "disk"
        self.disk.mkdir()
        if os.geteuid() != 0 or not mounted(self.disk):
            self.skipTest("needs root and the right to mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk], check=True)
        self.elsewhere = scratch.name
        self.start()

    def start(self):
        self.fleet = Fleet(PROGRAM, self.disk / "fleet")
        self.addCleanup(self.fleet.stop)
        self.iot = self.fleet.client("iot")

    def fill(self):
        with open(self.disk / "filler", "ab", buffering=0) as filler:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    pass

    def assert_full(self):
        with self.assertRaises(ClientError) as raised:
            for i in range(2000):  # what the log of the database had room for
                self.iot.create_thing(thingName=f"more-{time.monotonic_ns()}")
        self.assertEqual(raised.exception.response["ResponseMetadata"]["HTTPStatusCode"], 503)
        self.assertIn("full", raised.exception.response["Error"]["Message"])

    def test_revoke_cancel_and_delete_work_and_the_rest_comes_back_with_the_room(self):
        device = Device(self.fleet, "press-7", self.elsewhere)
        mqtt = DeviceMqtt(device)
        self.addCleanup(mqtt.stop)
        greengrass = self.fleet.client("greengrassv2")
        self.iot.create_thing(thingName="spare")
        deployment = greengrass.create_deployment(
            targetArn=self.fleet.arn("iot", "thing/spare"))["deploymentId"]
        self.fill()
        self.assert_full()
        self.iot.update_certificate(certificateId=device.certificate_id, newStatus="REVOKED")
        self.assertEqual(device.request("/greengrass/v2/coreDevices/press-7/thingGroups")[0], 403)
        self.assertTrue(mqtt.disconnected.wait(DEADLINE_S), "the revoked session goes on")
        greengrass.cancel_deployment(deploymentId=deployment)
        self.assertEqual(greengrass.get_deployment(deploymentId=deployment)["deploymentStatus"],
                         "CANCELED")
        self.fill()  # somebody else takes what was freed
        self.assert_full()
        (self.disk / "filler").unlink()
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                self.iot.create_thing(thingName="after")
                break
            except ClientError:
                self.assertLess(time.monotonic(), deadline, "the fleet does not recover")
                time.sleep(0.5)

    def test_a_release_is_taken_back_and_nobody_else_is_asked(self):
        greengrass, group = self.fleet.client("greengrassv2"), self.fleet.arn("iot", "thinggroup/line")
        self.iot.create_thing_group(thingGroupName="line")
        mqtt = {}
        for number in range(6):
            device = Device(self.fleet, f"press-{number}", self.elsewhere)
            self.iot.add_thing_to_thing_group(thingGroupName="line", thingName=device.name)
            mqtt[device.name] = DeviceMqtt(device)
            self.addCleanup(mqtt[device.name].stop)
        started = self.fleet.send("skerry", "POST", "/skerry/v1/rollouts", {
            "deployment": {"targetArn": group, "components": {}},
            "rollout": {"stages": [{"devices": 3}, {"percent": 100}]}})[2]
        look = lambda: self.fleet.send("skerry", "GET", f"/skerry/v1/rollouts/{started['rolloutId']}")[2]
        asked = self.wait_for(lambda: len(found := self.things_of(started["iotJobId"])) == 3 and found)
        self.answer(mqtt, started["iotJobId"], "SUCCEEDED", sorted(asked)[:2])
        self.fill()
        self.assert_full()
        status, _, answer = self.fleet.send("skerry", "POST", f"/skerry/v1/rollouts/{started['rolloutId']}/rollback", {})
        self.assertEqual(status, 200, answer)
        job = greengrass.get_deployment(deploymentId=look()["rollbackDeploymentId"])["iotJobId"]
        self.assertEqual(self.wait_for(lambda: len(found := self.things_of(job)) >= 2 and found), asked)
        self.assertEqual(self.things_of(started["iotJobId"]), asked)
        (self.disk / "filler").unlink()

        def everyone_is_back():  # devices say it again until it is taken
            self.answer(mqtt, job, "SUCCEEDED", asked)
            return look()["phase"] == "rolledBack"

        self.wait_for(everyone_is_back)
        self.assertEqual(self.things_of(started["iotJobId"]), asked)

    def things_of(self, job):
        summaries = self.iot.list_job_executions_for_job(jobId=job)["executionSummaries"]
        return {each["thingArn"].rsplit("/", 1)[1] for each in summaries}

    def answer(self, mqtt, job, status, things):
        for thing in things:
            mqtt[thing].publish(f"$aws/things/{thing}/jobs/{job}/namespace-aws-gg-deployment/update", {"status": status})

    def wait_for(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            self.assertLess(time.monotonic(), deadline, "".join(self.fleet.log[-20:]))
            time.sleep(0.1)
        return value

    def test_it_starts_on_a_full_disk(self):
        device = Device(self.fleet, "press-7", self.elsewhere)
        self.fleet.stop()
        (self.disk / "fleet" / "fleet.db-reserve").unlink()
        self.fill()
        os.truncate(self.disk / "filler", (self.disk / "filler").stat().st_size - (2 << 20))
        self.start()
        device.fleet = self.fleet
        self.iot.update_certificate(certificateId=device.certificate_id, newStatus="REVOKED")
        self.assertEqual(device.request("/greengrass/v2/coreDevices/press-7/thingGroups")[0], 403)


if __name__ == "__main__":
    unittest.main(verbosity=2)
