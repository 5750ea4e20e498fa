"""`./dev demo federated --once`: twenty devices teach a model, under masks and with noise, that another then serves.

    federated_test.py BIN_DIR
"""

import demos
import e2e

KEYS = {"devices", "rounds", "accuracy_start", "accuracy_end", "epsilon", "dropped", "server_rss_mb"}


class FederatedDemo(demos.Demos):
    story = "federated"

    def test_what_devices_have_taught_is_served(self):
        measured = self.measured(self.start())
        self.assertLessEqual(KEYS, measured.keys())
        self.assertEqual(20, measured["devices"])
        self.assertGreaterEqual(measured["rounds"], 9)  # of 12: one that made the model worse does not count
        self.assertLess(measured["accuracy_start"], 0.3)
        self.assertGreater(measured["accuracy_end"], 0.45)
        self.assertLessEqual(measured["epsilon"], 10)
        self.assertGreaterEqual(measured["dropped"], 1)
        self.check_that_nothing_is_left()

    def test_interrupted(self):
        self.interrupt_after("learning")


if __name__ == "__main__":
    e2e.main()
