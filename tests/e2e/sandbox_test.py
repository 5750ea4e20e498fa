"""What components of a real device reach of the machine: their sandboxes.

    sandbox_test.py BIN_DIR
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import e2e
import testbed
import yaml

APP, OTHER = "com.example.App", "com.example.Other"
QUIET = "exec sleep infinity"


@unittest.skipUnless(os.geteuid() == 0, "components get users and a /tmp of their own from root only")
class Sandbox(unittest.TestCase):
    """A device outside of /tmp, as real ones are."""

    def setUp(self):
        self.place = Path(tempfile.mkdtemp(prefix="skerry-sandbox-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.place)
        self.bed = testbed.Testbed("sandbox")
        self.addCleanup(self.bed.close)
        self.place.chmod(0o755)
        self.device = self.bed.device("press-9")
        self.device.directory = self.place / "device"
        self.device.root = self.device.directory / "root"
        self.skerry("device", "init", self.device.directory, "--thing", "press-9")
        # Whoever may pass may read and write here.
        for name in ("shared", "opened"):
            (self.place / name).mkdir()
            (self.place / name).chmod(0o777)
            (self.place / name / "data").write_text("data")
            (self.place / name / "data").chmod(0o666)

    def skerry(self, *words):
        done = subprocess.run([self.bed.program("skerry"), "--json", *map(str, words)], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def start(self, **settings):
        config = {"system": {"rootPath": str(self.device.root), "thingName": "press-9"},
                  "services": {"aws.greengrass.Nucleus": {"configuration": {"skerry": settings}}}}
        self.device.config_path.write_text(json.dumps(config))
        self.device.start()
        testbed.wait_for("an answer", lambda: subprocess.run(
            [self.bed.program("skerry"), "device", "components", self.device.directory], capture_output=True).returncode == 0,
            alive=[self.device])

    def deploy(self, *components):
        """(name, Run, recipe's other keys[, {artifact: file or text}]) of each."""
        home = Path(tempfile.mkdtemp(dir=self.bed.directory))
        artifacts = home / "artifacts"
        for name, run, more, *files in components:
            folder = artifacts / name / "1.0.0"
            folder.mkdir(parents=True)
            for file, content in dict(*files).items():
                shutil.copy(content, folder / file) if isinstance(content, Path) else (folder / file).write_text(content)
            (home / f"{name}-1.0.0.json").write_text(json.dumps({
                "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": "1.0.0", **more,
                "Manifests": [{"Lifecycle": run if isinstance(run, dict) else {"Run": run},
                               "Artifacts": [{"URI": f"s3://BUCKET/COMPONENT/{file}", "Permission": {"Read": "ALL", "Execute": "ALL"}}
                                             for file in dict(*files)]}]}))
        merge = [word for name, *_ in components for word in ("--merge", f"{name}=1.0.0")]
        self.skerry("device", "deploy", self.device.directory, "--recipe-dir", home, "--artifact-dir", artifacts, *merge)

    def asks(self, *commands):
        """A script that says for each command, by its number, whether it succeeds."""
        return "; ".join(f"if ({command}) >/dev/null 2>&1; then echo {n} yes; else echo {n} no; fi"
                         for n, command in enumerate(commands)) + "; echo asked; " + QUIET

    def answers(self, name=APP):
        path = self.device.component_log(name)
        testbed.wait_for(f"{name} has asked", lambda: path.exists() and "asked" in path.read_text(), alive=[self.device])
        return [line.split()[-1] == "yes" for line in path.read_text().splitlines() if line.split()[-1] in ("yes", "no")]

    def test_it_reaches_its_own_the_system_and_what_is_opened(self):
        self.start(sandbox={"read": [str(self.place / "opened")]})
        shared, opened, root = self.place / "shared", self.place / "opened", self.device.root
        outside = Path("/tmp") / self.place.name
        outside.write_text("of the machine")
        self.addCleanup(outside.unlink)
        self.deploy((OTHER, f"chmod 0777 {{work:path}}; echo x > note; chmod 666 note; {QUIET}", {}))
        self.deploy((APP, self.asks(
            "echo x > mine && cat mine", "cat /etc/passwd", "python3 -c 'import ssl'", "echo > /dev/null", "cat /proc/self/maps",
            "echo x > /dev/shm/skerry-sandbox-$$ && rm /dev/shm/skerry-sandbox-$$", "echo x > /tmp/mine && cat /tmp/mine",
            f"cat {opened}/data", "test -S $AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT",
            f"cat {opened}/data && echo x > {opened}/data", f"cat {root}/work/{OTHER}/note", f"cat {root}/config.yaml", f"cat {outside}",
            "echo x > /var/tmp/skerry-sandbox", f"ls {root}/state/* && cat {root}/state/*", "ls /root && cat /root/.bashrc"), {}))
        answers = self.answers()
        self.assertEqual(answers, [True] * 9 + [False] * 7)
        self.assertEqual((root / "tmp" / APP / "mine").read_text(), "x\n")
        # Folders beside the device's are the machine's, and what is read there is its users' matter.
        self.assertEqual((shared / "data").read_text(), "data")
        self.skerry("device", "deploy", self.device.directory, "--remove", APP)
        testbed.wait_for("its /tmp goes with it", lambda: not (root / "tmp" / APP).exists(), alive=[self.device])

    def test_recipes_open_and_switch_off_and_programs_do_not(self):
        self.start()
        shared = self.place / "shared"
        opens = {"ComponentConfiguration": {"DefaultConfiguration": {"skerry": {"sandbox": {"write": [str(shared)]}}}}}
        off = {"ComponentConfiguration": {"DefaultConfiguration": {"skerry": {"sandbox": {"enabled": False}}}}}
        outside = Path("/tmp") / self.place.name
        outside.write_text("of the machine")
        self.addCleanup(outside.unlink)
        asks = self.asks(f"echo x > {shared}/by-$$", f"cat {outside}")
        self.deploy((APP, asks, opens), (OTHER, asks, off), ("com.example.Plain", asks, {}),
                    ("com.example.Privileged", {"Run": {"RequiresPrivilege": True, "Script": asks}}, {}))
        self.assertEqual(self.answers(), [True, False])
        self.assertEqual(self.answers(OTHER), [True, True])
        self.assertEqual(self.answers("com.example.Plain"), [False, False])
        self.assertEqual(self.answers("com.example.Privileged"), [True, True])

    def test_components_share_memory_with_the_inference_service(self):
        """The example's recipe, a model, and the example client: three users, three sandboxes, a ring and a region in /dev/shm."""
        self.start()
        infer, model = "skerry.Infer", "com.example.Same"
        recipe = yaml.safe_load((Path(__file__).resolve().parents[2] / "examples/infer/recipe.yaml").read_text())
        serve = recipe["Manifests"][0]["Lifecycle"]["Run"].partition("--http-port")[0] + "--runtime null"
        tensor = {"datatype": "FP32", "shape": [-1, 2]}
        same = {"inputs": [{"name": "x", **tensor}], "outputs": [{"name": "y", **tensor}]}
        code = json.dumps({"null_model": 1, "behaviour": "identity", **same})
        package = json.dumps({"format": 1, "name": "same", "version": "1", "runtime": "null", "file": "model.bin",
                              "sha256": hashlib.sha256(code.encode()).hexdigest(), **same})
        needs = {"ComponentDependencies": {name: {"VersionRequirement": ">=0.1.0", "DependencyType": "HARD"} for name in (infer, model)}}
        at = f"{{{infer}:work:path}}/infer.sock"
        region = f"python3 {{artifacts:path}}/region.py {at} skerry-sandbox-{os.getpid()}"
        self.deploy(
            (infer, serve, {"ComponentConfiguration": recipe["ComponentConfiguration"]}, {"skerry-infer": self.bed.program("skerry-infer")}),
            (model, {"Startup": f"exec {{{infer}:artifacts:path}}/skerry-infer load --socket {at} same {{artifacts:path}}"},
             {"ComponentDependencies": {infer: needs["ComponentDependencies"][infer]}}, {"model.bin": code, "model.json": package}),
            (APP, self.asks(f'test "$({{artifacts:path}}/infer_client {at} same x 1.5 -2)" = "y 1.5 -2"',
                            f"{region} 0660", f"{region} 0600"), needs,
             {"infer_client": self.bed.program("infer_client"), "region.py": Path(__file__).parent / "components/region.py"}))
        # What belongs to one user alone, the service cannot open.
        self.assertEqual(self.answers(), [True, True, False])

    def test_the_device_switches_it_off(self):
        self.start(sandbox={"enabled": False})
        self.assertTrue([record for record in self.device.log() if "not in sandboxes" in record["message"]])
        self.deploy((APP, self.asks(f"echo x > {self.place}/shared/new"), {}))
        self.assertEqual(self.answers(), [True])

    def test_where_the_kernel_has_no_landlock_it_is_said_once(self):
        """Such a kernel is made by a filter, which lets the other parts of a sandbox be."""
        library = testbed.CACHE / "venv/bin/python"
        self.device.config_path.write_text(json.dumps({"system": {"rootPath": str(self.device.root)}}))
        self.device.start(before=[library, Path(__file__).with_name("without_landlock.py")])
        self.device.wait_for_log("nucleus", "components may reach all files that their users may")
        testbed.wait_for("an answer", lambda: subprocess.run(
            [self.bed.program("skerry"), "device", "components", self.device.directory], capture_output=True).returncode == 0,
            alive=[self.device])
        self.deploy((APP, self.asks("cat /etc/passwd", f"echo x > {self.place}/shared/new", "ls /tmp && test ! -e /tmp/mine"), {}))
        self.assertEqual(self.answers(), [True, True, True])
        said = [record for record in self.device.log() if "may reach all files" in record["message"]]
        self.assertEqual(len(said), 1)


if __name__ == "__main__":
    e2e.main()
