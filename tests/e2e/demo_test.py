"""`./dev demo --once`: two at once say ok, with what they measured, and leave nothing behind; nor does an interrupted one.

    demo_test.py BIN_DIR
"""

import demos
import e2e

KEYS = {"deployment_s", "rollback_s", "inference_p50_us", "inference_p99_us", "requests", "lost", "skerryd_pss_mb",
        "fleet_pss_mb", "infer_pss_mb", "start_to_connected_ms", "model_us", "compiled_us", "compiled_speedup"}


class Demo(demos.Demos):
    def test_two_at_once(self):
        for demo in [self.start(), self.start()]:
            measured = self.measured(demo)
            self.assertLessEqual(KEYS, measured.keys())
            self.assertEqual(measured["lost"], 0)
            self.assertGreater(measured["requests"], 100)
            self.assertEqual((measured["canary_devices"], measured["canaries_asked"]), (6, 3))
        self.check_that_nothing_is_left()

    def test_interrupted(self):
        self.interrupt_after("First deployment")


if __name__ == "__main__":
    e2e.main()
