"""`./dev demo optimise`: one command line from a float model to a device that serves a better one.

A classifier of Fashion-MNIST in floats, as its training left it, and 10,000 labelled images: candidates are made and
measured, and the fastest that keeps its accuracy is published with its report, deployed to a device, and asked for
images there. Every number that is printed comes from the report or from the device.
"""

import argparse
import json
import os
import subprocess
import sys
import webbrowser
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT / "tools")]

import fashion_mnist  # noqa: E402
import garments  # noqa: E402
import packages  # noqa: E402
import stage  # noqa: E402
import testbed  # noqa: E402
from packages import INFER  # noqa: E402
from testbed import Failure  # noqa: E402

THING, GROUP = "camera-3", "garments"
NAME, COMPONENT, VERSION = "garments", "com.example.GarmentsModel", "1.0.0"
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
SERVED = 1_000  # images that the device is asked for
NEAR = 0.01  # what the device says of them and what the report says, as shares: other batches round otherwise


class Optimise:
    def __init__(self, bed, screen, options):
        self.bed, self.screen, self.options = bed, screen, options
        self.fleet, self.device = bed.fleet, bed.device(THING)
        self.port = testbed.free_port()
        self.measured = {}
        self.engines = options.engines or packages.engines()
        self.out = options.out or bed.directory / "best"

    def run(self):
        self.optimise()
        self.show()
        self.start()
        self.publish()
        self.deploy()
        self.serve()

    def optimise(self):
        self.screen.step("optimise", f"{fashion_mnist.MODEL.relative_to(ROOT)}, for {self.options.goal}, at most "
                                     f"{self.options.max_accuracy_drop} lost")
        command = [self.bed.program("skerry"), "--json", "model", "optimise", fashion_mnist.MODEL, "-o", self.out,
                   "--data", fashion_mnist.write(IMAGES, self.bed.directory),
                   "--labels", fashion_mnist.write(LABELS, self.bed.directory), "--divide", "255",
                   "--goal", self.options.goal, "--max-accuracy-drop", self.options.max_accuracy_drop]
        for engine in self.engines:
            command += ["--engine", engine]
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise Failure("skerry model optimise failed")
        self.report = json.loads(done.stdout)

    def show(self):
        report = self.report
        self.screen.heading("Candidates, each measured in a process of its own, in turns")
        for number, trial in enumerate(report["trials"]):
            if not trial["minimaUs"] and number != report["winner"]:
                continue  # the report says why
            accuracy = f"{100 * trial['accuracy']:.2f} %" if "accuracy" in trial else "-"
            text = (f"{trial['minUs']:8.1f} µs {trial['bytes'] / 1000:8.1f} kB {accuracy:>9} "
                    f"{trial['refusal'] or ('← chosen' if number == report['winner'] else '')}")
            self.screen.line(f"  {trial['candidate']:<16} {trial['engine']:<12} {text}")
        self.screen.heading("Passes that found something")
        for one in report["passes"]:
            if one["changes"]:
                self.screen.line(f"  {one['name']:<24} {one['changes']:3} places, {one['nodesRemoved']} nodes less: {one['what']}")
        base, best = report["trials"][0], report["trials"][report["winner"]]
        self.screen.heading(report["verdict"])
        page = self.out / "report.html"
        self.screen.line(f"The report, for a browser: {page}")
        if not self.options.once and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(page.as_uri())
        self.measured = {"fp32_us": round(base["minUs"], 1), "best_us": round(best["minUs"], 1), "engine": best["engine"],
                         "candidate": best["candidate"], "size_ratio": round(base["bytes"] / best["bytes"], 2),
                         "accuracy_drop_points": round(100 * best["accuracyDrop"], 2),
                         "seconds": round(report["seconds"], 1)}

    def start(self):
        self.screen.heading("A control plane and a device")
        info = self.fleet.start()
        self.screen.step("fleet", f"API {info['api_url']}")
        self.fleet.cli("group", "create", GROUP)
        self.device.provision("--group", GROUP)
        self.device.start()
        self.device.wait_for_log("nucleus", "connected")
        self.screen.step("device", f"{THING} is connected")

    def publish(self):
        folder = self.bed.directory / "packages"
        engine = self.report["engine"]
        recipes = [packages.infer(folder / "infer", self.bed.bin_dir, litert=engine == "litert"), packages.onnxruntime(folder / "ort")]
        if engine == "litert":
            recipes.append(packages.litert(folder / "litert"))
        for recipe in recipes:
            published = self.fleet.cli("component", "publish", recipe)
            self.screen.step("publish", f"{published['componentName']} {published['componentVersion']}")
        published = self.fleet.cli("model", "publish", self.out / self.report.get("artifact", "model.onnx"), "--name", NAME,
                                   "--component", COMPONENT, "--version", VERSION, "--report", self.out / "report.json",
                                   "--contract", self.out / "contract.json", "--licence", "MIT")
        self.screen.step("publish", f"{published['componentName']} {VERSION}: the report's choice, with its source and accuracy")

    def deploy(self):
        [(_, status, reason)] = self.fleet.deploy(GROUP, {INFER: "0.1.0", COMPONENT: VERSION},
                                                  {INFER: {"merge": {"httpPort": self.port}}})
        if status != "SUCCEEDED":
            raise Failure(f"the deployment is {status}: {reason}")
        self.screen.step("deploy", f"{COMPONENT} {VERSION} is running and healthy")

    def serve(self):
        pictures = fashion_mnist.read(IMAGES)[:SERVED] / 255
        labels = fashion_mnist.read(LABELS)[:SERVED]
        right = 0
        for first in range(SERVED):
            scores, _ = garments.ask(self.port, NAME, pictures[first:first + 1])
            right += int(scores.argmax(1)[0] == labels[first])
        served = right / SERVED
        self.measured["served"], self.measured["served_accuracy"] = SERVED, round(served, 4)
        self.screen.step("served", f"{SERVED} images by the device, {100 * served:.1f} % right")
        expected = self.accuracy_here()
        if abs(served - expected) > NEAR:
            raise Failure(f"the device is right in {served:.4f}, the same file here in {expected:.4f}")

    def accuracy_here(self):
        """Of the winner over the same images, in a process here."""
        engine = next(each for each in self.engines if each.split("=")[0] == self.report["engine"])
        said = self.fleet.cli("model", "bench", self.out / self.report.get("artifact", "model.onnx"), "--data",
                              self.bed.directory / IMAGES, "--labels", self.bed.directory / LABELS, "--divide", 255,
                              "--engine", engine, "--rows", SERVED, "--seconds", 0.05)
        return said["correct"] / said["rows"]

    def show_next_commands(self):
        self.screen.heading("It stays up until Ctrl-C. Try, in another terminal:")
        for command in [f"export SKERRY_DIR={self.fleet.directory} PATH={self.bed.bin_dir}:$PATH",
                        "skerry model list",
                        f"curl -s http://127.0.0.1:{self.port}/v2/models/{NAME}",
                        f"xdg-open {self.out}/report.html"]:
            self.screen.line(f"  {command}")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo optimise", description=__doc__.split("\n", 1)[0],
                                     epilog="Example: ./dev demo optimise --once")
    stage.add_options(parser)
    parser.add_argument("--goal", default="latency", choices=["latency", "size", "memory"])
    parser.add_argument("--max-accuracy-drop", default="0.5%", help="default: 0.5%%")
    parser.add_argument("--engine", dest="engines", action="append", metavar="NAME=PATH",
                        help="repeatable (default: ONNX Runtime, LiteRT and compiled)")
    parser.add_argument("--out", type=Path, help="folder for the result, which stays (default: a scratch folder)")
    options = parser.parse_args()
    if not fashion_mnist.DATA.is_dir():
        sys.exit(f"demo: {fashion_mnist.MISSING}")
    return stage.play("optimise", options, lambda bed, screen: Optimise(bed, screen, options))


if __name__ == "__main__":
    sys.exit(main())
