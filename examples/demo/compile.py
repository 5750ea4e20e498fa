"""`./dev demo compile`: a device's speech model runs in ONNX Runtime, is compiled for the machine, and is served beside it as
machine code: the application finds the same speech with it, in a fraction of the time.
"""

import argparse
import sys

import demo
import stage
from testbed import Failure


class Compile(demo.Demo):
    def run(self):
        if not self.recordings:
            raise Failure(f"no recordings in {demo.RECORDINGS}: install alsa-utils (./dev setup does)")
        self.start()
        self.first_deployment()
        self.new_application()
        self.compiled_model()
        load = self.load.finish()
        self.measured.update(requests=load["requests"], lost=load["lost"])
        self.check(load)

    def check(self, load):
        if load["lost"] or not load["requests"] or not load.get("final"):
            raise Failure(f"{load['lost']} of {load['requests']} inference requests were lost: {load['errors']}")
        self.screen.heading("Checked")
        self.screen.paragraph(f"The compiled model hears what the engine heard. None of {load['requests']} inference "
                              "requests was lost or failed.")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo compile", description=__doc__.split("\n\n", 1)[0],
                                     epilog="Example: ./dev demo compile --once")
    stage.add_options(parser)
    return stage.play("demo", parser.parse_args(), Compile)


if __name__ == "__main__":
    sys.exit(main())
