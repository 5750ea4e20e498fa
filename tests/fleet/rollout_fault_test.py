"""A control plane that is killed again and again in the middle of rollouts and of their roll-backs: nothing is stuck,
nobody is asked twice, and who was not to have the release never has it.

    rollout_fault_test.py SKERRY_FLEET

Its devices are real connections with real certificates that answer jobs; what they do is one line.
"""

import collections
import random
import sys
import tempfile
import threading
import time
import unittest

from fleet import Device, DeviceMqtt, Fleet

PROGRAM = sys.argv.pop(1)
DEVICES = 8
KILLS = 6
DEADLINE_S = 120
NAMESPACE = "namespace-aws-gg-deployment"
OVER = ("completed", "canceled", "rolledBack", "superseded", "targetGone")


class Agent:
    """Takes what it is told to do, one after the other, and ends it as `outcome(components)` says. It survives its
    connection: what it began it ends on the next one."""

    def __init__(self, device, outcome):
        self.device = device
        self.begun = collections.Counter()  # jobs, by (job, number of the execution)
        self.components = {}  # of the last that succeeded: {name: version}
        self._outcome = outcome
        self._answers = {}
        self._lock = threading.Lock()
        self._mqtt = None

    def connect(self, fleet):
        self.device.fleet = fleet
        self._mqtt = DeviceMqtt(self.device)
        self._stopping = threading.Event()
        jobs = f"$aws/things/{self.device.name}/jobs"
        self._mqtt.subscribe(f"{jobs}/notify-next-{NAMESPACE}", f"{jobs}/$next/{NAMESPACE}/get/accepted",
                             f"{jobs}/+/{NAMESPACE}/update/accepted")
        self._thread = threading.Thread(target=self._run, args=(self._mqtt, self._stopping, jobs), daemon=True)
        self._thread.start()

    def disconnect(self):
        self._stopping.set()
        self._mqtt.stop()  # ends what waits for a broker that is gone
        self._thread.join(DEADLINE_S)

    def _run(self, mqtt, stopping, jobs):
        asked_at = 0
        while not stopping.is_set():
            try:
                # As a nucleus does: it asks again, whatever it may have missed.
                if time.monotonic() > asked_at + 0.5:
                    asked_at = time.monotonic()
                    mqtt.publish(f"{jobs}/$next/{NAMESPACE}/get", {"jobId": "$next"})
                topic, message = mqtt.messages.get(timeout=0.1)
                execution = message.get("execution")
                if not topic.endswith("update/accepted") and execution and "jobId" in execution:
                    self._work(mqtt, jobs, execution)
            except Exception:  # an empty queue; a connection that has just gone: the next one asks again
                continue

    def _work(self, mqtt, jobs, execution):
        job, number = execution["jobId"], execution["executionNumber"]
        with self._lock:
            if (job, number) not in self._answers:
                wanted = {name: each["version"] for name, each in execution["jobDocument"]["components"].items()}
                status = self._outcome(wanted)
                self.begun[job, number] += 1
                self._answers[job, number] = status
                if status == "SUCCEEDED":
                    self.components = wanted
            status = self._answers[job, number]
        topic = f"{jobs}/{job}/{NAMESPACE}/update"
        if execution["status"] == "QUEUED":
            mqtt.publish(topic, {"status": "IN_PROGRESS"})
        mqtt.publish(topic, {"status": status})


