"""`./dev demo hybrid`: a device that is useful with no network, and honest about it.

A small classifier of garments runs on the device and a bigger one on a server; a cascade asks the bigger one where the
small one is not sure, at a threshold with a promise. Bags are rare and wanted: a filter uploads them to S3 through a
stream, and not the rest. In the middle the network is cut. At the end the camera ages, and that is found.
"""

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "tools")]

import boto3  # noqa: E402
import botocore.config  # noqa: E402
import fashion_mnist  # noqa: E402
import garments  # noqa: E402
import numpy as np  # noqa: E402
import stage  # noqa: E402
import testbed  # noqa: E402
from stage import Failure  # noqa: E402
from stream_manager import (ExportDefinition, MessageStreamDefinition, S3ExportTaskDefinition,  # noqa: E402
                            S3ExportTaskExecutorConfig, StrategyOnFull, StreamManagerClient, Util)

IMAGE_BYTES = garments.SIDE ** 2  # as the camera gives it
CALIBRATION, STREAM, AGED = 3_000, 1_500, 500
CUT, RESTORED = 500, 900
BAGS = 0.03  # of the stream
RISK, RECALL = 0.02, 0.9
WINDOW = 100
BUCKET = "garments"


class Server(testbed.Program):
    """A skerry-infer with one model, on the port that it had before."""

    def __init__(self, bed, name, package):
        super().__init__(name, bed.directory / f"{name}.log")
        self._bed, self._name, self._package = bed, name, package
        self.port = testbed.free_port()
        bed.at_exit(self.kill)

    def start(self):
        path = self._bed.directory / f"{self._name}.sock"
        self.launch([self._bed.program("skerry-infer"), "serve", "--socket", path, "--http-port", str(self.port),
                     "--threads", "1", "--runtime", f"onnxruntime={testbed.CACHE / 'onnxruntime/lib/libonnxruntime.so'}"])
        subprocess.run([self._bed.program("skerry-infer"), "load", self._name, self._package, "--socket", path],
                       check=True, stdout=subprocess.DEVNULL)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v2/models/{self._name}"


class Versitygw(testbed.Program):
    """An S3 server that somebody else wrote (`./dev setup s3`), on a folder."""

    key = {"aws_access_key_id": "AKIADEMO", "aws_secret_access_key": "a secret of the demo"}
    region = "eu-north-9"
    name = "versitygw"

    def __init__(self, bed, program):
        super().__init__("versitygw", bed.directory / "versitygw.log")
        self._program, self._folder = program, bed.directory / "objects"
        self._folder.mkdir()
        self._port = testbed.free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        bed.at_exit(self.kill)

    def start(self):
        self.launch([self._program, "--port", f"127.0.0.1:{self._port}", "--region", self.region, "posix", self._folder],
                    env={"ROOT_ACCESS_KEY": self.key["aws_access_key_id"],
                         "ROOT_SECRET_KEY": self.key["aws_secret_access_key"], "PATH": os.environ["PATH"]})
        testbed.wait_for("the S3 server listens", lambda: answers(self._port), alive=[self])


