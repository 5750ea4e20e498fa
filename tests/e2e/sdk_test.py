"""Components with the stock device SDKs, in Python and in JavaScript, talk to each other and to the server.

    sdk_test.py BIN_DIR
"""

import json
import os
import sys
from pathlib import Path

import boto3
import e2e
import testbed
from e2e import THING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples/demo"))

import console

TALKER, LISTENER = "com.example.Talker", "com.example.Listener"


def access(component, service, topics, *operations):
    return {f"aws.greengrass.ipc.{service}": {f"{component}:{service}:1": {
        "policyDescription": "For the test.", "operations": [f"aws.greengrass#{each}" for each in operations],
        "resources": topics}}}


class Sdk(e2e.EndToEnd):
    # The clients are in the invoking user's cache, which users of components could not read.
    provision_options = ("--user", "root") if os.geteuid() == 0 else ()

    def configuration(self, component, **values):
        control = access(component, "pubsub", ["e2e/*"], "PublishToTopic", "SubscribeToTopic")
        control |= access(component, "mqttproxy", [f"{THING}/e2e"], "PublishToIoTCore")
        return {"DefaultConfiguration": {"accessControl": control, **values}}

    def test_two_languages_and_the_server(self):
        operator = self.bed.directory / "operator"
        self.fleet.cli("device", "provision", "operator", "--out", operator)
        info = self.fleet.info
        self.fleet.open_to_subscribers(f"{THING}/e2e")
        ears = console.Console(operator, "operator", info["broker_host"], info["broker_port"], info["ca_file"])
        self.addCleanup(ears.stop)
        ears.start(f"{THING}/e2e")
        self.start_device()
        self.publish(TALKER, "1.0.0", f"exec {sys.executable} {{artifacts:path}}/talker.py",
                     {"talker.py": (HERE / "components/talker.py").read_bytes()},
                     ComponentConfiguration=self.configuration(TALKER, greeting="hello"))
        self.publish(LISTENER, "1.0.0",
                     f"NODE_PATH={testbed.CACHE}/npm/node_modules exec node {{artifacts:path}}/listener.js",
                     {"listener.js": (HERE / "components/listener.js").read_bytes()},
                     ComponentConfiguration=self.configuration(LISTENER))
        self.must_deploy({TALKER: "1.0.0", LISTENER: "1.0.0"})
        self.wait_for_output(TALKER, "heard hello from JavaScript")
        self.assertEqual(ears.wait_for(lambda messages: messages), [{"answer": "hello from JavaScript"}])

    def test_boto3_gets_the_devices_credentials(self):
        info = self.fleet.info
        key = json.loads(Path(info["access_key_file"]).read_text())
        boto3.client("s3", endpoint_url=info["artifact_url"] + "/artifacts", region_name=info["region"],
                     aws_access_key_id=key["accessKeyId"], aws_secret_access_key=key["secretAccessKey"]
                     ).put_object(Bucket="skerry-artifacts", Key="borrowed", Body=b"what was uploaded")
        self.publish(TALKER, "1.0.0",
                     f"exec {sys.executable} {{artifacts:path}}/borrower.py {info['artifact_url']}/artifacts",
                     {"borrower.py": (HERE / "components/borrower.py").read_bytes()})
        self.start_device()
        self.must_deploy({TALKER: "1.0.0"})
        self.wait_for_output(TALKER, "credentials by container-role")
        self.wait_for_output(TALKER, "read what was uploaded")
        self.wait_for_output(TALKER, "may not write: AccessDenied")
        doctor = self.fleet.cli("device", "doctor", self.device.directory)
        self.assertIn("takes the device's certificate", doctor["findings"][-1]["remarks"])

    def deploy_exactly(self, component, version, merge=None):
        """This alone; what the command line says of the device."""
        listed = {"componentVersion": version}
        if merge:
            listed["configurationUpdate"] = {"merge": json.dumps(merge)}
        path = self.bed.directory / "request.json"
        path.write_text(json.dumps({"components": {component: listed}}))
        done = self.fleet._run(["deploy", "--group", e2e.GROUP, "--file", path, "--wait", "--timeout", 120], 150)
        [device] = json.loads(done.stdout)["devices"]
        return device

    def test_a_component_refuses_a_configuration_and_holds_an_update_up(self):
        may_update = self.bed.directory / "may-update"
        self.start_device()
        for version in ("1.0.0", "1.1.0"):
            self.publish(TALKER, version, f"exec {sys.executable} -u {{artifacts:path}}/careful.py {may_update}",
                         {"careful.py": (HERE / "components/careful.py").read_bytes()},
                         ComponentConfiguration=self.configuration(TALKER, rate=1))
        may_update.touch()
        self.must_deploy({TALKER: "1.0.0"})
        self.wait_for_output(TALKER, "ready")
        refused = self.deploy_exactly(TALKER, "1.0.0", merge={"rate": -1})
        self.assertEqual((refused["status"], refused["error_stack"][-1]),
                         ("FAILED", "COMPONENT_CONFIGURATION_NOT_VALID"), refused)
        self.assertIn("rate must not be negative", refused["reason"])
        self.assertEqual(self.deploy_exactly(TALKER, "1.0.0", merge={"rate": 2})["status"], "SUCCEEDED")

        may_update.unlink()
        self.begin_deployment({TALKER: "1.1.0"})
        self.wait_for_output(TALKER, "asked about an update, wait")
        self.wait_for_components({TALKER: ("1.0.0", "RUNNING")})
        may_update.touch()
        self.wait_for_components({TALKER: ("1.1.0", "RUNNING")})

    def test_a_component_that_leaves_still_has_its_identity_and_its_configuration(self):
        program = ("import awsiot.greengrasscoreipc.clientv2 as ipc; "
                   "print('last words', ipc.GreengrassCoreIPCClientV2().get_configuration(key_path=['greeting'])"
                   ".value['greeting'], flush=True)")
        self.publish(TALKER, "1.0.0", "exec sleep infinity",
                     ComponentConfiguration=self.configuration(TALKER, greeting="goodbye"),
                     lifecycle={"Uninstall": f'exec {sys.executable} -c "{program}"'})
        self.publish(LISTENER, "1.0.0", "exec sleep infinity")
        self.start_device()
        self.must_deploy({TALKER: "1.0.0"})
        self.deploy_exactly(LISTENER, "1.0.0")
        self.wait_for_output(TALKER, "last words goodbye")

    def test_without_a_server_it_starts_runs_and_serves(self):
        program = ("import awsiot.greengrasscoreipc.clientv2 as ipc, threading; "
                   "print('the nucleus says', ipc.GreengrassCoreIPCClientV2().get_configuration(key_path=['greeting'])"
                   ".value['greeting'], flush=True); threading.Event().wait()")
        self.publish(TALKER, "1.0.0", f'exec {sys.executable} -c "{program}"',
                     ComponentConfiguration=self.configuration(TALKER, greeting="hello"))
        self.start_device()
        self.must_deploy({TALKER: "1.0.0"})
        self.wait_for_output(TALKER, "the nucleus says hello")
        for end in (self.device.stop, self.device.kill):
            end()
            self.fleet.kill()
            self.device.component_log(TALKER).unlink()
            self.device.start()
            self.wait_for_output(TALKER, "the nucleus says hello")


if __name__ == "__main__":
    e2e.main()
