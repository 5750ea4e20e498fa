"""`./dev demo optimise --once`: from a float model to a device that serves a better one.

    optimise_test.py BIN_DIR
"""

import demos
import e2e

KEYS = {"fp32_us", "best_us", "engine", "size_ratio", "accuracy_drop_points", "seconds"}


class OptimiseDemo(demos.Demos):
    story = "optimise"

    def test_the_winner_is_deployed_and_serves(self):
        measured = self.measured(self.start())
        self.assertLessEqual(KEYS, measured.keys())
        self.assertLessEqual(measured["best_us"], measured["fp32_us"])
        self.assertLessEqual(measured["accuracy_drop_points"], 0.5)
        self.assertGreater(measured["size_ratio"], 0)
        self.assertEqual(measured["served"], 1000)
        self.assertGreater(measured["served_accuracy"], 0.85)
        self.check_that_nothing_is_left()

    def test_interrupted(self):
        self.interrupt_after("optimise")


if __name__ == "__main__":
    e2e.main()
