"""A device without a fleet, driven by `skerry device` and by the stock device SDK as the stock CLI does.

    local_test.py BIN_DIR
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import unittest
import unittest.mock
from pathlib import Path

import e2e
import testbed
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

APP = "com.example.App"


class Local(unittest.TestCase):
    def setUp(self):
        self.bed = testbed.Testbed("local")
        self.addCleanup(self.bed.close)
        self.device = self.bed.device("press-9")
        self.home = self.bed.directory / "home"
        self.skerry("device", "init", self.device.directory, "--thing", "press-9")

    def skerry(self, *words, code=0):
        answer = subprocess.run([self.bed.program("skerry"), "--json", *map(str, words)], capture_output=True, text=True,
                                timeout=120)
        self.assertEqual(answer.returncode, code, answer.stderr)
        return json.loads(answer.stdout) if code == 0 else json.loads(answer.stderr)["error"]["message"]

    def start(self):
        start = self.device.log_size()
        self.device.start()
        self.device.wait_for_log("nucleus", "no fleet is configured: this device takes local deployments only", start)
        testbed.wait_for("an answer", self.answers, alive=[self.device])

    def answers(self):
        """The socket's file says nothing: it is there after a kill, and before anybody listens."""
        return subprocess.run([self.bed.program("skerry"), "device", "components", self.device.directory],
                              capture_output=True, timeout=60).returncode == 0

    def write(self, version, run, files=None, **recipe):
        """A recipe in the layout of the stock CLI, and its artifacts beside it."""
        (self.home / "recipes").mkdir(parents=True, exist_ok=True)
        folder = self.home / "artifacts" / APP / version
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (files or {}).items():
            (folder / name).write_text(content)
        document = {"RecipeFormatVersion": "2020-01-25", "ComponentName": APP, "ComponentVersion": version, **recipe,
                    "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"Run": run},
                                   "Artifacts": [{"URI": f"s3://BUCKET/COMPONENT/{name}"} for name in files or {}]}]}
        (self.home / "recipes" / f"{APP}-{version}.json").write_text(json.dumps(document))

    def deploy(self, *words, code=0):
        return self.skerry("device", "deploy", self.device.directory, "--recipe-dir", self.home / "recipes",
                           "--artifact-dir", self.home / "artifacts", *words, code=code)

    def client(self):
        """As the stock CLI finds the device and proves who it is."""
        [access] = (Path(self.device.root) / "cli_ipc_info").iterdir()
        access = json.loads(access.read_text())
        os.environ["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"] = access["domain_socket_path"]
        os.environ["SVCUID"] = access["cli_auth_token"]
        client = GreengrassCoreIPCClientV2()
        self.addCleanup(client.close)
        return client

    def components(self):
        return {each["componentName"]: (each["version"], each["state"]) for each in
                self.skerry("device", "components", self.device.directory)["components"]
                if each["componentName"] != "aws.greengrass.Nucleus"}

    def output(self):
        path = self.device.component_log(APP)
        return path.read_text() if path.exists() else ""

    def test_a_life_without_a_fleet(self):
        self.start()
        self.assertEqual(self.components(), {})
        self.write("1.0.0", "cat {artifacts:path}/words; echo thing {iot:thingName} {configuration:/tune}; exec sleep infinity",
                   {"words": "hello from the folder\n"}, ComponentConfiguration={"DefaultConfiguration": {"tune": "low"}})
        done = self.deploy("--merge", f"{APP}=1.0.0")
        self.assertEqual(done["status"], "SUCCEEDED")
        self.assertEqual(self.components(), {APP: ("1.0.0", "RUNNING")})
        testbed.wait_for("its output", lambda: "hello from the folder" in self.output() and "thing press-9 low" in self.output())
        # Its folders may go, and the device may be killed.
        subprocess.run(["rm", "-r", self.home], check=True)
        self.device.kill()
        self.start()
        testbed.wait_for("it runs again", lambda: self.components() == {APP: ("1.0.0", "RUNNING")})
        self.skerry("device", "deploy", self.device.directory, "--config", APP + '={"tune": "high"}')
        testbed.wait_for("the new configuration", lambda: "thing press-9 high" in self.output())
        self.write("1.1.0", "exit 3")
        self.assertIn("FAILED", self.deploy("--merge", f"{APP}=1.1.0", code=1))
        self.assertEqual(self.components(), {APP: ("1.0.0", "RUNNING")})
        self.assertIn("has no fleet", self.skerry("device", "deploy", self.device.directory, "--merge", "com.example.None=1.0.0",
                                                  code=1))
        listed = self.skerry("device", "deployments", "list", self.device.directory)["localDeployments"]
        self.assertEqual([each["status"] for each in listed], ["FAILED", "FAILED", "SUCCEEDED", "SUCCEEDED"])
        shown = self.skerry("device", "deployments", "show", self.device.directory, done["deploymentId"])
        self.assertEqual(shown, done)
        self.skerry("device", "deploy", self.device.directory, "--remove", APP)
        self.assertEqual(self.components(), {})

    def test_a_debug_password_opens_what_the_operators_file_does(self):
        self.start()
        password = self.skerry("device", "debug-password", self.device.directory)["password"]
        [access] = (Path(self.device.root) / "cli_ipc_info").iterdir()
        access.write_text("{}")  # as unreadable as another user's
        self.assertIn("you may not control", self.skerry("device", "components", self.device.directory, code=1))
        for shown, code in ((password, 0), (password[::-1], 1)):
            with unittest.mock.patch.dict(os.environ, {"SKERRY_DEBUG_PASSWORD": shown}):
                self.skerry("device", "components", self.device.directory, code=code)

    def test_the_doctor_says_what_the_machine_gives(self):
        def findings(*words, code=0):
            done = subprocess.run([self.bed.program("skerry"), "--json", "device", "doctor", *map(str, words)],
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, code, done.stderr)
            answer = json.loads(done.stdout)
            self.assertEqual(answer["works"], code == 0)
            return {each["what"]: each for each in answer["findings"]}
        machine = findings()
        self.assertIn(os.uname().release, machine["kernel"]["remarks"])
        self.assertEqual(machine["user"]["good"], os.geteuid() == 0)
        for what in ("control groups", "limit of memory", "Landlock", "seccomp filters", "user namespaces", "clock"):
            self.assertFalse(machine[what]["needed"], what)
        device = findings(self.device.directory)
        self.assertIn("MiB free", device["disk"]["remarks"])
        self.assertEqual(device["fleet"]["remarks"], "none is configured")
        # A fleet that is not there.
        config = {
            "system": {"rootPath": "root", "thingName": "press-9", "privateKeyPath": "none.key",
                       "certificateFilePath": "none.pem", "rootCaPath": "none.pem"},
            "services": {"aws.greengrass.Nucleus": {"configuration": {"iotDataEndpoint": "127.0.0.1", "awsRegion": "r"}}}}
        self.device.config_path.write_text(json.dumps(config))
        lost = findings(self.device.directory, code=1)["fleet"]
        self.assertTrue(lost["needed"] and not lost["good"], lost)
        self.assertIn("none.pem", lost["remarks"])

    def test_the_stock_sdk_deploys(self):
        self.start()
        self.write("1.0.0", "exec sleep infinity", {"data": "1"})
        client = self.client()
        created = client.create_local_deployment(
            root_component_versions_to_add={APP: "1.0.0"}, recipe_directory_path=str(self.home / "recipes"),
            artifacts_directory_path=str(self.home / "artifacts"), failure_handling_policy="ROLLBACK",
            component_to_configuration={APP: {"MERGE": {"speed": 3}}},
            component_to_run_with_info={APP: model.RunWithInfo(system_resource_limits=model.SystemResourceLimits(memory=65536, cpus=0.5))})

        def status(of):
            return client.get_local_deployment_status(deployment_id=of).deployment

        testbed.wait_for("its end", lambda: status(created.deployment_id).status not in ("QUEUED", "IN_PROGRESS"))
        ended = status(created.deployment_id)
        self.assertEqual((ended.status, ended.deployment_status_details.detailed_deployment_status),
                         ("SUCCEEDED", "SUCCESSFUL"))
        self.assertRegex(ended.created_on, r"^\d{4}-\d\d-\d\dT")
        [listed] = client.list_local_deployments().local_deployments
        self.assertEqual(listed.deployment_id, created.deployment_id)
        self.assertEqual(client.get_component_details(component_name=APP).component_details.configuration, {"speed": 3})

        self.write("2.0.0", r"printf 'caf\351\n'; exit 3")  # Latin 1
        failed = client.create_local_deployment(root_component_versions_to_add={APP: "2.0.0"},
                                                recipe_directory_path=str(self.home / "recipes")).deployment_id
        testbed.wait_for("its end", lambda: status(failed).status == "FAILED")
        details = status(failed).deployment_status_details
        self.assertEqual(details.detailed_deployment_status, "FAILED_ROLLBACK_COMPLETE")
        self.assertEqual(details.deployment_error_stack[0], "DEPLOYMENT_FAILURE")
        self.assertIn("caf", details.deployment_failure_cause)

        self.write("3.0.0", "exec sleep infinity")
        recipe = json.loads((self.home / "recipes" / f"{APP}-3.0.0.json").read_text())
        recipe["Manifests"][0]["Lifecycle"] = {"Startup": {"Script": "sleep 60", "Timeout": 100}}
        (self.home / "recipes" / f"{APP}-3.0.0.json").write_text(json.dumps(recipe))
        running = client.create_local_deployment(root_component_versions_to_add={APP: "3.0.0"},
                                                 recipe_directory_path=str(self.home / "recipes")).deployment_id
        testbed.wait_for("it runs", lambda: self.components().get(APP) == ("3.0.0", "STARTING"))
        self.assertIn(running, client.cancel_local_deployment(deployment_id=running).message)
        testbed.wait_for("its end", lambda: status(running).status == "CANCELED")
        testbed.wait_for("what ran before", lambda: self.components() == {APP: ("1.0.0", "RUNNING")})

        with self.assertRaises(model.InvalidArgumentsError):
            client.cancel_local_deployment(deployment_id=running)
        for ask in (client.cancel_local_deployment, client.get_local_deployment_status):
            with self.assertRaises(model.ResourceNotFoundError):
                ask(deployment_id="none")
        with self.assertRaises(model.InvalidRecipeDirectoryPathError):
            client.create_local_deployment(recipe_directory_path="/nowhere")
        with self.assertRaises(model.InvalidArtifactsDirectoryPathError):
            client.create_local_deployment(artifacts_directory_path="/nowhere")
        with self.assertRaises(model.ServiceError):
            client.create_local_deployment(root_component_versions_to_add={APP: "latest"})

    def test_secrets_reach_who_may_have_them_and_nothing_else(self):
        self.start()
        value = "correct horse battery staple"
        file = self.bed.directory / "value"
        file.write_text("an older one")
        put = ["device", "secret", "put", self.device.directory, "db/password", "--file", file]
        arn = self.skerry(*put)["arn"]
        file.write_text(value)
        self.assertEqual(self.skerry(*put)["arn"], arn)
        program = ("import hashlib, sys\n"
                   "from awsiot.greengrasscoreipc import model\n"
                   "from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2\n"
                   "client = GreengrassCoreIPCClientV2()\n"
                   "got = client.get_secret_value(secret_id='db/password')\n"
                   "print('got', got.version_stage, hashlib.sha256(got.secret_value.secret_string.encode()).hexdigest(), flush=True)\n"
                   "try:\n    client.get_secret_value(secret_id='db/other')\n"
                   "except model.UnauthorizedError:\n    print('refused', flush=True)\n")
        self.write("1.0.0", f"{sys.executable} {{artifacts:path}}/reader.py; exec sleep infinity", {"reader.py": program},
                   ComponentConfiguration={"DefaultConfiguration": {"accessControl": {"aws.greengrass.SecretManager": {
                       "p": {"operations": ["aws.greengrass#GetSecretValue"], "resources": [arn]}}}}})
        # The SDK is in the invoking user's cache, which users of components could not read.
        run_as = ["--run-with", f"{APP}:posixUser=root"] if os.geteuid() == 0 else []
        self.deploy("--merge", f"{APP}=1.0.0", *run_as)
        expected = f"got ['AWSCURRENT'] {hashlib.sha256(value.encode()).hexdigest()}"
        testbed.wait_for("the component has it", lambda: expected in self.output() and "refused" in self.output(),
                         alive=[self.device])
        self.device.kill()
        self.start()
        client = self.client()
        got = client.get_secret_value(secret_id=arn, version_stage="AWSPREVIOUS")
        self.assertEqual((got.secret_id, got.secret_value.secret_string), (arn, "an older one"))
        with self.assertRaises(model.ResourceNotFoundError):
            client.get_secret_value(secret_id="db/other")
        for path in [self.device.log_path, *filter(Path.is_file, Path(self.device.root).rglob("*"))]:
            self.assertNotIn(value.encode(), path.read_bytes(), path)
        [listed] = self.skerry("device", "secret", "list", self.device.directory)["secrets"]
        self.assertEqual((listed["name"], len(listed["versions"])), ("db/password", 2))
        self.skerry("device", "secret", "remove", self.device.directory, "db/password")
        self.assertIn("no secret", self.skerry("device", "secret", "remove", self.device.directory, "db/password", code=1))

    def test_the_configuration_is_checked_without_starting(self):
        def check(code):
            done = subprocess.run([*map(str, self.device.command()), "--check-config"], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, code, done.stderr)
            return done.stdout + done.stderr

        self.assertIn("the device has no fleet", check(0))
        self.assertFalse(Path(self.device.root).exists(), "nothing is started or made")
        good = self.device.config_path.read_text()
        identity = {name: str(self.bed.directory / name) for name in ("privateKeyPath", "certificateFilePath", "rootCaPath")}
        fleet = {"system": {"rootPath": str(self.device.root), "thingName": "press-9", **identity}, "services": {
            "aws.greengrass.Nucleus": {"configuration": {"awsRegion": "eu-west-1", "iotDataEndpoint": "localhost"}}}}
        for text, says in ((json.dumps(fleet), "rootCaPath"), ("system: {thingName: a}", "rootPath"), ("{", "config.yaml"),
                           (good + "\nservices: {aws.greengrass.Nucleus: {configuration: {runWithDefault: {posixUser: nobody-here}}}}",
                            "nobody-here")):
            self.device.config_path.write_text(text)
            self.assertIn(says, check(2))

    def test_a_service_manager_hears_that_it_is_ready_well_and_stopping(self):
        path = self.bed.directory / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(path))
            manager.settimeout(60)
            self.device.start(env={**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"})
            self.assertEqual([manager.recv(100) for _ in range(3)], [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"])
            self.device.stop()
            said = [b""]
            while said[-1] != b"STOPPING=1":
                said.append(manager.recv(100))

    def test_it_joins_a_fleet_later_and_keeps_what_runs(self):
        self.start()
        self.write("1.0.0", "exec sleep infinity", {"data": "1"})
        self.deploy("--merge", f"{APP}=1.0.0")
        self.device.stop()
        self.bed.fleet.start()
        self.bed.fleet.cli("group", "create", e2e.GROUP)
        self.device.provision("--group", e2e.GROUP)
        start = self.device.log_size()
        self.device.start()
        self.device.wait_for_log("nucleus", "connected", start)
        folder = self.bed.directory / "fleet-part"
        folder.mkdir()
        (folder / "recipe.yaml").write_text(json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": e2e.NAME, "ComponentVersion": "1.0.0",
            "Manifests": [{"Lifecycle": {"Run": "exec sleep infinity"}}]}))
        self.bed.fleet.cli("component", "publish", folder / "recipe.yaml")
        [(_, status, reason)] = self.bed.fleet.deploy(e2e.GROUP, {e2e.NAME: "1.0.0"})
        self.assertEqual(status, "SUCCEEDED", reason)
        self.assertEqual(self.components(), {APP: ("1.0.0", "RUNNING"), e2e.NAME: ("1.0.0", "RUNNING")})
        testbed.wait_for("the fleet knows both", lambda: set(self.device.components()) == {APP, e2e.NAME})


if __name__ == "__main__":
    e2e.main()
