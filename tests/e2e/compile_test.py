"""`./dev demo compile --once` says ok with what it measured, and leaves nothing behind; nor does an interrupted one.

    compile_test.py BIN_DIR
"""

import demos
import e2e

KEYS = {"model_us", "compiled_us", "compiled_speedup", "requests", "lost"}


class Compile(demos.Demos):
    story = "compile"

    def test_the_same_speech_found(self):
        measured = self.measured(self.start())
        self.assertLessEqual(KEYS, measured.keys())
        self.assertEqual(measured["lost"], 0)
        self.check_that_nothing_is_left()

    def test_interrupted(self):
        self.interrupt_after("The same model compiled")


if __name__ == "__main__":
    e2e.main()
