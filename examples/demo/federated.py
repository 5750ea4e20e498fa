"""`./dev demo federated`: images of clothes on twenty cameras, a few kinds on each, and none leaves its camera.

Each camera is a real skerry-learn with a certificate of its own. The control plane runs the rounds and learns the sum of
their updates alone (secure aggregation), to which each has added its part of the noise that makes it differentially private.
One has wrong labels; two are killed in the middle of a round, so that the others take their masks off the sum, one of them for
good, and so is the control plane. What they have taught is published, and a rollout brings it to a device that serves it.
"""

import argparse
import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT / "tools"), str(ROOT / "src/runtime/testdata")]

import fashion_mnist  # noqa: E402
import garments  # noqa: E402
import make_models as onnx  # noqa: E402
import packages  # noqa: E402
import stage  # noqa: E402
import testbed  # noqa: E402
from testbed import Failure, wait_for  # noqa: E402

CHANNELS = (8, 16)
ENGINE = f"onnxruntime={packages.LIBRARIES['onnxruntime']}"
NAME, COMPONENT = "clothes", "com.example.clothes"
LEARNERS, SHOP, WINDOW = "learners", "shop", "window-1"  # two groups, and the device that serves
DEVICES, ROWS, KINDS = 20, 600, 4  # rows of each device, and the kinds that most of them are
SERVED = 1000
POISONER = 7
LOST, BACK = 6, 5
ROUNDS, LONGEST, NOISE, DELTA, EPSILON_LIMIT = 12, 1.0, 1.75, 1e-3, 10
PATIENCE_S = 240


def ints(name, *values):
    return onnx.message(5, onnx.message(1, name), *(onnx.number(8, v) for v in values), onnx.number(20, 7))


def untrained_model(draw=None):
    """Two convolutions and a layer; the weights are drawn from `draw`, or by whoever trains it."""
    first, second = CHANNELS
    shapes = {"conv1.weight": [first, 1, 3, 3], "conv1.bias": [first], "conv2.weight": [second, first, 3, 3],
              "conv2.bias": [second], "head.weight": [second * 7 * 7, 10], "head.bias": [10]}
    size = {name: 1 for name in shapes}
    for name, shape in shapes.items():
        for one in shape:
            size[name] *= one
    spread = {"conv1.weight": (2 / 9) ** 0.5, "conv2.weight": (2 / 9 / first) ** 0.5, "head.weight": (1 / second / 49) ** 0.5}
    drawn = {name: [draw.gauss(0, spread[name]) if draw and name in spread else 0.0 for _ in range(size[name])] for name in shapes}
    parts = [onnx.floats(name, shape, drawn[name]) for name, shape in shapes.items()]
    window = (ints("kernel_shape", 3, 3), ints("pads", 1, 1, 1, 1), ints("strides", 2, 2))
    parts += [onnx.node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], *window),
              onnx.node("Relu", ["c1"], ["r1"]),
              onnx.node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], *window),
              onnx.node("Relu", ["c2"], ["r2"]), onnx.node("Flatten", ["r2"], ["flat"]),
              onnx.node("Gemm", ["flat", "head.weight", "head.bias"], ["scores"]),
              onnx.value(11, "image", onnx.FLOAT, ["batch", 1, 28, 28]), onnx.value(12, "scores", onnx.FLOAT, ["batch", 10])]
    return onnx.model(*parts, opset=13)


def small_model(draw):
    """A layer on images that are shrunk to 14x14: noise goes on every number of a model, and few of them learn through more of it."""
    window = (ints("kernel_shape", 2, 2), ints("strides", 2, 2))
    return onnx.model(onnx.floats("weight", [196, 10], [draw.gauss(0, 0.02) for _ in range(1960)]), onnx.floats("bias", [10], [0.0] * 10),
                      onnx.node("AveragePool", ["image"], ["small"], *window), onnx.node("Flatten", ["small"], ["flat"]),
                      onnx.node("Gemm", ["flat", "weight", "bias"], ["scores"]),
                      onnx.value(11, "image", onnx.FLOAT, ["batch", 1, 28, 28]),
                      onnx.value(12, "scores", onnx.FLOAT, ["batch", 10]), opset=13)


def write_rows(folder, count, test_count):
    """Files of images, labels, test images and test labels."""
    return [fashion_mnist.write(f"{part}-{kind}-ubyte", folder, rows)
            for part, rows in (("train", count), ("t10k", test_count)) for kind in ("images-idx3", "labels-idx1")]


def simulate(model, out, rows, engine):
    """The arguments of `skerry`, before options of the simulation."""
    images, labels, test_images, test_labels = rows
    return ["--json", "learn", "simulate", model, "-o", out, "--fresh", "--data", images, "--labels", labels,
            "--test-data", test_images, "--test-labels", test_labels, "--divide", "255", "--engine", engine]


