"""Rollouts by real devices while something real goes wrong: the control plane is killed in the middle of a stage and of a
roll-back, its disk is full, its broker is away.

    rollout_faults_test.py BIN_DIR

A full disk needs root, to mount a small one.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import e2e
import testbed

DEVICES, EARLY = 5, 3
OVER = ("completed", "canceled", "rolledBack", "superseded", "targetGone")
# A deployment takes long enough to be in the middle of it.
SLOW = {"Install": "sleep 2"}


class Released(e2e.WithDevices):
    """All run the first version."""

    devices = DEVICES

    def setUp(self):
        super().setUp()
        for version in ("1.0.0", "2.0.0"):
            self.publish(e2e.NAME, version, "sleep 100000", lifecycle=SLOW)
        for _, status, reason in self.fleet.deploy(self.group, {e2e.NAME: "1.0.0"}):
            self.assertEqual(status, "SUCCEEDED", reason)

    def begin(self, *stages, **plan):
        path = self.bed.directory / "rollout.json"
        path.write_text(json.dumps({"stages": stages, **plan}))
        self.rollout = self.fleet.cli("rollout", "start", "--group", self.group, "--component", f"{e2e.NAME}=2.0.0",
                                      "--rollout", path)["rolloutId"]

    def show(self):
        return self.fleet.cli("rollout", "show", self.rollout)

    def wait_until(self, what, holds, timeout_s=180):
        def rollout_that_holds():
            rollout = self.show()
            return rollout if holds(rollout) else None

        return testbed.wait_for(f"{what}; the rollout", rollout_that_holds, timeout_s, alive=self.all)

    def wait_for_phase(self, phase):
        rollout = self.wait_until(phase, lambda r: r["phase"] == phase or r["phase"] in OVER)
        self.assertEqual(rollout["phase"], phase, rollout)
        return rollout

    def kill_and_start(self):
        self.fleet.kill()
        self.fleet.start()

    def deployments_of(self, device):
        """Of which the device says that it did them, each as often as it did."""
        return [record["job"] for record in device.log()
                if record["module"] == "deployment" and record["message"] == "succeeded"]

    def check_versions(self, expected):
        """{device: version}, and that nobody did anything twice."""
        for device, version in expected.items():
            testbed.wait_for(f"{device.thing} runs {version}",
                             lambda device=device, version=version: device.components().get(e2e.NAME) == (version, "RUNNING"),
                             alive=self.all)
            done = self.deployments_of(device)
            self.assertEqual(len(done), len(set(done)), f"{device.thing} did one of {done} twice")

    def early(self):
        """Who has the release in the first stage."""
        found = [device for device in self.all if device.components().get(e2e.NAME) == ("2.0.0", "RUNNING")]
        self.assertEqual(len(found), EARLY)
        return found


class RolloutFaults(Released):
    def test_killed_in_the_middle_of_each_stage(self):
        self.begin({"devices": EARLY}, {"percent": 100})
        watch = subprocess.Popen([self.bed.program("skerry"), "--dir", self.fleet.directory, "rollout", "watch", self.rollout],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watch.kill)
        for asked in (EARLY, DEVICES):
            self.wait_until(f"{asked} are asked and somebody is at work", lambda r, asked=asked:
                            r["devices"]["asked"] == asked and r["devices"]["inProgress"] > 0)
            self.kill_and_start()
        rollout = self.wait_for_phase("completed")
        self.assertEqual((rollout["devices"]["succeeded"], rollout["devices"]["asked"]), (DEVICES, DEVICES))
        self.check_versions({device: "2.0.0" for device in self.all})
        told, problems = watch.communicate(timeout=60)  # it has outlasted both kills
        self.assertEqual(watch.returncode, 0, problems)
        self.assertIn("completed", told)

    def test_killed_in_the_middle_of_a_roll_back(self):
        self.begin({"devices": EARLY, "approval": True}, {"percent": 100})
        self.wait_for_phase("waitingForApproval")
        early = self.early()
        self.fleet.cli("rollout", "rollback", self.rollout)
        self.wait_until("somebody is on the way back", lambda r: r.get("rollback", {}).get("inProgress", 0) > 0)
        self.kill_and_start()
        rollout = self.wait_for_phase("rolledBack")
        self.assertEqual((rollout["rollback"]["succeeded"], rollout["rollback"]["asked"]), (EARLY, EARLY))
        self.check_versions({device: "1.0.0" for device in self.all})
        for device in self.all:  # who was not asked has heard of nothing
            self.assertEqual(len(self.deployments_of(device)), 3 if device in early else 1)

    def test_while_the_broker_is_away_nothing_bakes_and_nobody_is_late(self):
        bake_s, away_s = 10, 15
        self.begin({"devices": EARLY, "bakeSeconds": bake_s}, {"percent": 100})
        self.wait_for_phase("baking")
        [broker] = [pid for pid in testbed.process_tree(self.fleet.pid) if testbed.program_of(pid) == "mosquitto"]
        with socket.socket() as squatter:  # so that it stays away
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            os.kill(broker, signal.SIGKILL)

            def taken():
                with contextlib.suppress(OSError):
                    squatter.bind(("127.0.0.1", self.fleet.info["broker_port"]))
                    squatter.listen()
                    return True

            testbed.wait_for("the broker's port is ours", taken)
            time.sleep(away_s)
            rollout = self.show()
            self.assertEqual(rollout["phase"], "baking", rollout)
            self.assertEqual(rollout["devices"]["asked"], EARLY, "somebody was asked whom nobody could hear")
        rollout = self.wait_for_phase("completed")
        self.assertEqual(rollout["devices"]["succeeded"], DEVICES)
        self.check_versions({device: "2.0.0" for device in self.all})


class FullStore(Released):
    def prepare(self):
        disk = tempfile.TemporaryDirectory(prefix="skerry-full-store-")
        self.addCleanup(disk.cleanup)
        self.disk = Path(disk.name) / "disk"
        self.disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self.disk], capture_output=True).returncode:
            self.bed.close()
            self.skipTest("needs root and the right to mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk], check=True)
        Path(disk.name).chmod(0o755)
        self.bed.fleet.directory.symlink_to(self.disk)

    def fill(self):
        with open(self.disk / "filler", "ab", buffering=0) as filler:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(bytes(size))

    def refuse_more(self):
        """Once what the database's log had room for is used up."""
        with self.assertRaisesRegex(testbed.Failure, "full"):
            for number in range(2000):
                self.fleet.cli("group", "create", f"more-{number}")

    def test_a_release_goes_back_and_nobody_else_is_asked(self):
        self.begin({"devices": EARLY, "approval": True}, {"percent": 100})
        self.wait_for_phase("waitingForApproval")
        early = self.early()
        self.fill()
        self.refuse_more()
        self.fleet.cli("rollout", "rollback", self.rollout)
        rollout = self.show()
        self.assertEqual((rollout["phase"], rollout["devices"]["asked"]), ("rollingBack", EARLY))
        for device in early:  # it does on a full disk what it would do on any other
            testbed.wait_for(f"{device.thing} is back", lambda device=device: len(self.deployments_of(device)) == 3, 180,
                             alive=self.all)
        (self.disk / "filler").unlink()
        rollout = self.wait_for_phase("rolledBack")
        self.assertEqual((rollout["devices"]["asked"], rollout["rollback"]["succeeded"]), (EARLY, EARLY))
        self.check_versions({device: "1.0.0" for device in self.all})


if __name__ == "__main__":
    e2e.main()
