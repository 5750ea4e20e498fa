"""A shadow from an operator's boto3 to a component's stock SDK and back, over kills of the device and of the fleet.

    shadows_test.py BIN_DIR
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
KEEPER, MANAGER = "com.example.ShadowKeeper", "aws.greengrass.ShadowManager"
SHADOW = "config"


def access(service, resource):
    return {service: {f"{KEEPER}:{service}:1": {"policyDescription": "For the test.", "operations": ["*"],
                                                "resources": [resource]}}}


class Shadows(e2e.EndToEnd):
    # The clients are in the invoking user's cache, which users of components could not read.
    provision_options = ("--user", "root") if os.geteuid() == 0 else ()

    def data(self):
        key = json.loads(Path(self.fleet.info["access_key_file"]).read_text())
        return boto3.client("iot-data", endpoint_url=self.fleet.info["api_url"], region_name=self.fleet.info["region"],
                            aws_access_key_id=key["accessKeyId"], aws_secret_access_key=key["secretAccessKey"])

    def wish(self, **desired):
        self.data().update_thing_shadow(thingName=THING, shadowName=SHADOW,
                                        payload=json.dumps({"state": {"desired": desired}}))

    def reported(self):
        answer = self.data().get_thing_shadow(thingName=THING, shadowName=SHADOW)
        return json.loads(answer["payload"].read())["state"].get("reported", {})

    def wait_until_reported(self, **expected):
        testbed.wait_for(f"the shadow reports {expected}", lambda: self.reported() == expected, 60, alive=[self.device])

    def test_a_wish_is_fulfilled_and_reported_whatever_is_killed_in_between(self):
        shadows = f"$aws/things/{THING}/shadow*"
        control = access("aws.greengrass.ShadowManager", shadows) | access("aws.greengrass.ipc.pubsub", shadows)
        self.publish(KEEPER, "1.0.0", f"exec {sys.executable} {{artifacts:path}}/shadow_keeper.py",
                     {"shadow_keeper.py": (HERE / "components/shadow_keeper.py").read_bytes()},
                     ComponentDependencies={MANAGER: {"VersionRequirement": "^2.0.0"}},
                     ComponentConfiguration={"DefaultConfiguration": {"accessControl": control}})
        self.start_device()
        synchronize = {"synchronize": {"coreThing": {"classic": False, "namedShadows": [SHADOW]}}}
        request = self.bed.directory / "request.json"
        request.write_text(json.dumps({"components": {
            KEEPER: {"componentVersion": "1.0.0"},
            MANAGER: {"componentVersion": "2.3.9", "configurationUpdate": {"merge": json.dumps(synchronize)}}}}))
        self.fleet._run(["deploy", "--group", e2e.GROUP, "--file", request, "--wait", "--timeout", 120], 150)
        self.wish(rate=1)
        self.wait_until_reported(rate=1)

        self.device.kill()
        self.wish(rate=2)
        self.start_device()
        self.wait_until_reported(rate=2)

        self.fleet.kill()
        self.fleet.start()
        self.wish(rate=3, mode="eco")
        self.wait_until_reported(rate=3, mode="eco")


if __name__ == "__main__":
    e2e.main()
