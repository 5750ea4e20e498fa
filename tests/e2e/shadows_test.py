"""A shadow from an operator's boto3 to a component's stock SDK and back, over kills of the device and of the fleet; and the
ways of AWS to a device whose key is in a token: a deployment in its shadow, an artifact on S3.

    shadows_test.py BIN_DIR
"""

import base64
import hashlib
import json
import os
import subprocess
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


class Boto3(e2e.EndToEnd):
    def client(self, service, path=""):
        key = json.loads(Path(self.fleet.info["access_key_file"]).read_text())
        return boto3.client(service, endpoint_url=self.fleet.info["api_url"] + path, region_name=self.fleet.info["region"],
                            aws_access_key_id=key["accessKeyId"], aws_secret_access_key=key["secretAccessKey"])

    def data(self):
        return self.client("iot-data")


class Shadows(Boto3):
    # The clients are in the invoking user's cache, which users of components could not read.
    provision_options = ("--user", "root") if os.geteuid() == 0 else ()

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


class WaysOfAws(Boto3):
    DEPLOYMENTS, MODULE = "AWSManagedGreengrassV2Deployment", "/usr/lib/softhsm/libsofthsm2.so"

    def prepare(self):
        """A key that is made in a token, and never leaves it."""
        home = self.bed.directory
        (home / "tokens").mkdir()
        (home / "softhsm2.conf").write_text(f"directories.tokendir = {home}/tokens\n")
        (home / "pin").write_text("1234\n")
        os.environ["SOFTHSM2_CONF"] = str(home / "softhsm2.conf")
        for command in (["softhsm2-util", "--init-token", "--free", "--label", "dev", "--so-pin", "12345678", "--pin", "1234"],
                        ["pkcs11-tool", "--module", self.MODULE, "--token-label", "dev", "--login", "--pin", "1234", "--keypairgen",
                         "--key-type", "EC:prime256v1", "--id", "01", "--label", "press", "--usage-sign", "--usage-derive"]):
            subprocess.run(command, check=True, capture_output=True)
        self.provision_options = (
            "--key", f"pkcs11:token=dev;object=press;type=private?module-path={self.MODULE}&pin-source=file:{home}/pin")

    def wish(self, revision, components, status="IN_PROGRESS"):
        arn = (f"arn:aws:greengrass:{self.fleet.info['region']}:{self.fleet.info['account']}:"
               f"configuration:thing/{THING}:{revision}")
        document = {"configurationArn": arn, "components": {name: {"version": version} for name, version in components.items()}}
        self.data().update_thing_shadow(thingName=THING, shadowName=self.DEPLOYMENTS, payload=json.dumps(
            {"state": {"desired": {"fleetConfig": json.dumps(document), "desiredStatus": status}}}))
        return arn

    def wait_for_report(self, arn, status):
        def reported():
            answer = self.data().get_thing_shadow(thingName=THING, shadowName=self.DEPLOYMENTS)
            said = json.loads(answer["payload"].read())["state"].get("reported", {})
            return said if said.get("fleetConfigurationArnForStatus") == arn and said["status"] == status else None
        return testbed.wait_for(f"{status} is reported of {arn}", reported, 60, alive=[self.device])

    def test_a_key_in_a_token_a_deployment_in_the_shadow_and_an_artifact_on_s3(self):
        self.assertFalse((self.device.directory / "device.key").exists())
        doctor = subprocess.run([self.bed.program("skerry"), "--json", "device", "doctor", self.device.directory],
                                capture_output=True, text=True, timeout=60)
        findings = {each["what"]: each for each in json.loads(doctor.stdout)["findings"]}
        for what in ("key in a token", "fleet"):
            self.assertTrue(findings[what]["good"], findings[what])
        self.start_device()
        self.publish(e2e.NAME, "1.0.0", "echo one; exec sleep 1000")
        self.must_deploy({e2e.NAME: "1.0.0"})
        # What nuclei provide any device may have; of the rest the fleet gives what it has itself deployed to it.
        self.wait_for_report(self.wish(1, {MANAGER: "2.3.9"}), "SUCCEEDED")
        self.wait_for_components({e2e.NAME: ("1.0.0", "RUNNING"), MANAGER: ("2.3.9", "FINISHED")})
        self.device.kill()
        arn = self.wish(2, {e2e.NAME: "2.0.0"})
        self.start_device()
        details = self.wait_for_report(arn, "FAILED")["statusDetails"]
        self.assertEqual(details["detailedStatus"], "FAILED_NO_STATE_CHANGE")
        self.assertIn(f"thing/{THING} wants =2.0.0", details["failureCause"])

        content = os.urandom(1_000_000)
        self.client("s3", "/artifacts").put_object(Bucket="skerry-artifacts", Key="shared/da ta.bin", Body=content)
        recipes = self.bed.directory / "recipes"
        recipes.mkdir()
        digest = hashlib.sha256(content)
        (recipes / "reader.json").write_text(json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.Reader", "ComponentVersion": "1.0.0", "Manifests": [{
                "Lifecycle": {"Run": "sha256sum '{artifacts:path}/da ta.bin'; exec sleep 1000"},
                "Artifacts": [{"URI": "s3://skerry-artifacts/shared/da ta.bin", "Algorithm": "SHA-256",
                               "Digest": base64.b64encode(digest.digest()).decode()}]}]}))
        deploy = subprocess.run([self.bed.program("skerry"), "device", "deploy", self.device.directory, "--recipe-dir", recipes,
                                 "--merge", "com.example.Reader=1.0.0"], capture_output=True, text=True, timeout=60)
        self.assertEqual(deploy.returncode, 0, deploy.stdout + deploy.stderr)
        self.wait_for_output("com.example.Reader", digest.hexdigest())

        # Without the token there is no device, and whoever looks is told so.
        self.device.kill()
        (self.bed.directory / "pin").write_text("0000\n")
        check = subprocess.run([self.bed.program("skerryd"), "--config", self.device.config_path, "--check-config"],
                               capture_output=True, text=True, timeout=60)
        self.assertNotEqual(check.returncode, 0)
        self.assertIn("is the token there, its PIN right", check.stdout + check.stderr)
        self.assertNotIn("0000", check.stdout + check.stderr)


if __name__ == "__main__":
    e2e.main()
