"""`./dev demo`: a control plane, a device and a real model, from first start to a bad release that takes itself back.

Everything runs in a scratch folder on free ports of this machine and is gone at the end, also after
Ctrl-C or a failure. While the device updates its application and its model, a caller (load.py) keeps
asking the inference service and counts what it does not get an answer to.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "tools")]

import canaries
import console
import packages
import screen as screens
import stage
import testbed
from packages import APPLICATION, COMPILED, COMPILED_NAME, INFER, MODEL, MODEL_NAME
from testbed import Failure

RECORDINGS = Path("/usr/share/sounds/alsa")
THING = "press-7"
GROUP = "line-a"
NOISE = {"Noise.wav"}


class Load:
    """load.py in the background, and the last it reported."""

    def __init__(self, address, bed):
        # A session of its own: Ctrl-C is for the demo. The variable: the scratch folder's end finds it.
        self._process = subprocess.Popen(
            [sys.executable, HERE / "load.py", address, MODEL_NAME, RECORDINGS / "Front_Center.wav"],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | {"SKERRY_DEMO": str(bed.directory)})
        self.last = {"requests": 0, "lost": 0, "errors": []}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self.last = json.loads(line)

    def wait_for_more(self, requests):
        goal = self.last["requests"] + requests
        testbed.wait_for(f"{requests} more inference requests", lambda: self.last["requests"] >= goal,
                         alive=[self])

    def check_alive(self):
        if self._process.poll() is not None:
            raise Failure(f"load.py ended with {self._process.poll()}")

    def finish(self):
        self._process.terminate()
        self._process.wait(20)
        self._reader.join(20)
        return self.last


class CompilerBuild:
    """skerry-model, which one chapter needs, is built while the ones before it play."""

    def __init__(self, bed):
        self._log = bed.directory / "build.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["nice", "-n", "19", testbed.ROOT / "dev", "build", "release", "--target", "skerry-model"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        bed.at_exit(self.stop)

    def wait(self, screen):
        if self._process.poll() is None:
            screen.step("build", "the compiler, the first time; the device goes on serving")
        if self._process.wait():
            raise Failure("skerry-model could not be built:\n" + self._log.read_text()[-2000:])

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()


class Demo:
    def __init__(self, bed, screen, build_compiler=False):
        self.bed = bed
        self.fleet = bed.fleet
        self.screen = screen
        self.device = bed.device(THING)
        self.recordings = {path.name for path in RECORDINGS.glob("*.wav")}
        self.inference = f"127.0.0.1:{testbed.free_port()}"
        self.versions = {}
        self.measured = {}
        self.console = None
        self.topic = f"{THING}/speech/detections"
        self.load = None
        self.heard = {}
        self.build_compiler = build_compiler
        self.compiler = None

    # --- The story ------------------------------------------------------------------------------

    def run(self):
        if not self.recordings:
            raise Failure(f"no recordings in {RECORDINGS}: install alsa-utils (./dev setup does)")
        self.start()
        self.first_deployment()
        if self.build_compiler:
            self.compiler = CompilerBuild(self.bed)
        self.new_application()
        self.new_model()
        self.compiled_model()
        self.broken_model()
        self.bad_release_for_six()
        self.finish()

    def start(self):
        self.screen.heading("A control plane and a device")
        self.fleet.open_to_subscribers(f"{THING}/speech/detections")  # for the console
        info = self.fleet.start()
        self.screen.step("fleet", f"API {info['api_url']}, MQTT {info['broker_host']}:{info['broker_port']}")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            published = [pool.submit(self.publish, name, make) for name, make in self.components()]
            published.append(pool.submit(self.publish_model, "1.0.0"))
            self.start_device()
            self.start_console()
            for each in published:
                each.result()

    def first_deployment(self):
        self.screen.heading("First deployment: inference service, model, application")
        self.load = Load(self.inference, self.bed)
        self.bed.at_exit(self.load.finish)
        port = int(self.inference.split(":")[1])
        self.deploy({INFER: "0.1.0", MODEL: "1.0.0", APPLICATION: "1.0.0"},
                    {INFER: {"merge": {"httpPort": port}}, APPLICATION: {"merge": {"inferenceUrl": self.inference}}})
        self.show_speech(lambda detection: detection["version"] == "1.0.0")

    def new_application(self):
        self.screen.heading("A new application version: short pauses are joined")
        self.publish("application", lambda folder: packages.application(folder, "1.1.0", joinGapMs=300))
        self.deploy({APPLICATION: "1.1.0"})
        self.show_speech(lambda detection: detection["version"] == "1.1.0")

    def new_model(self):
        self.screen.heading("A new model version, under load")
        self.publish_model("1.1.0")
        self.load.wait_for_more(50)
        self.measured["deployment_s"] = self.deploy({MODEL: "1.1.0"})
        self.load.wait_for_more(50)
        self.show_load()
        self.show_speech(lambda detection: True, after=self.console.mark())

    def broken_model(self):
        self.screen.heading("A broken model version: wrong input shape")
        self.publish_model("1.2.0")
        self.load.wait_for_more(50)
        self.measured["rollback_s"] = self.deploy_broken({MODEL: "1.2.0"})
        self.load.wait_for_more(50)
        self.show_load()
        self.show_speech(lambda detection: True, after=self.console.mark())

    def compiled_model(self):
        """The model that runs, as machine code: the same answers, and no engine behind them. It is for one stream alone,
        so it has a name of its own, and a version of the application asks for it."""
        self.screen.heading("The same model compiled for this machine")
        if self.compiler:
            self.compiler.wait(self.screen)
        source = packages.model(self.versions[MODEL])[0]
        artifact = self.bed.directory / "silero_vad.so"
        started = time.monotonic()
        report = self.fleet.cli("model", "compile", source, *packages.COMPILE, "-o", artifact)
        self.screen.step("compile", f"{source.name} for {report['target']}: {artifact.stat().st_size / 1e6:.1f} MB in "
                                    f"{time.monotonic() - started:.1f} s, {report['checked']}")
        published = self.fleet.cli("model", "publish", *packages.compiled_model(artifact, source))
        self.screen.step("publish", f"{published['componentName']} {published['componentVersion']}  (needs no runtime)")
        heard = self.heard
        self.publish("application", lambda folder: packages.application(folder, "1.2.0", joinGapMs=300, model=COMPILED_NAME))
        self.deploy({COMPILED: "1.0.0", APPLICATION: "1.2.0"})
        self.show_speech(lambda detection: detection["model"] == COMPILED_NAME)
        if self.heard != heard:
            raise Failure(f"the compiled model hears {self.heard}, the engine heard {heard}")
        engine_us, compiled_us = self.model_us(MODEL_NAME), self.model_us(COMPILED_NAME)
        self.measured.update(model_us=engine_us, compiled_us=compiled_us, compiled_speedup=round(engine_us / compiled_us, 1))
        self.screen.step("", self.screen.paint(
            f"a window takes {compiled_us:.0f} us, ONNX Runtime takes {engine_us:.0f} us: "
            f"{engine_us / compiled_us:.1f} times as fast, the same speech found", screens.GREEN))

    def bad_release_for_six(self):
        self.screen.heading("Six more devices: a release that does not start is found out on three of them")
        self.measured.update(canaries.play(self.bed, self.screen))

    def finish(self):
        self.measure_memory()
        load = self.load.finish()
        self.measured.update(inference_p50_us=load["p50_us"], inference_p99_us=load["p99_us"],
                             requests=load["requests"], lost=load["lost"])
        self.check(load)

    # --- Its steps ------------------------------------------------------------------------------

    def components(self):
        return [("inference", lambda folder: packages.infer(folder, self.bed.bin_dir)),
                ("runtime", packages.onnxruntime),
                ("application", packages.application)]

    def publish(self, name, make):
        recipe = make(self.bed.directory / "packages" / f"{name}-{time.monotonic_ns()}")
        published = self.fleet.cli("component", "publish", recipe)
        self.screen.step("publish", f"{published['componentName']} {published['componentVersion']}")

    def publish_model(self, version):
        published = self.fleet.cli("model", "publish", *packages.model(version))
        self.screen.step("publish", f"{published['componentName']} {version}  ({packages.MODELS[version]})")

    def start_device(self):
        self.fleet.cli("group", "create", GROUP)
        self.device.provision("--group", GROUP)
        spawned_ms = time.time() * 1000
        self.device.start()
        connected = self.device.wait_for_log("nucleus", "connected")
        self.measured["start_to_connected_ms"] = round(testbed.time_ms(connected) - spawned_ms)
        self.screen.step("device", f"{THING} is connected, {self.measured['start_to_connected_ms']} ms after its start")

    def start_console(self):
        directory = self.bed.directory / "console"
        self.fleet.cli("device", "provision", "console", "--out", directory)
        info = self.fleet.info
        self.console = console.Console(directory, "console", info["broker_host"], info["broker_port"], info["ca_file"],
                                       check=self.device.check_alive)
        self.bed.at_exit(self.console.stop)
        self.console.start(self.topic)

    def deploy(self, components, config=None):
        """Seconds from the command to the new versions up and healthy."""
        self.screen.step("deploy", ", ".join(f"{name} {version}" for name, version in components.items()))
        log_start, started = self.device.log_size(), time.time()
        [(_, status, reason)] = self.fleet.deploy(GROUP, components, config)
        if status != "SUCCEEDED":
            raise Failure(f"the deployment of {components} is {status}: {reason}")
        self.device.wait_for_log("deployment", "succeeded", log_start)
        phases = self.device.phases(log_start, started)
        seconds = round(phases.pop("deployment"), 3)
        self.versions.update(components)
        self.screen.step("", self.screen.paint(f"running and healthy after {seconds:.2f} s", screens.GREEN) + "  ("
                         + ", ".join(f"{name} {phase:.2f}" for name, phase in phases.items()) + ")")
        return seconds

    def deploy_broken(self, components):
        """Seconds from the device taking the job to the previous versions up and healthy again."""
        self.screen.step("deploy", ", ".join(f"{name} {version}" for name, version in components.items()))
        log_start = self.device.log_size()
        [(_, status, reason)] = self.fleet.deploy(GROUP, components)
        if status != "FAILED":
            raise Failure(f"the deployment of a broken model is {status}, it should have failed")
        begun = self.device.wait_for_log("jobs", "deployment", log_start)
        done = self.device.wait_for_log("deployment", "rolled back", log_start)
        seconds = round((testbed.time_ms(done) - testbed.time_ms(begun)) / 1000, 3)
        self.screen.step("", self.screen.paint(f"refused, and rolled back within {seconds:.2f} s", screens.YELLOW))
        self.screen.paragraph(reason)
        return seconds

    def show_speech(self, fits, after=0):
        detections = self.console.wait_for_each(self.recordings, fits, after)
        self.heard = {name: detections[name]["speech"] for name in sorted(detections)}
        for name in sorted(detections):
            self.screen.timeline(detections[name])
            if detections[name]["model_failed"]:
                raise Failure(f"the application's inference requests failed: {detections[name]}")
            if bool(detections[name]["speech"]) == (name in NOISE):
                raise Failure(f"{name}: {'speech found in noise' if name in NOISE else 'no speech found'}")

    def model_us(self, model):
        """The median of what the model takes for a window, by the inference service."""
        with urllib.request.urlopen(f"http://{self.inference}/v2/models/{model}/stats", timeout=30) as answer:
            [stats] = json.load(answer)["model_stats"]
        return stats["latency_ns"]["compute_infer"]["p50"] / 1000

    def show_load(self):
        load = self.load.last
        colour = screens.RED if load["lost"] else screens.GREEN
        lost = self.screen.paint(f"{load['lost']} lost", colour)
        self.screen.step("inference", f"{load['requests']} requests so far, {lost}; p50 {load['p50_us']} us, "
                                      f"p99 {load['p99_us']} us, slowest {load['slowest_us'] / 1000:.1f} ms")

    def measure_memory(self):
        device, fleet = self.device.pid, self.fleet.pid
        self.measured.update(
            skerryd_pss_mb=testbed.pss_mb(device, "skerryd"), infer_pss_mb=testbed.pss_mb(device, "skerry-infer"),
            fleet_pss_mb=testbed.pss_mb(fleet, "skerry-fleet", "mosquitto"),
            mosquitto_pss_mb=testbed.pss_mb(fleet, "mosquitto"))

    def check(self, load):
        if load["lost"] or not load["requests"] or not load.get("final"):
            raise Failure(f"{load['lost']} of {load['requests']} inference requests were lost: {load['errors']}")
        running = self.device.components()
        for name, version in self.versions.items():
            if running.get(name) not in ((version, "RUNNING"), (version, "FINISHED")):
                raise Failure(f"{name} should run as {version}, but the device says {running.get(name)}")
        self.screen.heading("Checked")
        self.screen.paragraph("Speech found in every spoken recording and none in the noise. The new versions run, the "
                              f"broken one was rolled back. None of {load['requests']} inference requests was lost or "
                              "failed.")

    def show_next_commands(self):
        info = self.fleet.info
        self.screen.heading("It stays up until Ctrl-C. Try, in another terminal:")
        for command in [f"export SKERRY_DIR={self.fleet.directory} PATH={self.bed.bin_dir}:$PATH",
                        "skerry status",
                        "skerry component list",
                        f"skerry logs {APPLICATION} --root {self.device.root} --follow",
                        f"curl -s http://{self.inference}/v2/models/{MODEL_NAME}",
                        f"curl -s http://{self.inference}/metrics"]:
            self.screen.line(f"  {command}")
        self.screen.line(f"\n  Stock AWS tools: --endpoint-url {info['api_url']} --region {info['region']},\n"
                         f"  with the key in {info['access_key_file']}")


def arguments_of():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.split("\n", 1)[0],
                                     epilog="Example: ./dev demo --once; ./dev demo rollout is another one")
    stage.add_options(parser)
    parser.add_argument("--build-compiler", action="store_true",
                        help="with ./dev, after the first prediction; otherwise skerry-model is where the programs are")
    return parser.parse_args()


def main():
    arguments = arguments_of()
    return stage.play("demo", arguments, lambda bed, screen: Demo(bed, screen, arguments.build_compiler))


if __name__ == "__main__":
    sys.exit(main())
