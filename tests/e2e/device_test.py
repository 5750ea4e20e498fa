"""A device through the bad days of its life: damaged artifacts, a server that dies, SIGKILL.

    device_test.py BIN_DIR
"""

import json
import os
import signal
import subprocess
import unittest
from pathlib import Path

import e2e
import testbed
from e2e import NAME, THING

SERVICE = "exec sleep infinity"


class Device(e2e.EndToEnd):
    def blob(self, content):
        """The fleet's file that holds exactly this artifact."""
        return next(path for path in (self.fleet.directory / "artifacts").rglob("*")
                    if path.is_file() and path.read_bytes() == content)

    def component_pids(self):
        return testbed.processes_with(f"SKERRY_TEST_PART={self.bed.directory}")

    def marked(self, script):
        """A script whose processes are found again, whatever becomes of them."""
        return f"export SKERRY_TEST_PART={self.bed.directory}; {script}"

    def test_a_damaged_artifact_changes_nothing(self):
        self.start_device()
        self.publish(NAME, "1.0.0", self.marked(SERVICE), {"data": b"first"})
        self.must_deploy({NAME: "1.0.0"})
        running = self.component_pids()
        self.assertTrue(running)
        damages = {"1.1.0": lambda content: content[:-1], "1.2.0": lambda content: content.replace(b"e", b"3")}
        for version, damage in damages.items():
            content = f"the one of version {version}".encode()
            self.publish(NAME, version, self.marked(SERVICE), {"data": content})
            self.blob(content).write_bytes(damage(content))
            status, reason = self.deploy({NAME: version})
            self.assertEqual(status, "FAILED", reason)
            self.assertIn("SHA-256", reason)
            self.assertIn(f"{NAME} {version}, artifact data", reason)
            self.assertEqual(self.component_pids(), running)
        self.publish(NAME, "1.3.0", self.marked(SERVICE), {"data": b"whole"})
        self.must_deploy({NAME: "1.3.0"})

    def test_what_a_deployment_needed_goes_back_to_the_machine(self):
        self.start_device()
        self.publish(NAME, "1.0.0", SERVICE, {"small": b"small"})
        self.must_deploy({NAME: "1.0.0"})
        before = testbed.memory_mb(self.device.pid, "skerryd")["anonymous"]
        self.publish(NAME, "1.1.0", SERVICE, {"large": os.urandom(1 << 20) * 64})
        self.must_deploy({NAME: "1.1.0"})
        testbed.wait_for("the memory of the deployment to be given back", lambda:
                         testbed.memory_mb(self.device.pid, "skerryd")["anonymous"] < before + 1)
        mapped = Path(f"/proc/{self.device.pid}/maps").read_text()
        for library in ("libcurl", "libxml2", "libicu", "libsqlite3"):
            self.assertNotIn(library, mapped, "the nucleus does not need it, and each device's memory would pay for it")

    def test_a_server_killed_during_a_download(self):
        self.start_device()
        self.publish(NAME, "1.0.0", SERVICE, {"large": os.urandom(1 << 20) * 128, "small": b"small"})
        deployment = self.begin_deployment({NAME: "1.0.0"})
        self.device.wait_for_log("deployment", "planned")
        self.fleet.kill()
        self.device.wait_for_log("deployment", "waiting to try again")
        self.assertFalse([record for record in self.device.log() if record["message"] == "fetched"],
                         "the download was over before the server was killed")
        self.fleet.start()
        self.assertEqual(self.wait_for_end(deployment)[0], "SUCCEEDED")

    def test_the_operator_controls_components_with_no_fleet(self):
        self.start_device()
        self.publish(NAME, "1.0.0", self.marked(SERVICE))
        self.must_deploy({NAME: "1.0.0"})
        self.fleet.kill()

        def ask(*words):
            answer = subprocess.run([self.bed.program("skerry"), "--json", "device", *words], capture_output=True,
                                    text=True, timeout=60)
            return json.loads(answer.stdout) if answer.returncode == 0 else json.loads(answer.stderr)["error"]["message"]

        def state():
            return {each["componentName"]: each["state"] for each in
                    ask("components", self.device.root)["components"]}[NAME]
        self.assertEqual(state(), "RUNNING")
        first = self.component_pids()
        ask("restart", self.device.root, NAME)
        testbed.wait_for("another process", lambda: set(self.component_pids()) - set(first) and state() == "RUNNING")
        self.assertIn("is not paused", ask("resume", self.device.root, NAME))
        ask("pause", self.device.root, NAME)
        ask("resume", self.device.root, NAME)
        ask("stop", self.device.root, NAME)
        testbed.wait_for("it to be stopped", lambda: state() == "FINISHED" and not self.component_pids())
        self.assertIn("not found", ask("restart", self.device.root, "none"))
        self.assertIn("no device has run", ask("components", self.bed.directory / "nowhere"))

    def test_a_broker_that_restarts(self):
        self.start_device()
        self.publish(NAME, "1.0.0", SERVICE)
        log_start = self.device.log_size()
        [broker] = [pid for pid in testbed.process_tree(self.fleet.pid) if testbed.program_of(pid) == "mosquitto"]
        os.kill(broker, signal.SIGKILL)
        self.device.wait_for_log("mqtt", "disconnected", log_start)
        deployment = self.begin_deployment({NAME: "1.0.0"})
        self.assertEqual(self.wait_for_end(deployment)[0], "SUCCEEDED")

    def test_a_server_that_restarts_while_the_device_is_away(self):
        self.start_device()
        self.device.kill()
        self.publish(NAME, "1.0.0", SERVICE)
        deployment = self.begin_deployment({NAME: "1.0.0"})
        self.fleet.kill()
        self.fleet.start()
        self.start_device()
        self.assertEqual(self.wait_for_end(deployment)[0], "SUCCEEDED")

    def test_nothing_outlives_a_killed_nucleus(self):
        self.start_device()
        daemon = "(setsid sh -c 'setsid sleep infinity & sleep infinity' &) ; trap '' TERM; sleep infinity & wait"
        self.publish(NAME, "1.0.0", self.marked(daemon))
        self.must_deploy({NAME: "1.0.0"})
        self.assertGreaterEqual(len(self.component_pids()), 4)
        self.device.kill()
        testbed.wait_for("the component's processes are gone", lambda: not self.component_pids())

    def test_a_component_that_crashes_late_is_rolled_back(self):
        self.start_device()
        self.publish(NAME, "1.0.0", SERVICE)
        self.publish(NAME, "1.1.0", "sleep 0.2; echo it hurts; exit 7")
        self.must_deploy({NAME: "1.0.0"})
        status, reason = self.deploy({NAME: "1.1.0"})
        self.assertEqual(status, "FAILED")
        self.assertIn("exit code 7", reason)
        self.assertIn("it hurts", reason)
        self.wait_for_components({NAME: ("1.0.0", "RUNNING")})
        [last, _] = self.fleet.cli("status", "--device", THING)["deployments"][:2]
        self.assertIn("it hurts", last["reason"])