class Learner(testbed.Program):
    """skerry-learn of one device, with its own rows."""

    def __init__(self, bed, thing, images, labels, *options):
        super().__init__(f"skerry-learn of {thing}", bed.directory / f"{thing}-learn.log")
        self.bed, self.thing, self.options = bed, thing, options
        device = bed.device(thing)
        device.directory.mkdir(parents=True, exist_ok=True)
        self.files = write_arrays(device.directory, images, labels)

    def start(self):
        device = self.bed.device(self.thing)
        self.launch([self.bed.program("skerry-learn"), "--config", device.config_path, "--dir", device.directory / "learn",
                     "--data", f"{NAME}={','.join(map(str, self.files))}", "--divide", "255", "--engine", ENGINE, *self.options])


    def has_sent(self, attempt):
        """Its masked update of this attempt."""
        sent = [json.loads(line) for line in self.log_path.read_text().splitlines() if '"sent a masked update"' in line]
        return any(record["attempt"] == str(attempt) for record in sent)


def write_arrays(folder, images, labels):
    import numpy as np
    paths = [folder / "images.npy", folder / "labels.npy"]
    np.save(paths[0], images.reshape(-1, 1, 28, 28))
    np.save(paths[1], labels.astype(np.int64))
    return paths


def rows_of(device, labels, among=20000, rows=ROWS, kinds=KINDS):
    """Numbers of its rows, most of them of a few kinds."""
    import numpy as np
    draw = np.random.default_rng(device)
    likely = np.where(np.isin(labels[:among], draw.permutation(10)[:kinds]), 9.0, 1.0)
    return draw.choice(among, rows, replace=False, p=likely / likely.sum())


def missing(attempt):
    """Devices that were asked and are in no sum."""
    return max(0, attempt["asked"] - attempt["updates"] - attempt["refused"])


def curve(rounds):
    return " ".join(f"{100 * one['accuracy']:.0f}" for one in rounds if "accuracy" in one)


