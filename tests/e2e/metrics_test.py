"""Metrics from a component with the stock SDK to the fleet's history: with no fleet, over restarts, each once.

    metrics_test.py BIN_DIR
"""

import json
import os
import sys
from pathlib import Path

import e2e
import testbed
import yaml

HERE = Path(__file__).resolve().parent
COUNTER = "com.example.Counter"
COUNT = 150


class Metrics(e2e.EndToEnd):
    # The SDK is in the invoking user's cache, which users of components could not read.
    provision_options = ("--user", "root") if os.geteuid() == 0 else ()

    def setUp(self):
        super().setUp()
        config = yaml.safe_load(self.device.config_path.read_text())
        config["services"]["aws.greengrass.Nucleus"]["configuration"]["skerry"] = {"metricsIntervalMs": 300}
        self.device.config_path.write_text(json.dumps(config))

    def publish_counter(self, version):
        allowed = {"p": {"operations": ["aws.greengrass#PutComponentMetric"], "resources": ["*"]}}
        self.publish(COUNTER, version, f"exec {sys.executable} {{artifacts:path}}/counter.py {COUNT}",
                     {"counter.py": (HERE / "components/counter.py").read_bytes()},
                     ComponentConfiguration={"DefaultConfiguration": {
                         "accessControl": {"aws.greengrass.ipc.componentmetric": allowed}}})

    @staticmethod
    def frames(answer, name="Frames"):
        return next((each for each in answer["series"] if each["component"] == COUNTER and each["name"] == name),
                    {"count": 0})

    def on_device(self):
        return self.fleet.cli("device", "metrics", self.device.directory)

    def at_the_fleet(self, *options):
        return self.fleet.cli("metrics", *options)

    def test_each_value_counts_once_whoever_restarts(self):
        self.publish_counter("1.0.0")
        self.start_device()
        self.must_deploy({COUNTER: "1.0.0"})
        self.fleet.kill()  # while values come
        self.wait_for_output(COUNTER, f"{COUNT} were taken")
        testbed.wait_for("the device keeps them", lambda: self.frames(self.on_device())["count"] == COUNT)
        wait = self.frames(self.on_device(), "Wait")
        self.assertAlmostEqual(wait["max"], 0.001 * COUNT)
        self.assertAlmostEqual(wait["p50"], 0.001 * COUNT / 2, delta=0.001 * COUNT / 8)
        self.device.stop()  # and again: what was put until then is kept
        self.device.start()
        self.fleet.start()
        log = self.device.component_log(COUNTER)
        testbed.wait_for("the component has put all again", lambda: log.read_text().count(f"{COUNT} were taken") == 2,
                         alive=[self.device])
        testbed.wait_for("the fleet has all",
                         lambda: self.frames(self.at_the_fleet(e2e.THING))["count"] >= 2 * COUNT, 120)
        for options in ((e2e.THING,), (e2e.THING, "--per", "hour"), ("--group", e2e.GROUP, "--per", "day")):
            self.assertEqual(self.frames(self.at_the_fleet(*options))["count"], 2 * COUNT, options)
        seen = {each["name"] for each in self.at_the_fleet(e2e.THING)["series"]}
        self.assertLessEqual({"CpuUsage", "SystemMemUsage", "TotalNumberOfFDs", "DiskFree",
                              "NumberOfComponentsRunning"}, seen)


if __name__ == "__main__":
    e2e.main()
