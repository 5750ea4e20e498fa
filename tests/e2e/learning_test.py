"""Devices that learn together for real: skerry-learn on each, with kinds of clothes of its own, a fleet that runs the
rounds, kills of both, and a model that is published and rolled out.

    learning_test.py BIN_DIR
"""

import json
import random
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "examples/demo"), str(ROOT / "src/runtime/testdata")]

import e2e
import fashion_mnist
import federated as demo
import numpy as np
import testbed
from testbed import wait_for

GROUP = "lab"
COMPONENT = "com.example.clothes"
DEVICES = 4
ROWS = 300  # of each device


class Learner(demo.Learner):
    def logged(self, text):
        return self.log_path.exists() and text in self.log_path.read_text(errors="replace")


class Learning(unittest.TestCase):
    def setUp(self):
        self.bed = testbed.Testbed("learning")
        self.addCleanup(self.close)
        self.fleet = self.bed.fleet
        self.fleet.start()
        self.fleet.cli("group", "create", GROUP)
        self.images = fashion_mnist.read("train-images-idx3-ubyte")
        self.labels = fashion_mnist.read("train-labels-idx1-ubyte")
        self.learners = [self.learner(index) for index in range(DEVICES)]
        self.publish()

    def close(self):
        for learner in self.learners:
            learner.kill()
        if not self._outcome.success:
            print(self.bed.report(), file=sys.stderr)
            for learner in self.learners:
                print(learner.name, testbed.tail(learner.log_path), sep="\n", file=sys.stderr)
        self.bed.close()

    def learner(self, index, *options):
        """Of device `index`, whose rows are mostly of a few kinds."""
        thing = f"dev-{index}"
        device = self.bed.device(thing)
        if not device.config_path.exists():
            device.provision("--group", GROUP)
        rows = demo.rows_of(index, self.labels, rows=ROWS, kinds=5)
        return Learner(self.bed, thing, self.images[rows], self.labels[rows], "--log-level", "debug", *options)

    def publish(self):
        service = self.bed.directory / "infer.yaml"
        service.write_text(json.dumps({"RecipeFormatVersion": "2020-01-25", "ComponentName": "skerry.Infer", "ComponentVersion": "0.1.0",
                                       "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"Run": "sleep 1000"}}]}))
        self.fleet.cli("component", "publish", service)
        self.model = self.bed.directory / "clothes.onnx"
        self.model.write_bytes(demo.untrained_model(random.Random(7)))
        self.fleet.cli("model", "publish", self.model, "--name", "clothes", "--version", "1.0.0", "--component", COMPONENT,
                       "--input", "image:FP32:-1,1,28,28", "--output", "scores:FP32:-1,10")

    def start(self, *options, model=None):
        started = self.fleet.cli("learn", "start", model or self.model, "--component", COMPONENT, "--from", "1.0.0", "--group", GROUP,
                                 "--data", "clothes", "--over-selection", "1", "--rate", "0.1", "--batch", "10", "--deadline", "10",
                                 *options)["trainingId"]
        # Devices that ask before find nothing, and ask again half a minute later.
        wait_for("the training is known to devices", lambda: "phase" in self.status(started)["progress"])
        return started

    def status(self, training):
        return self.fleet.cli("learn", "status", training)

    def rounds(self, training):
        return self.status(training)["progress"].get("rounds", 0)

    def wait_for_rounds(self, training, rounds):
        wait_for(f"{rounds} rounds", lambda: self.rounds(training) >= rounds, 180, alive=[])

    def test_they_learn_through_kills_of_both_sides_and_the_model_goes_out(self):
        plan = self.bed.directory / "plan.json"
        plan.write_text(json.dumps({"stages": [{"percent": 100}]}))
        training = self.start("--rounds", "5", "--updates", "3", "--quorum", "2", "--evaluators", "2", "--epochs", "2", "--version",
                              "1.1.0", "--rollout", plan)
        for learner in self.learners:
            learner.start()
        self.wait_for_rounds(training, 1)
        victim = self.learners[0]
        victim.kill()
        self.fleet.kill_and_wait()
        self.assertGreaterEqual(self.rounds(training), 1)
        victim.start()
        self.wait_for_rounds(training, 2)
        self.fleet.kill_and_wait()
        done = self.fleet.cli("learn", "watch", training, timeout_s=240)
        self.assertEqual("done", done["state"])
        committed = [one for one in done["progress"]["history"] if one["round"]]
        self.assertEqual([1, 2, 3, 4, 5], [one["round"] for one in committed])
        self.assertTrue(all(one["updates"] >= 2 for one in committed))
        self.assertGreater(committed[-1]["accuracy"], 0.45)
        # It is a model like any other.
        model = self.fleet.cli("model", "show", COMPONENT, "1.1.0")
        self.assertIn(training, json.dumps(model))
        rollouts = self.fleet.cli("rollout", "list")
        self.assertIn(done["rolloutId"], json.dumps(rollouts))
        # What was sent is no row: the server has none of them, byte by byte.
        kept = b"".join(path.read_bytes() for path in self.fleet.directory.rglob("*") if path.is_file())
        for row in np.load(self.bed.device("dev-0").directory / "images.npy"):
            self.assertNotIn(row.tobytes(), kept)

    def test_the_server_sees_the_sum_alone_whoever_vanishes(self):
        self.learners = [self.learner(index, "--only-secure") for index in range(5)]
        training = self.start("--rounds", "4", "--updates", "5", "--quorum", "3", "--evaluators", "2", "--epochs", "2", "--clip", "2",
                              "--secure")
        for learner in self.learners:
            learner.start()
        self.wait_for_rounds(training, 1)
        self.learners[0].kill()  # in the middle of a round: what it had agreed on is gone
        self.wait_for_rounds(training, 2)
        self.fleet.kill_and_wait()
        self.learners[0].start()
        done = self.fleet.cli("learn", "watch", training, timeout_s=240)
        self.assertEqual("done", done["state"])
        committed = [one for one in done["progress"]["history"] if one["round"]]
        self.assertTrue(all(one["updates"] >= 3 for one in committed))
        self.assertGreater(committed[-1]["accuracy"], 0.4)
        sent = [learner for learner in self.learners if learner.logged("sent a masked update")]
        self.assertGreaterEqual(len(sent), max(one["updates"] for one in committed))
        # A training without masks gets nothing of them.
        plain = self.start("--rounds", "1", "--updates", "2", "--quorum", "1", "--version", "1.2.0")
        wait_for("a refusal", lambda: self.learners[1].logged("wants secure aggregation"), 60)
        self.assertEqual(0, self.rounds(plain))

    def test_a_policy_is_the_devices_own(self):
        self.learners[0] = self.learner(0, "--min-rows", str(10 * ROWS))
        self.learners[1] = self.learner(1, "--min-noise", "1")
        training = self.start("--rounds", "1", "--updates", "4", "--quorum", "2")
        for learner in self.learners:
            learner.start()
        done = self.fleet.cli("learn", "watch", training, timeout_s=240)
        self.assertEqual("done", done["state"])
        self.assertEqual(2, done["progress"]["history"][-1]["updates"])
        self.assertEqual(2, done["progress"]["history"][-1]["refused"])
        self.assertTrue(self.learners[0].logged("are too few here"))
        self.assertTrue(self.learners[1].logged("wants noise"))

    def test_what_cannot_work_is_refused_and_a_training_can_be_stopped(self):
        other = self.bed.directory / "other.onnx"
        other.write_bytes(demo.untrained_model(random.Random(8)))
        with self.assertRaisesRegex(testbed.Failure, "has another model"):
            self.start("--rounds", "1", model=other)
        with self.assertRaisesRegex(testbed.Failure, "quorum"):
            self.start("--rounds", "1", "--updates", "1", "--quorum", "2")
        with self.assertRaisesRegex(testbed.Failure, "is published already"):
            self.start("--rounds", "1", "--version", "1.0.0")
        training = self.start("--rounds", "1000")
        with self.assertRaisesRegex(testbed.Failure, "makes com.example.clothes 1.1.0 already"):
            self.start("--rounds", "1")
        self.fleet.cli("learn", "stop", training)
        self.assertEqual("stopped", self.fleet.cli("learn", "watch", training)["state"])
        listed = self.fleet.cli("learn", "list")
        self.assertEqual([(training, "stopped")], [(one["trainingId"], one["state"]) for one in listed])


if __name__ == "__main__":
    e2e.main()
