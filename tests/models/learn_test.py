"""skerry learn simulate on real images dealt to devices, in stock ONNX Runtime: it learns, the same for a seed, robust
strategies outlast attackers, privacy is counted and ends the training, and what cannot work is refused.

    learn_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import json
import pathlib
import sys
import tempfile
import unittest

from commands import ENGINE, ROOT, skerry

sys.path[:0] = [str(ROOT / "examples/demo")]
import federated as demo  # noqa: E402  its model and its rows


class Learn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry_learn_")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        (cls.folder / "net.onnx").write_bytes(demo.untrained_model())
        cls.rows = demo.write_rows(cls.folder, 2000, 500)

    def simulate(self, name, *more, code=0):
        done = skerry(*demo.simulate(self.folder / "net.onnx", self.folder / name, self.rows, ENGINE), *more, code=code)
        return json.loads(done.stdout) if code == 0 else done.stderr

    def test_devices_learn_together_though_some_vanish(self):
        options = ("--devices", "10", "--rounds", "5", "--updates", "5", "--quorum", "2", "--dropped", "0.2", "--rate", "0.1",
                   "--partition", "dirichlet=1")
        report = self.simulate("calm", *options)
        self.assertLess(report["accuracyBefore"], 0.3)
        self.assertGreater(report["accuracy"], 0.55)
        self.assertEqual([1, 2, 3, 4, 5], [one["round"] for one in report["rounds"]])
        again = self.simulate("again", *options)
        self.assertEqual((self.folder / "calm/model.onnx").read_bytes(), (self.folder / "again/model.onnx").read_bytes())
        self.assertEqual(report["rounds"], again["rounds"])

    def test_a_robust_strategy_outlasts_attackers_and_no_number_that_is_none_gets_in(self):
        options = ("--devices", "9", "--rounds", "4", "--updates", "9", "--over-selection", "1", "--rate", "0.1",
                   "--malicious", "2")
        mean = self.simulate("mean", *options, "--attack", "scale")
        robust = self.simulate("robust", *options, "--attack", "scale", "--strategy", "median")
        self.assertGreater(robust["accuracy"], mean["accuracy"] + 0.2)
        broken = self.simulate("nan", *options, "--attack", "nan", "--quorum", "5")
        self.assertEqual(8, broken["refused"])
        self.assertGreater(broken["accuracy"], 0.5)

    def test_privacy_is_counted_and_ends_the_training(self):
        report = self.simulate("private", "--devices", "50", "--rounds", "100", "--updates", "10", "--over-selection", "1",
                               "--quorum", "1", "--clip", "1", "--noise", "1", "--epsilon-limit", "8")
        self.assertLess(len(report["rounds"]), 100)
        self.assertGreater(len(report["rounds"]), 3)
        self.assertLessEqual(report["epsilon"], 8)
        spent = [one["epsilon"] for one in report["rounds"]]
        self.assertEqual(sorted(spent), spent)

    def test_what_cannot_work_is_refused(self):
        self.assertIn("there is no strategy", self.simulate("bad", "--strategy", "magic", code=1))
        self.assertIn("there is no partition", self.simulate("bad", "--partition", "shards", code=1))
        self.assertIn("longest update", self.simulate("bad", "--noise", "1", code=1))
        self.assertIn("quorum", self.simulate("bad", "--updates", "2", "--quorum", "3", code=1))
        self.assertIn("do not go round", self.simulate("bad", "--devices", "3000", code=1))


if __name__ == "__main__":
    unittest.main()
