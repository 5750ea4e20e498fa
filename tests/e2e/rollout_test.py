"""`./dev demo rollout --once`: a bad model is found out at the canaries and taken back, and nothing is left behind.

    rollout_test.py BIN_DIR
"""

import demos
import e2e


class RolloutDemo(demos.Demos):
    story = "rollout"

    def test_forty_devices(self):
        measured = self.measured(self.start())
        self.assertEqual(measured["devices"], 40)
        self.assertEqual(measured["stages"], 3)
        self.assertEqual(measured["caught_at_percent"], 10)
        self.assertEqual(measured["devices_with_bad_release"], 4)
        self.assertIs(measured["all_back"], True)
        self.assertGreater(measured["rollback_s"], 0)
        self.assertGreater(measured["requests"], 1000)
        self.assertEqual(measured["lost"], 0)
        self.check_that_nothing_is_left()

    def test_interrupted(self):
        self.interrupt_after("stage 1 of 3 begins")


if __name__ == "__main__":
    e2e.main()