class LongNames(e2e.EndToEnd):
    """As long as the service model allows, with every character that it allows."""

    thing = "Press:7_a-" + "t" * 118
    group = "Line:A_b-" + "g" * 119

    def test_they_work_from_provisioning_to_the_status(self):
        component = "com.example-" + "c" * 116
        connect = ("import os, socket; s = socket.socket(socket.AF_UNIX); "
                   "s.connect(os.environ['AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT']); print('is connected')")
        self.start_device()
        self.publish(component, "1.0.0", f"echo I am $AWS_IOT_THING_NAME; python3 -c \"{connect}\" && {SERVICE}",
                     {"a" * 200: b"data"})
        self.must_deploy({component: "1.0.0"})
        self.wait_for_output(component, f"I am {self.thing}")
        self.wait_for_output(component, "is connected")
        self.wait_for_components({component: ("1.0.0", "RUNNING")})
        self.device.kill()
        self.start_device()
        self.publish(component, "1.1.0", SERVICE, lifecycle={"Install": "exit 3"})
        status, reason = self.deploy({component: "1.1.0"})
        self.assertEqual(status, "FAILED")
        self.assertIn("exit code 3", reason)
        self.wait_for_components({component: ("1.0.0", "RUNNING")})


class Users(e2e.EndToEnd):
    WHO = "echo I am $(id -u); exec sleep infinity"

    def uid_of(self, component):
        self.wait_for_output(component, "I am ")
        return int(self.device.component_log(component).read_text().rpartition("I am ")[2].split()[0])

    @unittest.skipUnless(os.geteuid() == 0, "only root can become other users")
    def test_as_root_each_component_is_a_user_of_its_own(self):
        self.start_device()
        for name in (NAME, "com.example.Other"):
            self.publish(name, "1.0.0", self.WHO)
        self.must_deploy({NAME: "1.0.0", "com.example.Other": "1.0.0"})
        uids = {0, self.uid_of(NAME), self.uid_of("com.example.Other")}
        self.assertEqual(len(uids), 3, uids)

    def test_unprivileged_they_run_as_the_invoking_user(self):
        uid, before = os.geteuid(), ()
        if uid == 0:
            uid, before = 65534, ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
            subprocess.run(["chown", "-R", "65534:65534", self.device.directory], check=True)
        self.start_device(before=before)
        self.publish(NAME, "1.0.0", self.WHO, {"data": b"data"})
        self.publish(NAME, "1.1.0", self.WHO + " # again", {"data": b"more"})
        self.must_deploy({NAME: "1.0.0"})
        self.assertEqual(self.uid_of(NAME), uid)
        self.must_deploy({NAME: "1.1.0"})
        self.publish(NAME, "1.2.0", {"RequiresPrivilege": True, "Script": self.WHO})
        status, reason = self.deploy({NAME: "1.2.0"})
        self.assertEqual(status, "FAILED")
        self.assertIn("requires privilege", reason)
        self.wait_for_components({NAME: ("1.1.0", "RUNNING")})


if __name__ == "__main__":
    e2e.main()
