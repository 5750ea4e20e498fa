"""A model with its provenance: traced both ways, what it does on the device known to the fleet, promoted, rolled back.

    models_test.py BIN_DIR
"""

import hashlib
import json
import os
import runpy
import sys
import urllib.error
import urllib.request
from pathlib import Path

import e2e
import testbed

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import packages

MODEL = packages.MODEL
REQUESTS = 25
HERE = Path(__file__).resolve().parent
ASKED, ASKED_FROM_AFAR, ASKER = "com.example.Asked", "com.example.AskedFromAfar", "com.example.Asker"


def may(component, service, operation, *topics):
    return {f"{component}:{service}:{operation}": {"policyDescription": "For the test.", "operations": [f"aws.greengrass#{operation}"],
                                                   "resources": list(topics)}}


class Models(e2e.EndToEnd):
    def setUp(self):
        super().setUp()
        self.port = testbed.free_port()
        self.source = self.bed.directory / "train.py"
        self.source.write_text("train()\n")
        self.digest = hashlib.sha256(self.source.read_bytes()).hexdigest()
        self.start_device()

    def publish_model(self, version, *options):
        return self.fleet.cli("model", "publish", *packages.model(version), *options)

    def predict(self):
        ask = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 576], "data": [0.0] * 576},
                          {"name": "state", "datatype": "FP32", "shape": [2, 1, 128], "data": [0.0] * 256},
                          {"name": "sr", "datatype": "INT64", "shape": [], "data": [16000]}]}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/models/{packages.MODEL_NAME}/infer",
                                         data=json.dumps(ask).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["outputs"][0]["data"]

    def wait_for_use(self, version, requests):
        """What the fleet knows of the version once it knows of so many requests."""
        def known():
            use = self.fleet.cli("model", "show", MODEL, version)["use"]
            return use if use["requests"] >= requests else None

        return testbed.wait_for(f"{requests} requests to {version} are known", known, 60, alive=[self.device])

    def test_from_training_to_devices_and_back(self):
        for make in (packages.onnxruntime, lambda folder: packages.infer(folder, self.bed.bin_dir)):
            folder = self.bed.directory / f"package-{make.__name__}"
            self.fleet.cli("component", "publish", make(folder))
        self.publish_model("1.0.0", "--trained", "2026-11-20", "--dataset", "speech", "--dataset-version", "1",
                           "--metric", "auc=0.91", "--source", self.source, "--licence", "MIT")
        self.publish_model("1.1.0", "--trained", "2026-11-27", "--dataset", "speech", "--dataset-version", "2",
                           "--metric", "auc=0.97315", "--optimiser", "quantise=int8", "--training-run", "run-17")
        with self.assertRaisesRegex(testbed.Failure, "published and described otherwise"):
            self.publish_model("1.1.0", "--licence", "MIT")
        with self.assertRaisesRegex(testbed.Failure, "must be a date"):
            self.publish_model("1.2.0", "--trained", "27.11.2026", "--dataset", "speech", "--metric", "auc=1")
        self.fleet.deploy(e2e.GROUP, {packages.INFER: "0.1.0", MODEL: "1.0.0"},
                          {packages.INFER: {"merge": {"httpPort": self.port, "summaryInterval": 1}}})

        # What it does.
        for _ in range(REQUESTS):
            probability = self.predict()[0]
        use = self.wait_for_use("1.0.0", REQUESTS)
        self.assertEqual(use["requests"], REQUESTS)
        self.assertEqual(use["predictions"], REQUESTS)
        self.assertEqual(use["things"], 1)
        self.assertEqual(use["errors"], 0)
        self.assertAlmostEqual(use["meanConfidence"], max(probability, 1 - probability), places=3)
        self.assertEqual(use["classes"], {"1" if probability >= 0.5 else "0": REQUESTS})

        # Back and forward.
        [running] = self.fleet.cli("model", "trace", "--thing", e2e.THING)
        self.assertEqual(running["model"]["datasetVersion"], "1")
        self.assertEqual(running["model"]["release"], f"{packages.MODEL_NAME}-20261120-speech-auc_0.91")
        [running] = self.fleet.cli("model", "trace", "--source-sha256", self.digest)
        self.assertEqual((running["thing"], running["model"]["version"]), (e2e.THING, "1.0.0"))
        self.assertEqual(self.fleet.cli("model", "trace", "--dataset", "speech", "--dataset-version", "2"), [])

        # Promoted, deployed, taken back.
        self.fleet.cli("model", "promote", MODEL, "1.0.0")
        promotion = self.fleet.cli("model", "promote", MODEL, "1.1.0")
        self.assertEqual(promotion["previous"], "1.0.0")
        self.assertTrue(promotion["by"])
        self.must_deploy({MODEL: "1.1.0"})
        self.predict()
        self.wait_for_use("1.1.0", 1)
        [running] = self.fleet.cli("model", "trace", "--dataset", "speech")
        self.assertEqual(running["model"]["trainingRun"], "run-17")
        self.fleet.cli("model", "rollback", MODEL, "--group", e2e.GROUP, "--wait")
        self.assertEqual(self.device.components()[MODEL][0], "1.0.0")
        listed = {each["version"]: each["tags"] for each in self.fleet.cli("model", "list")}
        self.assertEqual(listed, {"1.0.0": ["production"], "1.1.0": []})
        self.predict()
        self.assertEqual(self.wait_for_use("1.0.0", REQUESTS + 1)["requests"], REQUESTS + 1)

    def publish_topic_services(self):
        """Requests over topics, answered by recipes alone, and a component with the stock SDK that asks."""
        ours = f"{e2e.THING}/infer"
        for name, service, operation, stream, asks in (
                (ASKED, "pubsub", "Topic", {"serve": {"topic": "infer/double"}, "model": "double"}, "infer/double"),
                (ASKED_FROM_AFAR, "mqttproxy", "IoTCore", {"serve": {"iotCore": ours}}, ours)):
            answers = "asker/answers" if service == "pubsub" else f"{e2e.THING}/asker/answers"
            control = {**may(name, service, f"SubscribeTo{operation}", asks), **may(name, service, f"PublishTo{operation}", answers)}
            self.publish(name, "1.0.0", f"exec {{{packages.INFER}:artifacts:path}}/skerry-infer stream "
                                        f"--socket {{{packages.INFER}:work:path}}/infer.sock --report-interval 1",
                         ComponentDependencies={packages.INFER: {"VersionRequirement": ">=0.1.0", "DependencyType": "HARD"}},
                         ComponentConfiguration={"DefaultConfiguration": {
                             "stream": stream, "accessControl": {f"aws.greengrass.ipc.{service}": control}}})
        control = {f"aws.greengrass.ipc.{service}": {**may(ASKER, service, f"PublishTo{operation}", asks),
                                                     **may(ASKER, service, f"SubscribeTo{operation}", answers)}
                   for service, operation, asks, answers in (("pubsub", "Topic", "infer/double", "asker/answers"),
                                                             ("mqttproxy", "IoTCore", ours, f"{e2e.THING}/asker/answers"))}
        # The SDK is in the invoking user's cache, which users of components could not read.
        self.publish(ASKER, "1.0.0", {"RequiresPrivilege": os.geteuid() == 0, "Script": f"exec {sys.executable} {{artifacts:path}}/asker.py"},
                     {"asker.py": (HERE / "components/asker.py").read_bytes()},
                     ComponentConfiguration={"DefaultConfiguration": {"accessControl": control}})

    def check_what_was_heard_over_topics(self):
        self.wait_for_output(ASKER, "asked")
        lines = self.device.component_log(ASKER).read_text().splitlines()
        heard = {kind: next(line.split(f"{kind} ", 1)[1] for line in lines if f"{kind} " in line) for kind in ("local", "refused", "afar")}
        doubled = [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [4, -3]}]  # and one more: the model is 2x + 1
        local = json.loads(heard["local"])
        self.assertEqual((local["model_version"], local["outputs"], local["correlationData"]), ("1.0.0", doubled, {"call": 1}))
        self.assertEqual(json.loads(heard["refused"])["code"], "invalid_argument")
        data, _, answer = heard["afar"].partition(" ")
        self.assertEqual((data, json.loads(answer)["outputs"]), ("00ff", doubled))
        self.assertNotIn("correlationData", json.loads(answer))

    def test_a_model_that_goes_wrong_is_its_components_error(self):
        """Its component is ERRORED with the reason, and started again; the fleet's numbers have it; others are left alone."""
        for make in (packages.onnxruntime, lambda folder: packages.infer(folder, self.bed.bin_dir)):
            self.fleet.cli("component", "publish", make(self.bed.directory / f"package-{make.__name__}"))
        make_models = runpy.run_path(str(Path(__file__).resolve().parents[2] / "src/runtime/testdata/make_models.py"))
        model, contract = self.bed.directory / "double.onnx", self.bed.directory / "contract.json"
        model.write_bytes(make_models["MODELS"]["double.onnx"])
        tensors = {name: [{"name": tensor, "datatype": "FP32", "shape": [-1, 2]}] for name, tensor in (("inputs", "x"), ("outputs", "y"))}
        contract.write_text(json.dumps({**tensors, "finite": ["y"]}))
        self.fleet.cli("model", "publish", model, "--name", "double", "--version", "1.0.0", "--contract", contract)
        self.publish_model("1.0.0")
        self.publish_topic_services()
        self.fleet.deploy(e2e.GROUP, {packages.INFER: "0.1.0", MODEL: "1.0.0", "com.example.double": "1.0.0",
                                      **dict.fromkeys((ASKED, ASKED_FROM_AFAR, ASKER), "1.0.0")},
                          {packages.INFER: {"merge": {"httpPort": self.port, "summaryInterval": 1}}})
        self.assertEqual(self.device.components()["com.example.double"], ("1.0.0", "RUNNING"))
        self.check_what_was_heard_over_topics()

        def double(value):
            ask = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [value, 1]}]}
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/models/double/infer", data=json.dumps(ask).encode())
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code

        def log(text):
            return self.device.component_log("com.example.double").read_text().count(text)

        started = log("double version 1.0.0 is served")
        log_start = self.device.log_size()
        self.assertEqual([double(value) for value in (1, 3e38, 3e38, 3e38)], [200, 500, 500, 500])
        reason = "3 inferences in a row gave NaN or infinity in output 'y'"
        testbed.wait_for("the nucleus knows why", lambda: any(
            each["module"] == "component" and each["message"] == "failed" and reason in each["reason"]
            for each in self.device.log(log_start)), 60, alive=[self.device])
        testbed.wait_for("it is loaded again", lambda: log("double version 1.0.0 is served") > started, 60, alive=[self.device])
        self.wait_for_components({**self.device.components(), "com.example.double": ("1.0.0", "RUNNING")})
        self.assertEqual(double(2), 200)
        self.predict()

        def alarms():
            return self.fleet.cli("model", "show", "com.example.double", "1.0.0")["use"]["notFinite"] == 3

        testbed.wait_for("the fleet knows of the alarms", alarms, 60, alive=[self.device])

    def test_a_runtime_comes_by_itself_and_a_model_that_needs_it(self):
        """The runtime's component registers itself; the service knows it after a restart; a broken one takes itself back."""
        for name, make in (("ort", packages.onnxruntime), ("infer", lambda folder: packages.infer(folder, self.bed.bin_dir)),
                           ("copy", lambda folder: packages.copy_runtime(folder, self.bed.bin_dir))):
            self.fleet.cli("component", "publish", make(self.bed.directory / f"package-{name}"))
        model = self.bed.directory / "echo.copy"
        model.write_text("x y 10 -1\nend\n")
        self.fleet.cli("model", "publish", model, "--name", "echo", "--version", "1.0.0", "--input", "x:FP32:-1",
                       "--output", "y:FP32:-1", "--runtime", "copy", "--runtime-component", "com.example.CopyRuntime")
        # The runtime is not asked for: the model depends on it.
        self.fleet.deploy(e2e.GROUP, {packages.INFER: "0.1.0", "com.example.echo": "1.0.0"},
                          {packages.INFER: {"merge": {"httpPort": self.port, "summaryInterval": 1}}})

        def echo():
            ask = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2.5]}]}
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/models/echo/infer",
                                             data=json.dumps(ask).encode(), method="POST")
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["outputs"][0]["data"]

        self.assertEqual(echo(), [1, 2.5])
        self.assertEqual(self.device.components()["com.example.CopyRuntime"][0], "1.0.0")
        self.device.stop()
        self.start_device()
        testbed.wait_for("the model is served again", lambda: self.answers(echo), 60, alive=[self.device])

        # A runtime that does not open takes itself back, and the model is served all the while.
        folder = self.bed.directory / "package-broken"
        recipe = packages.copy_runtime(folder, self.bed.bin_dir)
        recipe.write_text(recipe.read_text().replace('"ComponentVersion": "1.0.0"', '"ComponentVersion": "1.1.0"'))
        (folder / "libcopy_runtime.so").unlink()
        (folder / "libcopy_runtime.so").write_bytes(b"no library")
        self.fleet.cli("component", "publish", recipe)
        status, reason = self.deploy({"com.example.CopyRuntime": "1.1.0"})
        self.assertEqual(status, "FAILED", reason)
        self.assertEqual(self.device.components()["com.example.CopyRuntime"][0], "1.0.0")
        self.assertEqual(echo(), [1, 2.5])

    @staticmethod
    def answers(ask):
        try:
            return ask()
        except OSError:
            return None


if __name__ == "__main__":
    e2e.main()
