"""What the end-to-end tests share: a fleet, a device, and components of a few lines of shell."""

import json
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import testbed

GROUP = "line-a"
THING = "press-7"
NAME = "com.example.Part"


class EndToEnd(unittest.TestCase):
    """Each test has a fleet and a provisioned device of its own, not started yet."""

    thing, group = THING, GROUP
    provision_options = ()
    fleet_options = ()

    def setUp(self):
        self.bed = testbed.Testbed("e2e")
        self.prepare()
        self.addCleanup(self.close)
        self.fleet = self.bed.fleet
        self.fleet.start(*self.fleet_options)
        self.fleet.cli("group", "create", self.group)
        self.device = self.bed.device(self.thing)
        self.device.provision("--group", self.group, *self.provision_options)

    def prepare(self):
        """Before the fleet starts; what it leaves to addCleanup is undone after the fleet's end."""

    def close(self):
        if not self._outcome.success:
            print(self.bed.report(), file=sys.stderr)
        self.bed.close()

    def start_device(self, **options):
        start = self.device.log_size()
        self.device.start(**options)
        self.device.wait_for_log("nucleus", "connected", start)

    def publish(self, name, version, run, files=None, lifecycle=None, **recipe):
        """A component whose Run is `run`, with `files` {name: bytes} as its artifacts; archives are unpacked. `lifecycle`: more steps."""
        folder = self.bed.directory / "packages" / name / version
        folder.mkdir(parents=True)
        for file, content in (files or {}).items():
            (folder / file).write_bytes(content)
        document = {"RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version, **recipe,
                    "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"Run": run, **(lifecycle or {})},
                                   "Artifacts": [{"URI": f"file:{file}", "Unarchive": "ZIP" if file.endswith(".zip") else "NONE"}
                                                 for file in files or {}]}]}
        (folder / "recipe.yaml").write_text(json.dumps(document))
        return self.fleet.cli("component", "publish", folder / "recipe.yaml")

    def deploy(self, components, **options):
        """(status, reason) on the device."""
        [(_, status, reason)] = self.fleet.deploy(self.group, components, **options)
        return status, reason

    def must_deploy(self, components):
        status, reason = self.deploy(components)
        self.assertEqual(status, "SUCCEEDED", reason)

    def begin_deployment(self, components):
        """Without waiting for its end; its id."""
        arguments = ["deploy", "--group", self.group, "--keep"]
        for name, version in components.items():
            arguments += ["--component", f"{name}={version}"]
        return self.fleet.cli(*arguments)["deploymentId"]

    def wait_for_end(self, deployment_id, timeout_s=60):
        """(status, reason) of the deployment on the device, once it is closed."""
        def ended():
            for each in self.fleet.cli("status", "--device", self.thing)["deployments"]:
                if each["id"] == deployment_id and each["status"] not in ("QUEUED", "IN_PROGRESS"):
                    return each["status"], each.get("reason", "")
            return None

        return testbed.wait_for(f"deployment {deployment_id} is closed", ended, timeout_s, alive=[self.device])

    def wait_for_output(self, component, text, timeout_s=60):
        """Until the component has written `text` to its log."""
        path = self.device.component_log(component)
        testbed.wait_for(f"{component} writes '{text}'", lambda: path.exists() and text in path.read_text(), timeout_s,
                         alive=[self.device])

    def wait_for_components(self, expected, timeout_s=60):
        """Until the fleet knows that the device has exactly these: {name: (version, status)}."""
        testbed.wait_for(f"the device reports {expected}", lambda: self.device.components() == expected, timeout_s,
                         alive=[self.device])


class WithDevices(EndToEnd):
    """Each test has a fleet and so many started devices of one group: press-0, press-1, …"""

    thing, devices = "press-0", 1

    def setUp(self):
        super().setUp()
        self.all = [self.device]
        for number in range(1, self.devices):
            device = self.bed.device(f"press-{number}")
            device.provision("--group", self.group)
            self.all.append(device)
        for device in self.all:
            device.start()
        for device in self.all:
            device.wait_for_log("nucleus", "connected")


def main():
    """`TEST.py BIN_DIR [unittest's arguments]`"""
    os.environ["SKERRY_BIN_DIR"] = sys.argv.pop(1)
    unittest.main(verbosity=2)
