"""The skerry program against a real fleet and a real device.

    cli_test.py BIN_DIRECTORY
"""

import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest
import zipfile

import boto3
import yaml

from skerry_program import BIN, DEADLINE_S, FREE_PORTS, FleetCase, has_ended, skerry, wait_for


def commands(*path):
    """Every command below this one, with it, by the help of each."""
    yield path
    _, _, listed = skerry(*path, "--help").stdout.partition("\nSubcommands:\n")
    for line in listed.partition("\n\n")[0].splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            yield from commands(*path, line.split()[0])


class WithoutFleet(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-cli-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)

    def test_every_command_helps_with_examples(self):
        self.assertIn("Exit codes", skerry("--help").stdout)
        found = list(commands())
        self.assertGreater(len(found), 40)
        for command in found:
            with self.subTest(" ".join(command)):
                _, _, examples = skerry(*command, "--help").stdout.partition("\nExample")
                self.assertIn(" ".join(["skerry", *command]), examples)

    def test_what_skerry_model_does_is_listed_as_it_says_itself(self):
        def listed(program, *words):
            done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
            return set(done.stdout.partition("\nSubcommands:\n")[2].partition("\n\n")[0].splitlines())

        for group in ([], ["model"]):
            with self.subTest(group):
                theirs = {line for line in listed(BIN / "skerry-model", *group) if line.split()[0] != "model"}
                self.assertTrue(theirs)
                self.assertLessEqual(theirs, listed(BIN / "skerry", *group))

    def test_without_skerry_model_it_says_where_that_should_be(self):
        alone = shutil.copy(BIN / "skerry", self.directory)
        for words in (["model", "inspect", "--layers", "net.onnx"], ["learn", "status"]):
            done = subprocess.run([alone, "--json", "--dir", "f", *words], capture_output=True, text=True, timeout=DEADLINE_S,
                                  check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(self.directory / "skerry-model"), json.loads(done.stderr)["error"]["message"])

    def test_wrong_command_lines_end_with_2_and_say_why(self):
        for arguments, reason in [
            ([], "skerry --help"),
            (["device"], "skerry device --help"),
            (["deploi"], "deploi"),
            (["status", "--colour"], "--colour"),
            (["deploy"], "--group"),
            (["deploy", "--group", "g", "--thing", "t"], "exclude"),
            (["deploy", "--group", "g", "--component", "com.example.Hello"], "NAME="),
            (["device", "provision", "press-7"], "--out"),
            (["component", "publish", "/nonexistent.yaml"], "/nonexistent.yaml"),
            (["logs", "com.example.Hello"], "--root"),
        ]:
            with self.subTest(arguments):
                self.assertIn(reason, skerry(*arguments, code=2).stderr)

    def test_wrong_command_lines_are_json_where_json_is_asked_for(self):
        for arguments in (["--json"], ["--json", "deploi"], ["status", "--colour", "--json"], ["device", "--json"]):
            with self.subTest(arguments):
                done = skerry(*arguments, code=2)
                self.assertEqual(json.loads(done.stderr)["error"]["code"], "invalid_argument")
                self.assertEqual(done.stdout, "")

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            for arguments in (["--help"], ["--dir", self.directory, "down", "--json"]):
                with self.subTest(arguments):
                    done = subprocess.run([BIN / "skerry", *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn(b"No space left", done.stderr)

    def test_no_escape_sequence_of_others_reaches_a_terminal(self):
        logs = self.directory / "root/logs"
        logs.mkdir(parents=True)
        (logs / "com.example.Rude.log").write_bytes("a\x1b]0;title\x07\tb\u009b31mc \u00e4\n".encode())

        def on_a_terminal(*arguments):
            screen, terminal = pty.openpty()
            subprocess.run([BIN / "skerry", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=terminal,
                           stderr=terminal, timeout=DEADLINE_S, check=False)
            os.close(terminal)
            with open(screen, "rb", closefd=True) as shown:
                return shown.read1(1 << 16).decode()
        shown = on_a_terminal("logs", "com.example.Rude", "--root", self.directory / "root")
        self.assertIn("a?]0;title?", shown)
        self.assertIn("b?31mc \u00e4", shown)
        refused = on_a_terminal("device", "verify", self.directory / "no\x1b[31mroot")
        self.assertIn("no?[31mroot", refused)
        piped = skerry("logs", "com.example.Rude", "--root", self.directory / "root").stdout
        self.assertIn("a\x1b]0;title\x07\tb", piped)

    def test_unknown_log_levels_are_refused(self):
        for command in (["skerryd", "--config", "x"], ["skerry-fleet", "--dir", self.directory], ["skerry-infer", "serve"]):
            with self.subTest(command):
                done = subprocess.run([BIN / command[0], *command[1:], "--log-level", "bogus"], capture_output=True,
                                      timeout=DEADLINE_S, check=False)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(b"bogus", done.stderr)

    def test_without_a_fleet_commands_end_with_3_and_say_how_to_start_one(self):
        for command in (["status"], ["group", "list"], ["component", "list"]):
            self.assertIn("skerry up", skerry("--dir", self.directory, *command, code=3).stderr)
        error = json.loads(skerry("--dir", self.directory, "status", "--json", code=3).stderr)
        self.assertEqual(error["error"]["code"], "unavailable")

    def test_an_endpoint_nobody_listens_on_ends_with_3(self):
        done = skerry("--endpoint", "http://127.0.0.1:1", "status", code=3, AWS_ACCESS_KEY_ID="a",
                      AWS_SECRET_ACCESS_KEY="b")
        self.assertIn("http://127.0.0.1:1", done.stderr)

    def test_an_endpoint_without_credentials_says_what_to_set(self):
        done = skerry("--endpoint", "http://127.0.0.1:1", "status", code=1, AWS_ACCESS_KEY_ID="")
        self.assertIn("AWS_ACCESS_KEY_ID", done.stderr)

    def test_down_without_a_fleet_is_fine(self):
        self.assertEqual(json.loads(skerry("--dir", self.directory, "down", "--json").stdout), {"stopped": False})

    def test_a_component_log_is_shown_and_followed_into_the_next_file(self):
        logs = self.directory / "logs"
        logs.mkdir()
        log = logs / "com.example.Hello.log"
        log.write_text("one\ntwo\nthree\n")
        arguments = ["logs", "com.example.Hello", "--root", self.directory]
        self.assertEqual(skerry(*arguments, "-n", "2").stdout, "two\nthree\n")
        self.assertEqual(json.loads(skerry(*arguments, "-n", "1", "--json").stdout), {"line": "three"})
        self.assertIn("com.example.Other.log",
                      skerry("logs", "com.example.Other", "--root", self.directory, code=1).stderr)
        with subprocess.Popen([BIN / "skerry", *map(str, arguments), "-f"], stdout=subprocess.PIPE, text=True) as reader:
            self.addCleanup(reader.kill)
            self.assertEqual([reader.stdout.readline() for _ in range(3)], ["one\n", "two\n", "three\n"])
            with log.open("a") as file:
                file.write("four\n")
            self.assertEqual(reader.stdout.readline(), "four\n")
            log.rename(logs / "old.log")
            log.write_text("five\n")
            self.assertEqual(reader.stdout.readline(), "five\n")
            reader.kill()


class UpAndDown(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-cli-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)

    def test_a_fleet_that_dies_is_started_again_where_it_was(self):
        first = self.start_fleet()
        os.kill(first["pid"], signal.SIGKILL)
        again = wait_for("the fleet is started again", lambda: self.fleet_other_than(first["pid"]))
        self.assertEqual({**again, "pid": 0}, {**first, "pid": 0})
        self.assertIn("starting it again", (self.directory / "skerry-fleet.log").read_text())
        self.assertEqual(json.loads(skerry("--dir", self.directory, "down", "--json").stdout), {"stopped": True})
        wait_for("its supervisor has taken note", lambda: not pathlib.Path(f"/proc/{again['pid']}").exists())

    def start_fleet(self):
        self.addCleanup(skerry, "--dir", self.directory, "down")
        return json.loads(skerry("--dir", self.directory, "up", *FREE_PORTS, "--json").stdout)

    def fleet_other_than(self, pid):
        try:
            fleet = json.loads((self.directory / "fleet.json").read_text())
        except FileNotFoundError:
            return None
        return fleet if fleet["pid"] != pid else None

    def test_fleets_started_at_once_are_one_fleet(self):
        self.addCleanup(skerry, "--dir", self.directory, "down")
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            ups = list(pool.map(lambda _: json.loads(
                skerry("--dir", self.directory, "up", *FREE_PORTS, "--json").stdout), range(5)))
        self.assertEqual(ups, [ups[0]] * 5)

    def test_down_in_a_copy_leaves_the_original_alone(self):
        fleet = self.start_fleet()
        copy = pathlib.Path(str(self.directory) + "-copy")
        self.addCleanup(shutil.rmtree, copy)
        shutil.copytree(self.directory, copy)
        self.assertEqual(json.loads(skerry("--dir", copy, "down", "--json").stdout), {"stopped": False})
        self.assertEqual(json.loads(skerry("--dir", self.directory, "up", "--json").stdout), fleet)

    def test_up_is_idempotent_and_down_ends_everything(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-cli-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, directory)
        self.addCleanup(skerry, "--dir", directory, "down")
        first = json.loads(skerry("--dir", directory, "up", *FREE_PORTS, "--json").stdout)
        self.assertEqual(first, json.loads((directory / "fleet.json").read_text()))
        self.assertEqual(first["directory"], str(directory))
        second = json.loads(skerry("--dir", directory, "up", "--json").stdout)
        self.assertEqual(second, first)
        self.assertIn("ready", skerry("--dir", directory, "logs").stdout)

        os.kill(first["pid"], signal.SIGKILL)
        wait_for("the fleet has died", lambda: has_ended(first["pid"]))
        third = json.loads(skerry("--dir", directory, "up", *FREE_PORTS, "--json").stdout)
        self.assertNotEqual(third["pid"], first["pid"])
        self.assertEqual(json.loads(skerry("--dir", directory, "down", "--json").stdout), {"stopped": True})
        self.assertFalse((directory / "fleet.json").exists())
        skerry("--dir", directory, "status", code=3)

    def test_a_fleet_that_cannot_start_says_why(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-cli-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, directory)
        done = skerry("--dir", directory, "up", *FREE_PORTS, "--bind", "0.0.0.0", code=1)
        self.assertIn("--api-tls", done.stderr)


class WithFleet(FleetCase):
    def test_provisioned_devices_have_a_key_of_their_own_and_nothing_is_overwritten(self):
        out = self.directory / "press-1"
        self.cli_json("group", "create", "presses")
        made = self.cli_json("device", "provision", "press-1", "--out", out, "--group", "presses", "--user", "nobody")
        self.assertEqual(made["config"], str(out / "config.yaml"))
        self.assertEqual(stat.S_IMODE((out / "device.key").stat().st_mode), 0o600)
        public = subprocess.check_output(["openssl", "pkey", "-in", out / "device.key", "-pubout"])
        self.assertEqual(public, subprocess.check_output(["openssl", "x509", "-in", out / "device.pem", "-noout", "-pubkey"]))
        subprocess.check_call(["openssl", "verify", "-CAfile", out / "ca.pem", out / "device.pem"], stdout=subprocess.DEVNULL)
        for file, nucleus in [("config.yaml", "Nucleus"), ("java/config.yaml", "Nucleus"), ("lite/config.yaml", "NucleusLite")]:
            config = yaml.safe_load((out / file).read_text())
            self.assertEqual(config["system"]["thingName"], "press-1")
            self.assertEqual(config["system"]["privateKeyPath"], str(out / "device.key"))
            settings = config["services"][f"aws.greengrass.{nucleus}"]["configuration"]
            self.assertEqual(settings["iotDataEndpoint"], self.info["broker_host"])
            self.assertEqual(settings["iotRoleAlias"], self.info["role_alias"])
            self.assertEqual("https://" + settings["iotCredEndpoint"], self.info["credentials_url"])
            self.assertEqual(settings["runWithDefault"]["posixUser"], "nobody")
        before = (out / "device.key").read_bytes()
        self.assertIn("device.key exists", self.cli("device", "provision", "press-1", "--out", out, code=1).stderr)
        self.assertEqual((out / "device.key").read_bytes(), before)
        self.assertEqual(self.cli_json("group", "list", "presses")["groups"], [{"name": "presses", "things": ["press-1"]}])
        device = self.cli_json("status", "--device", "press-1")
        self.assertEqual((device["status"], device["components"]), ("NEVER_SEEN", []))

    def test_a_name_that_is_taken_gets_no_second_identity_unless_it_replaces_the_first(self):
        provision = ["device", "provision", "mill-1", "--out"]
        self.cli(*provision, self.directory / "mill-a")
        refused = self.cli(*provision, self.directory / "mill-b", code=1)
        self.assertIn("--replace", refused.stderr)
        self.assertFalse((self.directory / "mill-b").exists())
        [first] = self.iot.list_thing_principals(thingName="mill-1")["principals"]
        self.cli(*provision, self.directory / "mill-b", "--replace")
        [second] = self.iot.list_thing_principals(thingName="mill-1")["principals"]
        self.assertNotEqual(first, second)
        former = self.iot.describe_certificate(certificateId=first.rsplit("/", 1)[1])["certificateDescription"]
        self.assertEqual(former["status"], "INACTIVE")
        self.iot.create_thing(thingName="mill-2")  # registered by other tools, without a certificate: nobody to fight
        self.cli("device", "provision", "mill-2", "--out", self.directory / "mill-2")

    def test_a_large_artifact_is_uploaded_in_little_memory(self):
        folder = self.directory / "large"
        folder.mkdir()
        with open(folder / "weights", "wb") as file:
            file.truncate(200 << 20)
        recipe = {"RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.Large", "ComponentVersion": "1.0.0",
                  "Manifests": [{"Platform": {"os": "linux"}, "Artifacts": [{"URI": "file:weights"}]}]}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        # The sanitizer's own store of freed memory is not what this measures.
        skerry("--dir", self.fleet, "component", "publish", folder / "recipe.yaml", ASAN_OPTIONS="quarantine_size_mb=1")
        self.assertLess(max(0, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before), 64 << 10)

    def test_wrong_names_are_refused_with_the_reason(self):
        self.assertIn("thing name", self.cli("device", "provision", "a/b", "--out", self.directory / "x", code=1).stderr)
        self.assertIn("press-9", self.cli("group", "add", "nobody-knows", "press-9", code=1).stderr)
        self.assertIn("nothing-1", self.cli("status", "--device", "nothing-1", code=1).stderr)

    def test_components_are_uploaded_with_their_artifacts_once(self):
        created = self.publish("com.example.Once", "1.0.0", "cat {artifacts:path}/text", text="content")
        self.assertEqual(created["componentVersion"], "1.0.0")
        recipe = json.loads(self.greengrass.get_component(arn=created["arn"], recipeOutputFormat="JSON")["recipe"])
        artifact = recipe["Manifests"][0]["Artifacts"][0]
        self.assertTrue(artifact["URI"].endswith("/text"), artifact)
        self.assertEqual(artifact["Digest"], base64.b64encode(hashlib.sha256(b"content").digest()).decode())
        again = self.cli("component", "publish", self.directory / "com.example.Once-1.0.0/recipe.yaml", code=1)
        self.assertIn("already has version 1.0.0", again.stderr)
        (self.directory / "com.example.Once-1.0.0/text").unlink()
        missing = self.cli("component", "publish", self.directory / "com.example.Once-1.0.0/recipe.yaml", code=1)
        self.assertIn("com.example.Once-1.0.0/text", missing.stderr)
        versions = self.cli_json("component", "list", "com.example.Once")["versions"]
        self.assertEqual([each["componentVersion"] for each in versions], ["1.0.0"])
        self.assertIn("com.example.Once\t1.0.0\n", self.cli("component", "list").stdout)

    def test_deployments_are_what_was_asked_for(self):
        self.cli("group", "create", "lathes")
        for name in ("com.example.A", "com.example.B"):
            self.publish(name, "1.0.0", "true")
        deploy = lambda *arguments: self.greengrass.get_deployment(
            deploymentId=self.cli_json("deploy", "--group", "lathes", *arguments)["deploymentId"])
        first = deploy("--component", "com.example.A=1.0.0", "--config", 'com.example.A={"port": 1}', "--name", "first")
        self.assertEqual(first["deploymentName"], "first")
        self.assertEqual(first["targetArn"], "arn:aws:iot:eu-west-1:000000000000:thinggroup/lathes")
        update = first["components"]["com.example.A"]["configurationUpdate"]
        self.assertEqual(json.loads(update["merge"]), {"port": 1})
        second = deploy("--keep", "--component", "com.example.B=1.0.0", "--config",
                        'com.example.B={"merge": {"a": 1}, "reset": ["/b"]}')
        self.assertEqual(set(second["components"]), {"com.example.A", "com.example.B"})
        self.assertEqual(second["components"]["com.example.B"]["configurationUpdate"]["reset"], ["/b"])
        file = self.directory / "deployment.json"
        file.write_text(json.dumps({"components": {"com.example.B": {"componentVersion": "1.0.0"}},
                                    "deploymentPolicies": {"failureHandlingPolicy": "DO_NOTHING"}}))
        third = deploy("--file", file)
        self.assertEqual(set(third["components"]), {"com.example.B"})
        self.assertEqual(third["deploymentPolicies"]["failureHandlingPolicy"], "DO_NOTHING")
        self.assertIn("--empty", self.cli("deploy", "--group", "lathes", code=1).stderr)
        self.assertEqual(self.cli_json("deploy", "--group", "lathes", "--empty", "--wait")["devices"], [])
        unknown = self.cli("deploy", "--group", "lathes", "--component", "com.example.C=1.0.0", code=1)
        self.assertIn("com.example.C", unknown.stderr)

    def test_waiting_for_an_absent_device_ends_with_3(self):
        self.cli("device", "provision", "absent", "--out", self.directory / "absent")
        done = self.cli("deploy", "--thing", "absent", "--empty", "--wait", "--timeout", "0", code=3)
        self.assertIn("absent", done.stderr)

    def test_a_device_runs_what_it_is_told_and_a_failure_is_explained(self):
        out = self.directory / "saw-1"
        self.cli("device", "provision", "saw-1", "--out", out)
        self.cli("group", "create", "saws")
        self.cli("group", "add", "saws", "saw-1")
        self.publish("com.example.Saw", "1.0.0", "echo sawing; exec sleep 1000")
        self.publish("com.example.Saw", "1.1.0", "echo no blade; exit 3")
        with open(self.directory / "saw-1.log", "wb") as log:
            device = subprocess.Popen([BIN / "skerry", "device", "run", out], stdout=log, stderr=log)
        self.addCleanup(device.wait, DEADLINE_S)
        self.addCleanup(device.terminate)

        done = self.cli_json("deploy", "--group", "saws", "--component", "com.example.Saw=1.0.0", "--wait")
        self.assertEqual(done["devices"], [{"thing": "saw-1", "status": "SUCCEEDED"}])
        component = lambda: next((each for each in self.cli_json("status", "--device", "saw-1")["components"]
                                  if each["name"] == "com.example.Saw"), {})
        wait_for("the fleet knows", lambda: component().get("status") == "RUNNING")
        self.assertIn("sawing", skerry("logs", "com.example.Saw", "--root", out / "root").stdout)
        self.check_verify(out)

        failed = self.cli("--json", "deploy", "--group", "saws", "--component", "com.example.Saw=1.1.0", "--wait", code=1)
        [result] = json.loads(failed.stdout)["devices"]
        self.assertEqual(result["status"], "FAILED")
        self.assertIn("com.example.Saw", result["reason"])
        self.assertIn("saw-1", json.loads(failed.stderr)["error"]["message"])
        wait_for("the former version runs again",
                 lambda: (component().get("version"), component().get("status")) == ("1.0.0", "RUNNING"))
        self.assertIn(result["reason"], self.cli("status", "--device", "saw-1").stdout)

    def test_one_file_name_for_two_platforms_stays_two_artifacts(self):
        folder = self.directory / "two-platforms"
        manifests = []
        for platform in ("amd64", "aarch64"):
            (folder / platform).mkdir(parents=True)
            (folder / platform / "app").write_text(f"for {platform}")
            manifests.append({"Platform": {"os": "linux", "architecture": platform}, "Lifecycle": {"Run": "true"},
                              "Artifacts": [{"URI": f"file:{platform}/app"}]})
        recipe = {"RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.Two", "ComponentVersion": "1.0.0",
                  "Manifests": manifests}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        created = self.cli_json("component", "publish", folder / "recipe.yaml")
        stored = json.loads(self.greengrass.get_component(arn=created["arn"], recipeOutputFormat="JSON")["recipe"])
        digests = [manifest["Artifacts"][0]["Digest"] for manifest in stored["Manifests"]]
        self.assertEqual(digests, [base64.b64encode(hashlib.sha256(f"for {platform}".encode()).digest()).decode()
                                   for platform in ("amd64", "aarch64")])

    def test_artifacts_that_would_lie_on_one_another_are_refused(self):
        folder = self.directory / "on-one-another"
        for part in ("a", "b"):
            (folder / part).mkdir(parents=True)
            (folder / part / "app").write_text(part)
        recipe = {"RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.Heap", "ComponentVersion": "1.0.0",
                  "Manifests": [{"Lifecycle": {"Run": "true"},
                                 "Artifacts": [{"URI": "file:a/app"}, {"URI": "file:b/app"}]}]}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        refused = self.cli("component", "publish", folder / "recipe.yaml", code=1)
        self.assertIn("would lie on one another", refused.stderr)

    def test_archives_that_devices_would_not_unpack_are_refused_before_anything_is_sent(self):
        folder = self.directory / "archives"
        folder.mkdir()
        made = json.dumps({"RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.Zip", "ComponentVersion": "1.0.0",
                           "Manifests": [{"Artifacts": [{"URI": "file:app.zip", "Unarchive": "ZIP"}]}]})
        (folder / "recipe.json").write_text(made)
        link = zipfile.ZipInfo("lib/current")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        for entry, reason in [(link, "is a symbolic link"), (zipfile.ZipInfo("/etc/x"), "has an absolute name"),
                              (zipfile.ZipInfo("../x"), "leads out of its folder")]:
            with zipfile.ZipFile(folder / "app.zip", "w") as archive:
                archive.writestr("fine", "x")
                archive.writestr(entry, "target")
            refused = self.cli("component", "publish", folder / "recipe.json", code=1).stderr
            for part in ("recipe.json", "file:app.zip", entry.filename, reason):
                self.assertIn(part, refused)
            self.upload("com.example.Zip/app.zip", folder / "app.zip")
            self.assert_fleet_refuses(made, reason)
        (folder / "app.zip").write_bytes(b"no archive")
        self.assertIn("is not a usable ZIP archive", self.cli("component", "publish", folder / "recipe.json", code=1).stderr)
        with zipfile.ZipFile(folder / "app.zip", "w") as archive:
            archive.writestr("./a//b", "fine")
        self.cli("component", "publish", folder / "recipe.json")

    def upload(self, key, path):
        endpoint = self.info["api_url"] + "/artifacts"
        s3 = boto3.client("s3", endpoint_url=endpoint, region_name=self.info["region"],
                          aws_access_key_id=self.key["accessKeyId"], aws_secret_access_key=self.key["secretAccessKey"])
        s3.put_object(Bucket="skerry-artifacts", Key=key, Body=path.read_bytes())

    def assert_fleet_refuses(self, recipe, reason):
        """As another client would publish it."""
        recipe = recipe.replace("file:app.zip", "s3://skerry-artifacts/com.example.Zip/app.zip")
        with self.assertRaises(self.greengrass.exceptions.ValidationException) as refused:
            self.greengrass.create_component_version(inlineRecipe=recipe)
        self.assertIn(reason, str(refused.exception))
        self.assertIn("com.example.Zip/app.zip", str(refused.exception))

    def check_verify(self, out):
        [package] = (out / "root/packages/com.example.Saw").iterdir()
        [whole] = self.cli_json("device", "verify", out)["packages"]
        self.assertEqual((whole["component"], whole["status"]), ("com.example.Saw", "WHOLE"))
        self.assertEqual(f"{whole['version']}@{whole['digest']}", package.name)
        recipe = (package / "recipe").read_bytes()
        (package / "recipe").unlink()
        (package / "recipe").write_bytes(recipe[:-1] + b" ")
        damaged = self.cli("--json", "device", "verify", out / "root", code=1)
        self.assertEqual(json.loads(damaged.stdout)["packages"][0]["faults"],
                         [{"file": "recipe", "problem": "has other bytes"}])
        self.assertIn("damaged", json.loads(damaged.stderr)["error"]["message"])
        self.assertIn("has other bytes", self.cli("device", "verify", out, code=1).stdout)
        (package / "recipe").write_bytes(recipe)
        self.cli("device", "verify", out)
        self.assertIn("root folder", self.cli("device", "verify", self.directory / "none", code=1).stderr)

    def test_models_become_components_with_their_contract(self):
        model = self.directory / "some.onnx"
        model.write_bytes(b"not checked here")
        created = self.cli_json("model", "publish", model, "--name", "vad", "--version", "1.0.0", "--component",
                                "com.example.Vad", "--input", "input:FP32:-1,576", "--input", "sr:INT64:", "--output",
                                "output:FP32:-1,1")
        recipe = json.loads(self.greengrass.get_component(arn=created["arn"], recipeOutputFormat="JSON")["recipe"])
        self.assertEqual(recipe["ComponentDependencies"]["skerry.Infer"]["DependencyType"], "HARD")
        [manifest] = recipe["Manifests"]
        self.assertIn(" load --watch --socket ", manifest["Lifecycle"]["Startup"])
        self.assertEqual([each["URI"].rsplit("/", 1)[1] for each in manifest["Artifacts"]], ["model.onnx", "model.json"])
        lite = self.directory / "some.tflite"
        lite.write_bytes(b"not checked here either")
        created = self.cli_json("model", "publish", lite, "--name", "words", "--version", "1.0.0", "--output", "y:INT8:1,12")
        recipe = json.loads(self.greengrass.get_component(arn=created["arn"], recipeOutputFormat="JSON")["recipe"])
        self.assertEqual([each["URI"].rsplit("/", 1)[1] for each in recipe["Manifests"][0]["Artifacts"]],
                         ["model.tflite", "model.json"])
        # What was chosen in another engine than the file's usual one is served by that.
        for number, (engine, runtime) in enumerate({"openvino": "openvino", "reference": "onnxruntime", "onnxruntime": "onnxruntime"}.items()):
            report = self.directory / "report.json"
            report.write_text(json.dumps({"format": 1, "engine": engine, "artifactSha256": hashlib.sha256(model.read_bytes()).hexdigest()}))
            self.cli_json("model", "publish", model, "--name", "chosen", "--version", f"1.0.{number}", "--output", "y:FP32:1",
                          "--report", report)
            manifests = [json.loads(path.read_text()) for path in self.fleet.rglob("*") if path.is_file()
                         and path.stat().st_size < 10000 and path.read_bytes().startswith(b"{") and b'"chosen"' in path.read_bytes()]
            [manifest] = [each for each in manifests if each.get("version") == f"1.0.{number}" and "runtime" in each]
            self.assertEqual(runtime, manifest["runtime"])
        publish = ["model", "publish", model, "--name", "vad", "--version", "1.0.1"]
        self.assertIn("output", self.cli(*publish, code=1).stderr)
        self.assertIn("NAME:DATATYPE:SHAPE", self.cli(*publish, "--output", "output", code=1).stderr)

    def test_tables_and_colours_are_for_terminals(self):
        self.cli("device", "provision", "drill-1", "--out", self.directory / "drill-1")
        plain = self.cli("status").stdout
        self.assertNotIn("\033", plain)
        self.assertIn("drill-1\tNEVER_SEEN", plain)
        shown = self.on_terminal("status")
        self.assertIn("DEVICE", shown)
        self.assertIn("\033[", shown)

    def on_terminal(self, *arguments):
        main, other = pty.openpty()
        with subprocess.Popen([BIN / "skerry", "--dir", str(self.fleet), *arguments], stdout=other) as program:
            os.close(other)
            output = b""
            with contextlib.suppress(OSError):  # EIO at the end
                while piece := os.read(main, 4096):
                    output += piece
            self.assertEqual(program.wait(DEADLINE_S), 0)
        os.close(main)
        return output.decode()


if __name__ == "__main__":
    unittest.main()