class Demo:
    def __init__(self, bed, screen, options):
        self.bed, self.screen, self.options = bed, screen, options
        self.fleet = bed.fleet
        self.window = bed.device(WINDOW)
        self.port = testbed.free_port()
        self.learners = []
        self.measured = {}
        bed.at_exit(lambda: [learner.kill() for learner in self.learners])

    def run(self):
        self.images = fashion_mnist.read("train-images-idx3-ubyte")
        self.labels = fashion_mnist.read("train-labels-idx1-ubyte")
        self.start()
        self.publish()
        self.learn()
        self.roll_out()

    def start(self):
        self.screen.heading(f"A control plane, {DEVICES} cameras that learn, one device that serves")
        info = self.fleet.start()
        self.screen.step("fleet", f"API {info['api_url']}")
        for group in (LEARNERS, SHOP):
            self.fleet.cli("group", "create", group)
        self.window.provision("--group", SHOP)
        self.window.start()
        for index in range(DEVICES):
            thing = f"camera-{index}"
            self.bed.device(thing).provision("--group", LEARNERS)
            rows = rows_of(index, self.labels)
            labels = self.labels[rows]
            if index == POISONER:
                labels = (labels + 1) % 10  # it learns well, and what is wrong
            self.learners.append(Learner(self.bed, thing, self.images[rows], labels, "--only-secure", "--min-peers", "11", "--no-counts"))
        self.window.wait_for_log("nucleus", "connected")
        self.screen.step("devices", f"{DEVICES} cameras, {ROWS} images each, most of them of {KINDS} kinds; camera-{POISONER} has wrong labels")

    def publish(self):
        self.model = self.bed.directory / "clothes.onnx"
        self.model.write_bytes(small_model(random.Random(7)))
        folder = self.bed.directory / "packages"
        for recipe in (packages.infer(folder / "infer", self.bed.bin_dir), packages.onnxruntime(folder / "ort")):
            self.fleet.cli("component", "publish", recipe)
        self.fleet.cli("model", "publish", self.model, "--name", NAME, "--version", "1.0.0", "--component", COMPONENT,
                       "--input", "image:FP32:-1,1,28,28", "--output", "scores:FP32:-1,10")
        [(_, status, reason)] = self.fleet.deploy(SHOP, {packages.INFER: "0.1.0", COMPONENT: "1.0.0"},
                                                  {packages.INFER: {"merge": {"httpPort": self.port}}})
        if status != "SUCCEEDED":
            raise Failure(f"the deployment is {status}: {reason}")
        self.measured["accuracy_start"] = self.served()
        self.screen.step("serves", f"{WINDOW} has {COMPONENT} 1.0.0: {100 * self.measured['accuracy_start']:.1f} % right")

    def served(self):
        """How many of the test images the device gets right."""
        pictures = fashion_mnist.read("t10k-images-idx3-ubyte")[:SERVED] / 255
        labels = fashion_mnist.read("t10k-labels-idx1-ubyte")[:SERVED]
        right = 0
        for first in range(0, SERVED, 50):
            scores, _ = garments.ask(self.port, NAME, pictures[first:first + 50])
            right += int((scores.argmax(1) == labels[first:first + 50]).sum())
        return round(right / SERVED, 4)

    def learn(self):
        plan = self.bed.directory / "plan.json"
        plan.write_text(json.dumps({"stages": [{"percent": 100}]}))
        self.training = self.fleet.cli(
            "learn", "start", self.model, "--component", COMPONENT, "--from", "1.0.0", "--version", "1.1.0", "--group", LEARNERS,
            "--data", NAME, "--rounds", self.options.rounds, "--updates", 16, "--over-selection", DEVICES / 16, "--quorum", 15,
            "--deadline", 20, "--evaluators", 4, "--secure", "--clip", LONGEST, "--noise", NOISE, "--delta", DELTA,
            "--epsilon-limit", EPSILON_LIMIT, "--epochs", 2, "--batch", 20, "--rate", 0.1, "--rollout", plan,
            "--rollout-group", SHOP)["trainingId"]
        wait_for("the training is known to devices", lambda: "phase" in self.status()["progress"], PATIENCE_S)
        self.screen.step("learning", f"{self.options.rounds} rounds under masks; updates of length {LONGEST:g} at most, noise of "
                                     f"{NOISE:g} times that; tried by 4 cameras before they count")
        for learner in self.learners:
            learner.start()
        self.wait_for_rounds(2)
        self.lose_two()
        self.wait_for_rounds(4)
        self.fleet.kill_and_wait()
        self.learners[BACK].start()
        self.screen.step("killed", f"the control plane; it is back, and so is camera-{BACK}")
        wait_for("the training's end", lambda: self.status()["state"] != "running", PATIENCE_S)
        done = self.status()
        history = done["progress"]["history"]
        rounds = [one for one in history if one["round"]]
        if done["state"] != "done":
            raise Failure(f"the training is {done['state']}: {done['reason']}")
        self.rollout = done["rolloutId"]
        dropped = sum(missing(one) for one in history)
        self.measured |= {"devices": DEVICES, "rounds": len(rounds), "dropped": dropped, "delta": DELTA,
                          "epsilon": round(done["progress"]["epsilon"], 3),
                          "server_rss_mb": testbed.memory_mb(self.fleet.pid, "skerry-fleet")["rss"]}
        self.screen.step("learned", f"right on rows that were held back: {curve(rounds)} %")
        self.screen.step("private", f"epsilon {self.measured['epsilon']:g} at delta {DELTA:g}, of which no camera has to trust the control plane")

    def lose_two(self):
        """Killed after they have agreed on masks and before their updates count: where they are too fast, in a later round."""
        lost = [self.learners[LOST], self.learners[BACK]]

        def under_way():
            now = self.status()["progress"]
            is_under_way = now["phase"] in ("shares", "training") and not any(one.has_sent(now["attempt"]) for one in lost)
            return now["attempt"] if is_under_way else None

        for _ in range(5):
            attempt = wait_for("a round under way", under_way, PATIENCE_S)
            for learner in lost:
                learner.kill()
            wait_for("its end", lambda: self.status()["progress"]["attempt"] > attempt, PATIENCE_S)
            one = self.status()["progress"]["history"][attempt - 1]
            if missing(one) >= 1:
                self.screen.step("killed", f"camera-{LOST} and camera-{BACK} in the middle of a round: {one['updates']} of {one['asked']} are in "
                                           "its sum, without the masks of the others")
                return
            for learner in lost:
                learner.start()
        raise Failure("the cameras could not be killed in the middle of a round")

    def status(self):
        return self.fleet.cli("learn", "status", self.training)

    def wait_for_rounds(self, rounds):
        wait_for(f"{rounds} rounds", lambda: self.status()["progress"].get("rounds", 0) >= rounds, PATIENCE_S)

    def roll_out(self):
        wait_for("the rollout's end", lambda: self.fleet.cli("rollout", "show", self.rollout)["phase"] == "completed", PATIENCE_S,
                 alive=[self.window])
        version, _ = self.window.components()[COMPONENT]
        self.measured["accuracy_end"] = self.served()
        self.screen.step("serves", f"{WINDOW} has {COMPONENT} {version}, by rollout: {100 * self.measured['accuracy_end']:.1f} % right")
        for learner in self.learners:
            learner.kill()

    def show_next_commands(self):
        self.screen.heading("It stays up until Ctrl-C. Try, in another terminal:")
        for command in [f"export SKERRY_DIR={self.fleet.directory} PATH={self.bed.bin_dir}:$PATH",
                        f"skerry learn status {self.training}", f"skerry model show {COMPONENT} 1.1.0",
                        f"skerry rollout show {self.rollout}"]:
            self.screen.line(f"  {command}")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo federated", description=__doc__.split("\n", 1)[0],
                                     epilog="Example: ./dev demo federated --once")
    stage.add_options(parser)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of training (default: %(default)s)")
    options = parser.parse_args()
    if not fashion_mnist.DATA.is_dir():
        sys.exit(f"demo: {fashion_mnist.MISSING}")
    return stage.play("federated", options, lambda bed, screen: Demo(bed, screen, options))


if __name__ == "__main__":
    sys.exit(main())
