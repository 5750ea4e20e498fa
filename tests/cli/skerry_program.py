"""What the tests of the command line share: running it, and a fleet of their own."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import boto3
import yaml

BIN = pathlib.Path(sys.argv.pop(1))
DEADLINE_S = 60
FREE_PORTS = ["--api-port", "0", "--data-plane-port", "0", "--broker-port", "0", "--artifact-port", "0"]


def skerry(*arguments, code=0, **environment):
    """What it did; fails unless it ends with that exit code."""
    done = subprocess.run([BIN / "skerry", *map(str, arguments)], capture_output=True, text=True,
                          timeout=DEADLINE_S, env={**os.environ, **environment}, check=False)
    if done.returncode != code:
        raise AssertionError(f"skerry {' '.join(map(str, arguments))}: exit {done.returncode}, not {code}\n"
                             f"{done.stdout}{done.stderr}")
    return done


def wait_for(what, condition):
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {DEADLINE_S} s")
        time.sleep(0.02)
    return value


def has_ended(pid):
    """Also as a zombie, whose files and locks are closed."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


class FleetCase(unittest.TestCase):
    """With a fleet of its own, that `skerry up` has started with OPTIONS."""

    OPTIONS = []

    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-cli-", dir="/tmp"))
        cls.directory.chmod(0o755)  # components may run as users of their own
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.fleet = cls.directory / "fleet"
        cls.info = json.loads(skerry("--dir", cls.fleet, "up", *FREE_PORTS, *cls.OPTIONS, "--json").stdout)
        cls.addClassCleanup(skerry, "--dir", cls.fleet, "down")
        cls.key = json.loads(pathlib.Path(cls.info["access_key_file"]).read_text())
        cls.greengrass, cls.iot = cls.client("greengrassv2"), cls.client("iot")

    @classmethod
    def client(cls, service):
        return boto3.client(service, endpoint_url=cls.info["api_url"], region_name=cls.info["region"],
                            verify=cls.info["ca_file"], aws_access_key_id=cls.key["accessKeyId"],
                            aws_secret_access_key=cls.key["secretAccessKey"])

    def cli(self, *arguments, code=0):
        return skerry("--dir", self.fleet, *arguments, code=code)

    def cli_json(self, *arguments, code=0):
        return json.loads(self.cli("--json", *arguments, code=code).stdout)

    def publish(self, name, version, script, **artifacts):
        folder = self.directory / f"{name}-{version}"
        folder.mkdir()
        for file, content in artifacts.items():
            (folder / file).write_text(content)
        recipe = {"RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
                  "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"Run": script},
                                 "Artifacts": [{"URI": f"file:{file}"} for file in artifacts]}]}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        return self.cli_json("component", "publish", folder / "recipe.yaml")
