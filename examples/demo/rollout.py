"""`./dev demo rollout`: a release goes through a fleet by stages; the next one is healthy but worse, and takes itself back.

Every device is a skerryd of its own that runs a skerry-infer of its own, with callers that never stop. The programs and
ONNX Runtime are in the devices' image, as a folder that all of them share; what is deployed are the models. Nothing
of what is printed at the end is assumed: the fleet's API and the callers' answers say it.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent / "tools")]

import callers
import packages
import parts_model
import screen as screens
import stage
import testbed
from packages import INFER
from testbed import Failure

GROUP = "line-a"
MODEL = "com.example.PartsModel"
GOOD, BETTER, WORSE = "1.0.0", "1.1.0", "1.2.0"
CALLS_EVERY_S = 0.25  # by device
SUMMARY_S = 1  # a minute in real life
# The canaries are watched for so long that their summaries are there.
PLAN = {"stages": [{"percent": 10, "bakeSeconds": 4,
                    "gates": [{"metric": "deploymentFailures"}, {"metric": "meanConfidence", "tolerance": 0.02}]},
                   {"percent": 50, "bakeSeconds": 2},
                   {"percent": 100, "bakeSeconds": 1}]}
START_AT_ONCE = 4


class RolloutDemo:
    def __init__(self, bed, screen, devices):
        self.bed = bed
        self.fleet = bed.fleet
        self.screen = screen
        self.devices = [bed.device(f"camera-{number:02}") for number in range(1, devices + 1)]
        self.image = bed.directory / "image"
        self.plan_path = bed.directory / "rollout.json"
        self.callers = None
        self.measured = {}

    def run(self):
        self.start()
        self.first_release()
        self.good_release()
        self.worse_release()
        self.finish()

    # --- The story ------------------------------------------------------------------------------

    def start(self):
        self.screen.heading(f"A control plane and {len(self.devices)} devices")
        info = self.fleet.start()
        self.screen.step("fleet", f"console {info['console_url']}")
        self.fleet.cli("group", "create", GROUP)
        self.make_image()
        self.plan_path.write_text(json.dumps(PLAN))
        with concurrent.futures.ThreadPoolExecutor(START_AT_ONCE) as pool:
            published = pool.submit(self.publish)
            list(pool.map(self.start_device, self.devices))
            published.result()
        for device in self.devices:
            device.wait_for_log("nucleus", "connected")
        self.screen.step("devices", f"{len(self.devices)} are connected")

    def first_release(self):
        self.screen.heading("What runs today")
        self.screen.step("deploy", f"{INFER} 0.1.0, {MODEL} {GOOD} to all of them")
        states = self.fleet.deploy(GROUP, {INFER: "0.1.0", MODEL: GOOD})
        failed = [state for state in states if state[1] != "SUCCEEDED"]
        if failed or len(states) != len(self.devices):
            raise Failure(f"the first deployment failed on {failed[:3]}, {len(states)} devices were asked")
        self.callers = callers.Callers([self.caller_of(device) for device in self.devices])
        self.bed.at_exit(self.callers.stop)
        self.callers.start()
        self.wait_for_version(GOOD)
        self.show_callers()

    def good_release(self):
        self.screen.heading("A better model, by stages: 10 %, 50 %, 100 %")
        rollout = self.roll_out(BETTER)
        if rollout["phase"] != "completed":
            raise Failure(f"the good release is {rollout['phase']}: {rollout['reason']}")
        self.wait_for_version(BETTER)
        self.measured["stages"] = stage.stages_begun(self.history(rollout["rolloutId"]))
        self.show_callers()

    def worse_release(self):
        self.screen.heading("A model that is healthy, and worse: its confidence falls")
        rollout = self.roll_out(WORSE)
        if rollout["phase"] != "rolledBack":
            raise Failure(f"the worse release is {rollout['phase']}: {rollout['reason']}")
        gate = next((gate for gate in rollout["gates"] if gate["verdict"] == "worse"), None)
        if gate is None or gate["metric"] != "meanConfidence":
            raise Failure(f"it was not the confidence that stopped the release: {rollout['gates']}")
        self.wait_for_version(BETTER)
        history = self.history(rollout["rolloutId"])
        self.measured.update(
            caught_at_percent=round(100 * rollout["devices"]["asked"] / rollout["members"], 2),
            caught_after_s=round(stage.seconds_between(history, "stage 1", "rollingBack"), 3),
            rollback_s=round(stage.seconds_between(history, "rollingBack", "rolledBack"), 3))
        self.show_callers()

    def finish(self):
        self.callers.stop()
        had_it = self.callers.things_that_answered(WORSE)
        self.measured.update(
            devices=len(self.fleet.cli("status")["devices"]), devices_with_bad_release=len(had_it),
            all_back=self.everyone_runs(BETTER), requests=self.callers.requests, lost=self.callers.lost)
        if self.measured["lost"] or not self.measured["requests"]:
            raise Failure(f"{self.measured['lost']} of {self.measured['requests']} requests were lost: "
                          f"{self.callers.errors[:3]}")
        if not self.measured["all_back"]:
            raise Failure(f"not every device is back on {BETTER}")
        if not had_it:
            raise Failure("no device ever answered with the worse release, so nothing was shown")
        self.screen.heading("Checked")
        self.screen.paragraph(
            f"{len(had_it)} of {self.measured['devices']} devices ever had the worse release; it was found out "
            f"{self.measured['caught_after_s']:.1f} s after its first stage had begun, and all were back "
            f"{self.measured['rollback_s']:.1f} s later. None of {self.measured['requests']} requests was lost.")

    # --- Its steps ------------------------------------------------------------------------------

    def make_image(self):
        """What a device's image has: readable by the users that components run as."""
        self.image.mkdir()
        for file in (self.bed.program("skerry-infer"), testbed.CACHE / "onnxruntime/lib/libonnxruntime.so"):
            shutil.copy(file.resolve(), self.image / file.name)
            (self.image / file.name).chmod(0o755)

    def publish(self):
        folder = self.bed.directory / "packages"
        self.fleet.cli("component", "publish", packages.infer_of_image(folder / "infer", self.image, SUMMARY_S))
        for version in (GOOD, BETTER, WORSE):
            path = folder / f"parts-{version}.onnx"
            path.write_bytes(parts_model.onnx_of(version))
            self.fleet.cli("model", "publish", path, *parts_model.publish_options(version, MODEL))

    def start_device(self, device):
        device.provision("--group", GROUP)
        device.start()

    def caller_of(self, device):
        rng = random.Random(device.thing)
        return callers.Caller(device.thing, device.root / "work" / INFER / "infer.sock", parts_model.NAME,
                              lambda: parts_model.part(rng), CALLS_EVERY_S)

    def roll_out(self, version):
        """The rollout once it is over; prints its timeline meanwhile."""
        self.screen.step("rollout", f"{MODEL} {version}")
        started = self.fleet.cli("rollout", "start", "--group", GROUP, "--keep", "--component", f"{MODEL}={version}",
                                 "--rollout", self.plan_path)
        follower = stage.Follower(self.fleet, self.screen, started["rolloutId"])
        return testbed.wait_for(f"the rollout of {version} is over",
                                lambda: follower.look_until_over(self.callers.answering()), 240,
                                alive=[*self.devices, self.callers])

    def history(self, rollout_id):
        return self.fleet.cli("rollout", "history", rollout_id)["history"]

    def wait_for_version(self, version):
        testbed.wait_for(f"every device answers with {version}",
                         lambda: self.callers.answering() == {version: len(self.devices)}, 120,
                         alive=[*self.devices, self.callers])

    def everyone_runs(self, version):
        """By what the fleet knows and by who has answered last."""
        def told():
            return all((MODEL, version) in [(each["name"], each["version"]) for each in device["components"]]
                       for device in self.fleet.cli("status")["devices"])

        with contextlib.suppress(Failure):  # the status comes after the job's end
            testbed.wait_for(f"every device says that it runs {version}", told, 30)
            return self.callers.answering() == {version: len(self.devices)}
        return False

    def show_callers(self):
        versions = ", ".join(f"{count} × {version}" for version, count in sorted(self.callers.answering().items()))
        errors = len(self.callers.errors)
        lost = self.screen.paint(f"{errors} lost", screens.RED if errors else screens.GREEN)
        self.screen.step("answers", f"{self.callers.requests} requests so far, {lost}; now {versions}")

    def show_next_commands(self):
        self.screen.heading("It stays up until Ctrl-C. Try, in another terminal:")
        for command in [f"export SKERRY_DIR={self.fleet.directory} PATH={self.bed.bin_dir}:$PATH",
                        "skerry rollout list",
                        "skerry rollout history",
                        f"skerry model show {MODEL} {WORSE}",
                        "skerry operator add ada --role admin"]:
            self.screen.line(f"  {command}")
        self.screen.line(f"\n  and log in as ada at {self.fleet.info['console_url']}")


def arguments_of():
    parser = argparse.ArgumentParser(prog="./dev demo rollout", description=__doc__.split("\n", 1)[0],
                                     epilog="Example: ./dev demo rollout --once")
    parser.add_argument("--devices", type=int, default=40, metavar="N",
                        help="at least 40, so that a tenth are enough to judge a model by (default: %(default)s)")
    stage.add_options(parser)
    arguments = parser.parse_args()
    if not 40 <= arguments.devices <= 200:
        parser.error("--devices: from 40 to 200")
    return arguments


def main():
    arguments = arguments_of()
    return stage.play("rollout", arguments, lambda bed, screen: RolloutDemo(bed, screen, arguments.devices))


if __name__ == "__main__":
    sys.exit(main())
