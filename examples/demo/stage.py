"""What demos have in common: options, an end that cleans up, and a rollout's timeline as it happens."""

import contextlib
import json
import os
import signal
from pathlib import Path

import screen as screens
import testbed
from testbed import Failure


def add_options(parser):
    parser.add_argument("--once", action="store_true",
                        help="end after the checks; exit code 0 where all is well, 1 otherwise")
    parser.add_argument("--bin-dir", type=Path, default=testbed.ROOT / "build/release/bin",
                        metavar="DIR", help="where the programs are (default: %(default)s)")


def play(name, arguments, make):
    """Runs the demo that `make(bed, screen)` gives; the program's exit code. Ctrl-C removes everything, too."""
    screen = screens.Screen()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        with testbed.Testbed(name, arguments.bin_dir) as bed:
            os.environ["TMPDIR"] = str(bed.directory)  # where ONNX Runtime leaves a file
            demo = make(bed, screen)
            try:
                demo.run()
            except (TimeoutError, OSError, LookupError) as error:
                raise Failure(f"{type(error).__name__}: {error}") from error
            if not arguments.once:
                demo.show_next_commands()
                wait_for_interrupt()
    except KeyboardInterrupt:
        screen.line("\ndemo: interrupted; everything is stopped and removed")
        return 130
    except Failure as failure:
        screen.line(f"\ndemo: failed: {failure}")
        return 1
    screen.line(f"\ndemo: ok {json.dumps(demo.measured)}")
    return 0


def interrupt(*_):
    """Ends the demo; what comes while it cleans up is ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def wait_for_interrupt():
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


OVER = ("completed", "canceled", "rolledBack", "superseded", "targetGone")


class Follower:
    """Prints what is new of a rollout at each look: its history, and a bar of the versions that answer."""

    def __init__(self, fleet, screen, rollout_id):
        self._fleet = fleet
        self._screen = screen
        self._id = rollout_id
        self._told = 0
        self._bar = None

    def look_until_over(self, answering=None):
        """The rollout, or nothing while it goes on. `answering`: {version: devices}."""
        rollout = self._fleet.cli("rollout", "show", self._id)
        for line in self._fleet.cli("rollout", "history", self._id)["history"][self._told:]:
            self._told += 1
            colour = screens.RED if line["text"].startswith("rollingBack") else screens.DIM
            self._screen.step("", self._screen.paint(line["text"], colour))
        if answering and (bar := self._bar_of(answering)) != self._bar:
            self._screen.step("fleet", bar)
            self._bar = bar
        return rollout if rollout["phase"] in OVER else None

    def _bar_of(self, answering):
        marks = ""
        for (version, count), colour in zip(sorted(answering.items(), key=str), (screens.DIM, screens.GREEN, screens.RED)):
            marks += self._screen.paint(str(version).split(".")[1][:1] * count, colour)
        return f"[{marks}]  " + ", ".join(f"{count} × {version}" for version, count in sorted(answering.items(), key=str))


def stages_begun(history):
    return sum(line["text"].startswith("stage ") and line["text"].endswith(" begins") for line in history)


def seconds_between(history, first, last):
    """Between the first lines of a rollout's history that begin so, by the fleet's clock."""
    at = lambda text: next(line["timestamp"] for line in history if line["text"].startswith(text))
    return at(last) - at(first)
