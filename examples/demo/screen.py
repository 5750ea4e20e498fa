"""What the demo prints: steps with the time they were reached at, timelines, colours on a terminal only."""

import itertools
import os
import sys
import textwrap
import time

GREEN, YELLOW, RED, DIM, BOLD = "32", "33", "31", "2", "1"


class Screen:
    def __init__(self, out=sys.stdout):
        self._out = out
        self._colours = out.isatty() and not os.environ.get("NO_COLOR")
        self._started = time.monotonic()

    def paint(self, text, colour):
        return f"\033[{colour}m{text}\033[0m" if self._colours else text

    def line(self, text=""):
        print(text, file=self._out, flush=True)

    def heading(self, text):
        self.line(f"\n{self.paint(text, BOLD)}")

    def step(self, what, text):
        seconds = self.paint(f"{time.monotonic() - self._started:5.1f} s", DIM)
        self.line(f"{seconds}  {what:<10} {text}")

    def detail(self, text):
        self.line(f"{'':19} {text}")

    def paragraph(self, text):
        for line in textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False):
            self.detail(line)

    def timeline(self, detection):
        marks = "".join(self.paint("".join(same), {"#": GREEN, "-": YELLOW}.get(mark, DIM))
                        for mark, same in itertools.groupby(detection["timeline"]))
        padding = " " * max(0, 50 - len(detection["timeline"]))
        spans = "  ".join(f"{span['start_s']:.2f}-{span['end_s']:.2f}" for span in detection["speech"])
        self.detail(f"{detection['recording']:<17} {marks}{padding} {spans or 'no speech'}")
