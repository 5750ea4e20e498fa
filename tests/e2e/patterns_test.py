"""`./dev demo patterns --once` says ok with what it measured, and leaves nothing behind; nor does an interrupted one.

    patterns_test.py BIN_DIR
"""

import demos
import e2e

KEYS = {"sync_p50_us", "batch_rows_per_s", "stream_windows", "pipeline_p50_us", "user_code_lines", "lost"}


class Patterns(demos.Demos):
    story = "patterns"

    def test_every_pattern_without_code(self):
        measured = self.measured(self.start())
        self.assertLessEqual(KEYS, measured.keys())
        self.assertEqual((measured["lost"], measured["user_code_lines"]), (0, 0))
        self.assertGreater(measured["stream_windows"], 100)
        self.check_that_nothing_is_left()

    def test_interrupted(self):
        self.interrupt_after("Everything in one deployment")


if __name__ == "__main__":
    e2e.main()
