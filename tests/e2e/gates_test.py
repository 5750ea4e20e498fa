"""Gates on what devices say of their components: a release that takes what depends on it down again and again after every
deployment succeeded is taken back, by real devices' own counts.

    gates_test.py BIN_DIR
"""

import json

import e2e
import testbed

CANARIES = 4
# Enough restarts to be told from chance in a fleet that is minutes old.
DEPENDENTS = [f"com.example.Dependent{number}" for number in range(8)]
GOOD = "sleep 100000"
# It is well for as long as the deployment is watched, and not after.
FLAPPING = "echo loading; sleep 2; echo 'no such file: labels.txt'; exit 3"


class Gates(e2e.WithDevices):
    devices = 10

    def test_restarts_take_a_release_back(self):
        self.publish(e2e.NAME, "1.0.0", GOOD)
        self.publish(e2e.NAME, "1.1.0", FLAPPING)
        for name in DEPENDENTS:
            self.publish(name, "1.0.0", GOOD, ComponentDependencies={
                e2e.NAME: {"VersionRequirement": ">=1.0.0", "DependencyType": "HARD"}})
        rest = dict.fromkeys(DEPENDENTS, "1.0.0")
        for _, status, reason in self.fleet.deploy(self.group, {e2e.NAME: "1.0.0", **rest}):
            self.assertEqual(status, "SUCCEEDED", reason)
        plan = self.bed.directory / "rollout.json"
        plan.write_text(json.dumps({"stages": [
            {"devices": CANARIES, "bakeSeconds": 600, "gates": [{"metric": "componentRestarts"}]}, {"percent": 100}]}))
        release = [f"--component={name}={version}" for name, version in {e2e.NAME: "1.1.0", **rest}.items()]
        started = self.fleet.cli("rollout", "start", "--group", self.group, *release, "--rollout", plan)["rolloutId"]
        show = lambda: self.fleet.cli("rollout", "show", started)
        testbed.wait_for("the rollout is back", lambda: show()["phase"] == "rolledBack", 240, alive=self.all)
        rollout = show()
        self.assertIn("gate componentRestarts", rollout["reason"])
        self.assertEqual(rollout["devices"]["succeeded"], CANARIES)
        for device in self.all:
            testbed.wait_for("everybody runs the version before",
                             lambda device=device: device.components().get(e2e.NAME) == ("1.0.0", "RUNNING"), alive=self.all)
        # What they wrote when they failed is known without asking them.
        failures = [self.fleet.cli("status", "--device", device.thing)["component_history"].get("lastFailure")
                    for device in self.all]
        told = [failure for failure in failures if failure]
        self.assertEqual(len(told), CANARIES)
        for failure in told:
            self.assertEqual((failure["version"], failure["code"], failure["log"]),
                             ("1.1.0", "RUN_ERROR", ["loading", "no such file: labels.txt"]))


if __name__ == "__main__":
    e2e.main()