class Killed(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-rollout-fault-")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.fleet = Fleet(PROGRAM, self.scratch + "/fleet")
        self.addCleanup(lambda: self.fleet.kill())
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            self.fleet.publish("app", version)
        self.bad = None
        self.agents = [Agent(Device(self.fleet, f"cam-{number}", self.scratch), self.outcome) for number in range(DEVICES)]
        iot = self.fleet.client("iot")
        iot.create_thing_group(thingGroupName="line")
        for agent in self.agents:
            iot.add_thing_to_thing_group(thingGroupName="line", thingName=agent.device.name)
            agent.connect(self.fleet)
        self.addCleanup(lambda: [agent.disconnect() for agent in self.agents])
        self.seed = random.randrange(1 << 30)
        self.random = random.Random(self.seed)

    def outcome(self, wanted):
        time.sleep(0.05)
        return "FAILED" if wanted.get("app") == self.bad else "SUCCEEDED"

    def deploy(self, version):
        made = self.fleet.client("greengrassv2").create_deployment(
            targetArn=self.fleet.arn("iot", "thinggroup/line"), components={"app": {"componentVersion": version}})
        self.wait_until(lambda: set(self.executions(made["iotJobId"]).values()) == {"SUCCEEDED"}, f"{version} everywhere")
        return made

    def start(self, version, stages):
        status, _, started = self.fleet.send("skerry", "POST", "/skerry/v1/rollouts", {
            "deployment": {"targetArn": self.fleet.arn("iot", "thinggroup/line"),
                           "components": {"app": {"componentVersion": version}}},
            "rollout": {"stages": stages}})
        self.assertEqual(status, 201, started)
        return started

    def rollout(self, started):
        return self.fleet.send("skerry", "GET", f"/skerry/v1/rollouts/{started['rolloutId']}")[2]

    def executions(self, job):
        summaries = self.fleet.client("iot").list_job_executions_for_job(jobId=job)["executionSummaries"]
        return {each["thingArn"].rsplit("/", 1)[1]: each["jobExecutionSummary"]["status"] for each in summaries}

    def wait_until(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            self.assertLess(time.monotonic(), deadline, f"seed {self.seed}: {what} does not come to pass: "
                            f"{self.fleet.send('skerry', 'GET', '/skerry/v1/rollouts')[2]}")
            time.sleep(0.05)
        return value

    def restart(self):
        self.assertEqual(self.fleet.kill(), -9)
        for agent in self.agents:
            agent.disconnect()
        self.fleet = Fleet(PROGRAM, self.scratch + "/fleet")
        for agent in self.agents:
            agent.connect(self.fleet)

    def kill_until_over(self, started):
        """At moments that chance picks, at most KILLS times; the rollout once it is over."""
        kills = 0
        while kills < KILLS and self.rollout(started)["phase"] not in OVER:
            time.sleep(self.random.uniform(0, 0.9))
            self.restart()
            kills += 1
        self.assertGreater(kills, 0)
        self.wait_until(lambda: self.rollout(started)["phase"] in OVER, "the end")
        return self.rollout(started)

    def check_that_nobody_was_asked_twice(self):
        for agent in self.agents:
            jobs = [job for job, _ in agent.begun]
            self.assertEqual(len(jobs), len(set(jobs)), f"seed {self.seed}: {agent.device.name} was asked twice: {jobs}")
        iot = self.fleet.client("iot")
        for job in {job for agent in self.agents for job, _ in agent.begun}:
            for thing in self.executions(job):
                execution = iot.describe_job_execution(jobId=job, thingName=thing)["execution"]
                self.assertEqual(execution["executionNumber"], 1, f"seed {self.seed}: {thing}, {execution}")

    def effective(self, thing):
        answer = self.fleet.client("greengrassv2").list_effective_deployments(coreDeviceThingName=thing)
        return {each["deploymentId"]: each["coreDeviceExecutionStatus"] for each in answer["effectiveDeployments"]}

    def test_a_good_release_arrives_everywhere(self):
        self.deploy("1.0.0")
        started = self.start("2.0.0", [{"devices": 2}, {"devices": 5}, {"percent": 100}])
        rollout = self.kill_until_over(started)
        self.assertEqual(rollout["phase"], "completed", f"seed {self.seed}: {rollout}")
        self.assertEqual(len(self.executions(started["iotJobId"])), DEVICES)
        self.assertEqual([agent.components for agent in self.agents], [{"app": "2.0.0"}] * DEVICES, f"seed {self.seed}")
        self.check_that_nobody_was_asked_twice()

    def test_a_bad_release_goes_back_and_stays_where_it_was(self):
        self.deploy("1.0.0")
        self.bad = "3.0.0"
        started = self.start("3.0.0", [{"devices": 4}, {"percent": 100}])
        rollout = self.kill_until_over(started)
        self.assertEqual(rollout["phase"], "rolledBack", f"seed {self.seed}: {rollout}")
        asked = self.executions(started["iotJobId"])
        self.assertLessEqual(len(asked), 4, f"seed {self.seed}: a stage too far: {asked}")
        back = self.fleet.client("greengrassv2").get_deployment(deploymentId=rollout["rollbackDeploymentId"])
        self.assertEqual(back["tags"]["skerry:rolledBackFrom"], started["rolloutId"])
        self.assertEqual(set(self.executions(back["iotJobId"])), set(asked), f"seed {self.seed}")
        self.assertEqual(set(self.executions(back["iotJobId"]).values()), {"SUCCEEDED"}, f"seed {self.seed}")
        self.assertEqual([agent.components for agent in self.agents], [{"app": "1.0.0"}] * DEVICES, f"seed {self.seed}")
        self.check_that_nobody_was_asked_twice()
        # What AWS's own calls say of it.
        release = self.fleet.client("greengrassv2").get_deployment(deploymentId=started["rolloutId"])
        self.assertEqual((release["deploymentStatus"], release["isLatestForTarget"]), ("CANCELED", False))
        self.assertTrue(back["isLatestForTarget"])
        for agent in self.agents:
            effective = self.effective(agent.device.name)
            self.assertEqual(effective.get(started["rolloutId"]) in ("FAILED", "CANCELED"), agent.device.name in asked)
            self.assertEqual(effective.get(back["deploymentId"]) == "SUCCEEDED", agent.device.name in asked)

    def test_an_operators_rollback_reaches_everybody_who_had_it(self):
        self.deploy("1.0.0")
        started = self.start("2.0.0", [{"devices": 5, "approval": True}, {"percent": 100}])
        self.wait_until(lambda: self.rollout(started)["phase"] == "waitingForApproval", "approval")
        had_it = [agent for agent in self.agents if agent.components == {"app": "2.0.0"}]
        self.assertEqual(len(had_it), 5)
        status, _, answer = self.fleet.send("skerry", "POST", f"/skerry/v1/rollouts/{started['rolloutId']}/rollback", {})
        self.assertEqual(status, 200, answer)
        rollout = self.kill_until_over(started)
        self.assertEqual(rollout["phase"], "rolledBack", f"seed {self.seed}: {rollout}")
        self.assertEqual([agent.components for agent in self.agents], [{"app": "1.0.0"}] * DEVICES, f"seed {self.seed}")
        self.check_that_nobody_was_asked_twice()


if __name__ == "__main__":
    unittest.main(verbosity=2)
