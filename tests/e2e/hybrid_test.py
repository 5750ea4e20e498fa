"""`./dev demo hybrid --once`: real images, a network that is cut and restored, an aged camera that is found out.

    hybrid_test.py BIN_DIR
"""

import demos
import e2e

KEYS = {"bytes_raw", "bytes_sent", "recall", "escalated_percent", "accuracy_local", "accuracy_cascade",
        "accuracy_remote", "drift_detected_after", "false_alarms", "lost"}


class HybridDemo(demos.Demos):
    story = "hybrid"

    def test_nothing_is_lost_and_what_is_measured_makes_sense(self):
        measured = self.measured(self.start())
        self.assertLessEqual(KEYS, measured.keys())
        self.assertEqual((measured["lost"], measured["answered_while_cut"]), (0, 400))
        self.assertGreater(measured["flagged_while_cut"], 50)
        self.assertLess(measured["bytes_sent"], 0.7 * measured["bytes_raw"])
        self.assertGreater(measured["recall"], 0.75)  # 0.9 of all bags, of the sixty of a day
        self.assertGreater(measured["accuracy_cascade"], measured["accuracy_local"] + 0.04)
        self.assertGreater(measured["accuracy_cascade"], measured["accuracy_remote"] - 0.04)
        self.assertLessEqual(measured["drift_detected_after"], 200)
        self.assertLessEqual(measured["false_alarms"], 1)
        self.check_that_nothing_is_left()

    def test_interrupted(self):
        self.interrupt_after("cut: no bigger model")


if __name__ == "__main__":
    e2e.main()
