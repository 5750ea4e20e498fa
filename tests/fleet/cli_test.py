"""The unmodified `aws` command against the API.

    cli_test.py SKERRY_FLEET
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from fleet import DEADLINE_S, Fleet, key_and_csr, recipe

PROGRAM = sys.argv.pop(1)
AWS = pathlib.Path(sys.executable).parent / "aws"


class AwsCommand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-cli-")
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = pathlib.Path(scratch.name)
        cls.fleet = Fleet(PROGRAM, cls.scratch / "fleet")
        cls.addClassCleanup(cls.fleet.stop)

    def aws(self, *arguments, expect=0):
        environment = {**os.environ, "AWS_DEFAULT_REGION": self.fleet.info["region"],
                       "AWS_ACCESS_KEY_ID": self.fleet.access_key["aws_access_key_id"],
                       "AWS_SECRET_ACCESS_KEY": self.fleet.access_key["aws_secret_access_key"],
                       "AWS_CONFIG_FILE": str(self.scratch / "none")}
        done = subprocess.run([AWS, "--endpoint-url", self.fleet.info["api_url"], "--output",
                               "json", *arguments], env=environment, capture_output=True,
                              text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, expect, done.stderr)
        if expect:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def test_from_an_empty_fleet_to_a_deployment(self):
        file = self.scratch / "recipe.json"
        file.write_bytes(recipe("com.example.Cli", "1.0.0"))
        csr = self.scratch / "t.csr"
        csr.write_text(key_and_csr("t")[1])
        self.aws("iot", "create-thing", "--thing-name", "t")
        made = self.aws("iot", "create-certificate-from-csr", "--set-as-active",
                        "--certificate-signing-request", f"file://{csr}")
        self.aws("iot", "attach-thing-principal", "--thing-name", "t", "--principal",
                 made["certificateArn"])
        group = self.aws("iot", "create-thing-group", "--thing-group-name", "g")
        self.aws("iot", "add-thing-to-thing-group", "--thing-name", "t", "--thing-group-name", "g")
        created = self.aws("greengrassv2", "create-component-version", "--inline-recipe",
                           f"fileb://{file}", "--tags", "a=b")
        self.assertEqual(created["componentName"], "com.example.Cli")
        deployment = self.aws(
            "greengrassv2", "create-deployment", "--target-arn", group["thingGroupArn"],
            "--components", '{"com.example.Cli": {"componentVersion": "1.0.0"}}')
        listed = self.aws("greengrassv2", "list-deployments")
        self.assertEqual([d["deploymentId"] for d in listed["deployments"]],
                         [deployment["deploymentId"]])
        executions = self.aws("iot", "list-job-executions-for-job", "--job-id",
                              deployment["iotJobId"])
        self.assertEqual(executions["executionSummaries"][0]["jobExecutionSummary"]["status"],
                         "QUEUED")
        # The command reads page after page by itself.
        versions = self.aws("greengrassv2", "list-component-versions", "--page-size", "1", "--arn",
                            created["arn"].split(":versions:")[0])
        self.assertEqual(len(versions["componentVersions"]), 1)
        self.aws("greengrassv2", "cancel-deployment", "--deployment-id",
                 deployment["deploymentId"])
        self.assertEqual(self.aws("greengrassv2", "list-core-devices")["coreDevices"], [])
        error = self.aws("greengrassv2", "get-deployment", "--deployment-id", "none", expect=255)
        self.assertIn("ResourceNotFoundException", error)


if __name__ == "__main__":
    unittest.main()