class FleetS3:
    """The artifact store of a fleet, where versitygw is not built."""

    name = "skerry-fleet"

    def __init__(self, bed):
        self._fleet = bed.fleet

    def start(self):
        info = self._fleet.start()
        self.endpoint, self.region = info["api_url"] + "/artifacts", info["region"]
        key = json.loads((self._fleet.directory / "access-key.json").read_text())
        self.key = {"aws_access_key_id": key["accessKeyId"], "aws_secret_access_key": key["secretAccessKey"]}

    def kill(self):
        self._fleet.kill()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def ask_all(server, model, pictures):
    return np.concatenate([garments.ask(server.port, model, part)[0] for part in np.array_split(pictures, len(pictures) // 50)])


class Uploads:
    """What the filter lets through, on its way to S3 through the stream manager, whoever is there meanwhile."""

    def __init__(self, demo, config):
        self._demo = demo
        self.kept = {}  # number of the image: why
        self.report = None
        self._process = subprocess.Popen([demo.bed.program("skerry"), "filter", "run", "--config", config],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        demo.bed.at_exit(self._process.kill)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def put(self, number, score):
        self._process.stdin.write(json.dumps({"timeMs": 1_000 * number, "score": score, "bytes": IMAGE_BYTES,
                                              "image": number}) + "\n")
        self._process.stdin.flush()

    def _read(self):
        for line in self._process.stdout:
            item = json.loads(line)
            if "report" in item:
                self.report = item["report"]
                continue
            self._demo.export(item["item"]["image"])
            self.kept[item["item"]["image"]] = item["why"]

    def finish(self):
        self._process.stdin.close()
        self._reader.join(60)
        if self._process.wait(60) or self.report is None:
            raise Failure("skerry filter ended badly")


class Hybrid:
    def __init__(self, bed, screen):
        self.bed, self.screen = bed, screen
        self.measured = {}
        self.folder = bed.directory

    def skerry(self, *words):
        done = subprocess.run([self.bed.program("skerry"), "--json", *map(str, words)], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise Failure(f"skerry {' '.join(map(str, words))}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def write_table(self, name, columns):
        path = self.folder / name
        rows = "\n".join(",".join(f"{float(value):.9g}" for value in row) for row in zip(*columns.values()))
        path.write_text(",".join(columns) + "\n" + rows + "\n")
        return path

    def run(self):
        self.prepare_data()
        self.start_servers()
        self.tune()
        self.start_streams()
        self.play_stream()
        self.check_uploads()
        self.look_for_drift()
        self.report()

    def prepare_data(self):
        pictures, labels = garments.images("t10k")
        rng = np.random.default_rng(7)
        order = rng.permutation(len(labels))
        calibration, rest = order[:CALIBRATION], order[CALIBRATION:]
        self.calibration, self.calibration_labels = pictures[calibration], labels[calibration]
        bags = rest[labels[rest] == garments.BAG]
        others = rest[labels[rest] != garments.BAG]
        is_bag = rng.random(STREAM + AGED) < BAGS
        stream = np.where(is_bag, rng.choice(bags, len(is_bag)), rng.choice(others, len(is_bag), replace=False))
        self.pictures, self.labels = pictures[stream].copy(), labels[stream]
        self.pictures[STREAM:] = garments.aged(self.pictures[STREAM:], rng)

    def start_servers(self):
        weights, biases = garments.train_small()
        small = garments.small_onnx(weights, biases)
        self.small = Server(self.bed, "small", garments.write_package(self.folder / "small", "small", small))
        self.bigger = Server(self.bed, "bigger", garments.write_package(self.folder / "bigger", "bigger",
                                                                        fashion_mnist.MODEL.read_bytes()))
        for server in (self.small, self.bigger):
            server.start()
        self.screen.step("models", f"small: linear, {len(small) / 1000:.0f} kB, on the device; bigger: a network, on a server")

    def tune(self):
        small = ask_all(self.small, "small", self.calibration)
        bigger = ask_all(self.bigger, "bigger", self.calibration)
        table = {"label": self.calibration_labels, "bigger": bigger.argmax(1)}
        table |= {f"logit_{i}": small[:, i] for i in range(garments.CLASSES)}
        tuned = self.skerry("cascade", "tune", self.write_table("calibration.csv", table), "--risk", RISK, "--by", "margin")
        self.screen.step("cascade", f"asks the bigger model below a margin of {tuned['threshold']:.3f}: at most "
                                    f"{100 * RISK:.0f} % of right answers are lost, with 95 % probability")
        bag = garments.softmax(small)[:, garments.BAG]
        scored = self.write_table("scored.csv", {"score": bag, "wanted": self.calibration_labels == garments.BAG})
        kept = self.skerry("filter", "tune", scored, "--recall", RECALL)
        self.filter_config = self.folder / "filter.yaml"
        self.filter_config.write_text(json.dumps({"threshold": kept["threshold"], "sample": 0.02, "itemsPerHour": 1_000}))
        self.screen.step("filter", f"uploads from a score of {kept['threshold']:.3f}: at least {100 * RECALL:.0f} % of bags")
        self.reference = self.folder / "reference.json"
        self.skerry("model", "reference", self.write_table("train.csv", garments.features(self.calibration, small)),
                    "--out", self.reference)
        self.start_cascade(tuned)

    def start_cascade(self, tuned):
        config = self.folder / "cascade.yaml"
        config.write_text(json.dumps({
            "name": "garments", "scores": {"output": "scores", "activation": "softmax"},
            "confidence": {"by": "margin", "temperature": tuned["temperature"]}, "shadow": 0.05,
            "tiers": [{"name": "device", "url": self.small.url, "threshold": tuned["threshold"]},
                      {"name": "server", "url": self.bigger.url, "deadlineMs": 5_000,
                       "breaker": {"failures": 3, "openMs": 300}}]}))
        self.cascade = testbed.Program("skerry-cascade", self.folder / "cascade.log")
        self.bed.at_exit(self.cascade.kill)
        ready = self.folder / "cascade.port"
        self.cascade.launch([self.bed.program("skerry-cascade"), config, "--port", "0", "--port-file", ready])
        testbed.wait_for("the cascade serves", ready.exists, alive=[self.cascade])
        self.cascade_port = int(ready.read_text())

    def start_streams(self):
        program = testbed.CACHE / "s3/versitygw"
        self.s3 = Versitygw(self.bed, program) if program.exists() else FleetS3(self.bed)
        self.s3.start()
        self.objects = boto3.client("s3", endpoint_url=self.s3.endpoint, region_name=self.s3.region, **self.s3.key,
                                    config=botocore.config.Config(signature_version="s3v4",
                                                                  s3={"addressing_style": "path"}))
        self.objects.create_bucket(Bucket=BUCKET)
        folder = self.folder / "streams"
        self.streams = testbed.Program("skerry-streams", self.folder / "streams.log")
        self.bed.at_exit(self.streams.kill)
        self.streams.launch([self.bed.program("skerry-streams"), "--dir", folder, "--port", "0"],
                            env=os.environ | {"STREAM_MANAGER_AUTHENTICATE_CLIENT": "false", "AWS_REGION": self.s3.region,
                                              "AWS_ENDPOINT_URL_S3": self.s3.endpoint,
                                              "AWS_ACCESS_KEY_ID": self.s3.key["aws_access_key_id"],
                                              "AWS_SECRET_ACCESS_KEY": self.s3.key["aws_secret_access_key"]})
        testbed.wait_for("streams are served", (folder / "port").exists, alive=[self.streams])
        self.client = StreamManagerClient(port=int((folder / "port").read_text()))
        self.bed.at_exit(self.client.close)
        self.client.create_message_stream(MessageStreamDefinition(
            name="bags", strategy_on_full=StrategyOnFull.RejectNewData, flush_on_write=True,
            export_definition=ExportDefinition(s3_task_executor=[S3ExportTaskExecutorConfig(identifier="s3")])))

    def export(self, number):
        path = self.folder / f"image-{number:05}.raw"
        path.write_bytes((self.pictures[number] * 255).astype(np.uint8).tobytes())
        self.client.append_message("bags", Util.validate_and_serialize_to_json_bytes(S3ExportTaskDefinition(
            input_url=f"file://{path}", bucket=BUCKET, key=path.name)))

    def play_stream(self):
        self.uploads = Uploads(self, self.filter_config)
        self.answers, self.parameters, self.unanswered = [], [], 0
        self.screen.step("stream", f"{STREAM + AGED} images, {100 * BAGS:.0f} % of them bags")
        for number in range(STREAM + AGED):
            if number == CUT:
                self.bigger.kill()
                self.s3.kill()
                self.screen.step("network", self.screen.paint("cut: no bigger model, no S3", "33"))
            if number == RESTORED:
                self.bigger.start()
                self.s3.start()
                self.screen.step("network", self.screen.paint("restored", "32"))
            self.one(number)
        self.uploads.finish()

    def one(self, number):
        picture = self.pictures[number:number + 1]
        try:
            scores, parameters = garments.ask(self.cascade_port, "garments", picture)
        except (Failure, OSError, ValueError):
            self.unanswered += 1
            scores, parameters = np.zeros((1, garments.CLASSES)), {}
        self.answers.append(int(scores.argmax()))
        self.parameters.append(parameters)
        self.uploads.put(number, float(garments.softmax(self.local(number))[0, garments.BAG]))

    def local(self, number):
        """The small model's scores; asked for fifty at a time, as nothing depends on when."""
        if number % 50 == 0:
            self.local_scores = [] if number == 0 else self.local_scores
            self.local_scores.append(garments.ask(self.small.port, "small", self.pictures[number:number + 50])[0])
        return self.local_scores[number // 50][number % 50:number % 50 + 1]

    def check_uploads(self):
        def there():
            names, token = set(), {}
            while True:
                page = self.objects.list_objects_v2(Bucket=BUCKET, **token)
                names |= {each["Key"] for each in page.get("Contents", [])}
                if not page.get("IsTruncated"):
                    return names
                token = {"ContinuationToken": page["NextContinuationToken"]}

        wanted = {f"image-{number:05}.raw": number for number in self.uploads.kept}
        try:
            testbed.wait_for("every kept image is in S3", lambda: set(wanted) <= there(), 90, alive=[self.streams])
        except testbed.Failure:
            pass  # counted below
        self.lost_uploads = 0
        for name, number in wanted.items():
            expected = (self.pictures[number] * 255).astype(np.uint8).tobytes()
            try:
                body = self.objects.get_object(Bucket=BUCKET, Key=name)["Body"].read()
            except self.objects.exceptions.NoSuchKey:
                body = None
            self.lost_uploads += body != expected

    def look_for_drift(self):
        scores = np.concatenate(self.local_scores)
        table = self.write_table("today.csv", garments.features(self.pictures, scores))
        windows = self.skerry("model", "drift", self.reference, table, "--window", WINDOW)["windows"]
        before = [each for each in windows if each["toRow"] < STREAM]
        after = [each for each in windows if each["fromRow"] >= STREAM and each["drifted"]]
        self.false_alarms = sum(each["drifted"] > 0 for each in before)
        if not after:
            raise Failure("the aged camera was not found out")
        self.detected_after = after[0]["toRow"] + 1 - STREAM
        names = [each["name"] for each in after[0]["features"] if each["drifted"]]
        self.screen.step("drift", f"found {self.detected_after} images after the camera aged: {', '.join(names)}")

    def asked_of_server(self):
        """Images that went there, those that were only compared included."""
        connection = http.client.HTTPConnection("127.0.0.1", self.cascade_port, timeout=30)
        connection.request("GET", "/v2/models/garments/cascade")
        return json.loads(connection.getresponse().read())["tiers"][1]["asked"]

    def report(self):
        scores = np.concatenate(self.local_scores)[:STREAM]
        labels, online = self.labels[:STREAM], np.r_[0:CUT, RESTORED:STREAM]
        cascade = np.array(self.answers[:STREAM])
        bigger = ask_all(self.bigger, "bigger", self.pictures[:STREAM]).argmax(1)
        right = lambda answers: round(float((answers == labels)[online].mean()), 4)
        escalated = np.array([bool(each.get("escalated")) for each in self.parameters])
        flagged = [each.get("fallback") for each in self.parameters[CUT:RESTORED] if each.get("escalated")]
        bags = np.flatnonzero(labels == garments.BAG)
        events = {number for number, why in self.uploads.kept.items() if why == "event"}
        by_server = self.asked_of_server()
        self.measured = {
            "bytes_raw": IMAGE_BYTES * len(self.labels), "bytes_sent": IMAGE_BYTES * (len(self.uploads.kept) + by_server),
            "uploaded": len(self.uploads.kept), "recall": round(len(events & set(bags.tolist())) / len(bags), 4),
            "escalated_percent": round(100 * float(escalated[:STREAM][online].mean()), 1),
            "accuracy_local": right(scores.argmax(1)), "accuracy_cascade": right(cascade), "accuracy_remote": right(bigger),
            "answered_while_cut": sum(bool(each) for each in self.parameters[CUT:RESTORED]),
            "flagged_while_cut": sum(bool(each) for each in flagged),
            "drift_detected_after": self.detected_after, "false_alarms": self.false_alarms,
            "lost": self.unanswered + self.lost_uploads, "s3": self.s3.name}
        m = self.measured
        self.screen.heading("Checked")
        self.screen.paragraph(
            f"{m['bytes_sent'] / 1000:.0f} of {m['bytes_raw'] / 1000:.0f} kB were sent. The cascade is right in "
            f"{100 * m['accuracy_cascade']:.1f} % (the small model in {100 * m['accuracy_local']:.1f} %, the bigger one in "
            f"{100 * m['accuracy_remote']:.1f} %) and asked the bigger one for {m['escalated_percent']} %. Of the bags "
            f"{100 * m['recall']:.0f} % were uploaded. Without a network {m['answered_while_cut']} of {RESTORED - CUT} "
            f"requests were answered, {m['flagged_while_cut']} of them flagged as unsure; {m['lost']} things were lost.")
        if m["lost"]:
            raise Failure(f"{self.unanswered} requests and {self.lost_uploads} uploads were lost")
        if m["answered_while_cut"] != RESTORED - CUT or not m["flagged_while_cut"]:
            raise Failure("without a network the device did not answer, or did not say that it was unsure")

    def show_next_commands(self):
        self.screen.heading("It stays up until Ctrl-C. Try, in another terminal:")
        for command in [f"export PATH={self.bed.bin_dir}:$PATH",
                        f"curl -s http://127.0.0.1:{self.cascade_port}/v2/models/garments/cascade",
                        f"skerry stream list --streams {self.folder}/streams",
                        f"skerry model drift {self.reference} {self.folder}/today.csv --window {WINDOW}"]:
            self.screen.line(f"  {command}")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo hybrid", description=__doc__.split("\n", 1)[0],
                                     epilog="Example: ./dev demo hybrid --once")
    stage.add_options(parser)
    if not fashion_mnist.DATA.is_dir():
        sys.exit(f"demo: {fashion_mnist.MISSING}")
    return stage.play("hybrid", parser.parse_args(), Hybrid)


if __name__ == "__main__":
    sys.exit(main())
