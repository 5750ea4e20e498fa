"""Taking things back, opening topics, and a fleet with --api-tls, through the skerry program.

    fleet_commands_test.py BIN_DIRECTORY
"""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import types
import unittest

import yaml
from botocore.exceptions import ClientError

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "fleet"))
from fleet import DeviceMqtt
from skerry_program import DEADLINE_S, FREE_PORTS, FleetCase, has_ended, skerry, wait_for


class Removals(FleetCase):
    def refusal(self, *arguments, code=1):
        """What the program says, once for people and once as JSON; nothing may be on its standard output."""
        text = self.cli(*arguments, code=code)
        machine = self.cli("--json", *arguments, code=code)
        self.assertEqual((text.stdout, machine.stdout), ("", ""))
        error = json.loads(machine.stderr)["error"]
        self.assertEqual(text.stderr, f"skerry: {error['message']}\n")
        return error

    def provision(self, thing, *options):
        return self.cli_json("device", "provision", thing, "--out", self.directory / thing, *options)

    def test_members_leave_groups_and_stay_devices(self):
        self.cli("group", "create", "hall-1")
        for thing in ("saw-1", "saw-2", "saw-3"):
            self.provision(thing, "--group", "hall-1")
        removed = self.cli_json("group", "remove", "hall-1", "saw-1", "saw-3")
        self.assertEqual(removed, {"group": "hall-1", "removed": ["saw-1", "saw-3"]})
        self.assertEqual(self.cli_json("group", "list", "hall-1")["groups"][0]["things"], ["saw-2"])
        self.assertEqual(self.iot.describe_thing(thingName="saw-1")["thingName"], "saw-1")
        self.assertEqual(self.cli("group", "remove", "hall-1", "saw-2").stdout, "")  # off a terminal, no chatter
        for group, thing in [("hall-1", "nobody"), ("nowhere", "saw-1")]:
            error = self.refusal("group", "remove", group, thing)
            self.assertEqual(error["code"], "not_found")
            self.assertIn("nobody" if thing == "nobody" else "nowhere", error["message"])

    def test_a_group_is_deleted_and_its_devices_stay(self):
        self.cli("group", "create", "hall-2")
        self.provision("drill-2", "--group", "hall-2")
        self.assertEqual(self.cli_json("group", "delete", "hall-2"), {"deleted": "hall-2"})
        self.assertEqual(self.iot.list_thing_groups_for_thing(thingName="drill-2")["thingGroups"], [])
        error = self.refusal("group", "delete", "hall-2")
        self.assertEqual(error["code"], "not_found")
        self.assertIn("hall-2", error["message"])

    def test_a_removed_device_is_gone_with_its_certificate(self):
        self.provision("mill-1")
        [arn] = self.iot.list_thing_principals(thingName="mill-1")["principals"]
        self.assertEqual(self.cli_json("device", "remove", "mill-1"), {"removed": "mill-1"})
        for call in (lambda: self.iot.describe_thing(thingName="mill-1"),
                     lambda: self.iot.describe_certificate(certificateId=arn.rsplit("/", 1)[1])):
            with self.assertRaises(ClientError) as gone:
                call()
            self.assertEqual(gone.exception.response["Error"]["Code"], "ResourceNotFoundException")
        self.assertNotIn("mill-1", self.cli("status").stdout)
        error = self.refusal("device", "remove", "mill-1")
        self.assertEqual(error["code"], "not_found")
        self.assertIn("mill-1", error["message"])
        # What it showed before, no longer opens anything.
        config = yaml.safe_load((self.directory / "mill-1/config.yaml").read_text())["system"]
        self.assertNotEqual(self.data_plane("mill-1", config).returncode, 0)

    def data_plane(self, thing, config):
        return subprocess.run(
            ["curl", "-sS", "--fail", "--cacert", config["rootCaPath"], "--cert", config["certificateFilePath"],
             "--key", config["privateKeyPath"],
             f"{self.info['data_plane_url']}/greengrass/v2/coreDevices/{thing}/thingGroups"],
            capture_output=True, timeout=DEADLINE_S, check=False)

    def test_a_version_in_a_current_deployment_is_deleted_by_force_only(self):
        for version in ("1.0.0", "1.1.0"):
            self.publish("com.example.Used", version, "true")
        self.cli("group", "create", "hall-3")
        self.cli("deploy", "--group", "hall-3", "--component", "com.example.Used=1.0.0")
        error = self.refusal("component", "delete", "com.example.Used", "1.0.0")
        self.assertEqual(error["code"], "failed_precondition")
        self.assertIn("thinggroup/hall-3", error["message"])
        self.assertIn("--force", error["message"])
        arn = self.cli_json("component", "delete", "com.example.Used", "1.1.0")["deleted"]
        self.assertTrue(arn.endswith(":components:com.example.Used:versions:1.1.0"), arn)
        self.cli("component", "delete", "com.example.Used", "1.0.0", "--force")
        self.assertEqual(self.refusal("component", "delete", "com.example.Used", "1.0.0")["code"], "not_found")
        self.assertEqual(self.refusal("component", "delete", "com.example.Never", "1.0.0")["code"], "not_found")

    def test_what_a_target_no_longer_asks_for_can_be_deleted(self):
        for version in ("1.0.0", "2.0.0"):
            self.publish("com.example.Moved", version, "true")
        self.cli("group", "create", "hall-4")
        for version in ("1.0.0", "2.0.0"):
            self.cli("deploy", "--group", "hall-4", "--component", f"com.example.Moved={version}")
        self.cli("component", "delete", "com.example.Moved", "1.0.0")

    def test_a_deployment_is_cancelled_once(self):
        self.publish("com.example.Late", "1.0.0", "true")
        self.provision("lathe-1")
        deployment = self.cli_json("deploy", "--thing", "lathe-1", "--component", "com.example.Late=1.0.0")
        identifier = deployment["deploymentId"]
        self.assertEqual(self.cli_json("cancel", identifier), {"cancelled": identifier, "force": False})
        self.assertEqual(self.greengrass.get_deployment(deploymentId=identifier)["deploymentStatus"], "CANCELED")
        # Again with --force, which frees devices that had begun it: fine or refused, but never a crash or another exit code.
        error = self.refusal("cancel", "00000000-0000-4000-8000-000000000000")
        self.assertEqual(error["code"], "not_found")
        self.cli("component", "delete", "com.example.Late", "1.0.0")  # nobody is to get it any more

    def test_each_names_what_is_missing_on_the_command_line(self):
        for arguments, missing in [(["group", "remove", "g"], "THING"), (["group", "delete"], "GROUP"),
                                   (["device", "remove"], "THING"), (["component", "delete", "c"], "VERSION"),
                                   (["cancel"], "DEPLOYMENT")]:
            with self.subTest(arguments):
                error = self.refusal(*arguments, code=2)
                self.assertEqual(error["code"], "invalid_argument")
                self.assertIn(missing, error["message"])


class Topics(FleetCase):
    def listed(self):
        return [(each["permission"], each["filter"]) for each in self.cli_json("fleet", "topics")["topics"]]

    def setUp(self):
        self.file = self.fleet / "topics"
        self.file.unlink(missing_ok=True)

    def test_topics_are_opened_listed_and_closed(self):
        self.assertEqual(self.listed(), [])
        opened = self.cli_json("fleet", "topics", "open", "publish", "plant/{thing}/alarm", "plant/+/state")
        self.assertEqual(opened["opened"], [{"permission": "publish", "filter": "plant/{thing}/alarm"},
                                            {"permission": "publish", "filter": "plant/+/state"}])
        self.assertEqual(opened["file"], str(self.file))
        self.cli("fleet", "topics", "open", "subscribe", "$share/workers/orders/#")
        self.assertEqual(self.cli_json("fleet", "topics", "open", "publish", "plant/+/state")["opened"], [])
        self.assertEqual(self.listed(), [("publish", "plant/{thing}/alarm"), ("publish", "plant/+/state"),
                                         ("subscribe", "$share/workers/orders/#")])
        self.assertIn("publish\tplant/+/state\n", self.cli("fleet", "topics").stdout)
        closed = self.cli_json("fleet", "topics", "close", "publish", "plant/+/state")
        self.assertEqual(closed["closed"], [{"permission": "publish", "filter": "plant/+/state"}])
        refused = self.cli("--json", "fleet", "topics", "close", "publish", "plant/{thing}/alarm", "plant/+/state", code=1)
        self.assertEqual(json.loads(refused.stderr)["error"]["code"], "not_found")
        self.assertEqual(self.listed()[0], ("publish", "plant/{thing}/alarm"), "all or nothing")

    def test_what_people_wrote_stays(self):
        self.file.write_bytes(b"# the plant\n\nsubscribe  plant/#\r\npublish a\npublish a\n")
        self.cli("fleet", "topics", "open", "retain", "{thing}/status")
        self.cli("fleet", "topics", "close", "publish", "a")
        self.assertEqual(self.file.read_bytes(), b"# the plant\n\nsubscribe  plant/#\r\nretain {thing}/status\n")
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o644)

    def test_what_the_broker_would_not_take_is_refused(self):
        for filters, reason in [(["a/#/b"], "wildcard"), (["$aws/things/+/jobs/#"], "control plane"),
                                (["$share/g/a"], "shared"), (["good", "a+"], "wildcard"), (["a\nb"], "characters")]:
            with self.subTest(filters):
                self.assertIn(reason, self.cli("fleet", "topics", "open", "publish", *filters, code=1).stderr)
        self.assertFalse(self.file.exists())
        self.assertIn("publish", self.cli("fleet", "topics", "open", "write", "a", code=2).stderr)
        self.file.write_text("publish a\nallow b\n")
        for command in (["open", "publish", "c"], []):
            self.assertIn("topics line 2", self.cli("fleet", "topics", *command, code=1).stderr)
        self.assertIn("--dir", skerry("--endpoint", "http://127.0.0.1:1", "fleet", "topics", code=1).stderr)

    def test_the_broker_follows(self):
        config = self.cli_json("device", "provision", "press-7", "--out", self.directory / "press-7")["config"]
        system = yaml.safe_load(pathlib.Path(config).read_text())["system"]
        device = types.SimpleNamespace(
            name="press-7", key_file=system["privateKeyPath"], certificate_file=system["certificateFilePath"],
            fleet=types.SimpleNamespace(info=self.info))
        mqtt = DeviceMqtt(device)
        self.addCleanup(mqtt.stop)
        self.assertFalse(self.may_subscribe(mqtt, "plant/#"))
        self.cli("fleet", "topics", "open", "subscribe", "plant/#")
        wait_for("the subscription is granted", lambda: self.may_subscribe(mqtt, "plant/#"))
        self.cli("fleet", "topics", "close", "subscribe", "plant/#")
        wait_for("and refused again", lambda: not self.may_subscribe(mqtt, "plant/#"))

    def may_subscribe(self, mqtt, topics):
        return all(code < 128 for code in mqtt.subscribe(topics))


class Supervision(FleetCase):
    """What dies is started again, more and more seldom while it does not last."""

    def log(self):
        return (self.fleet / "skerry-fleet.log").read_text()

    def restarts(self):
        return self.log().count("starting it again")

    def running(self):
        info = json.loads((self.fleet / "fleet.json").read_text()) if (self.fleet / "fleet.json").exists() else {}
        return info.get("pid") if info and not has_ended(info["pid"]) else None

    def test_a_fleet_that_cannot_start_for_a_while_comes_back_and_down_ends_it_meanwhile(self):
        key, away = self.fleet / "ca/ca.key", self.directory / "ca.key"
        key.rename(away)
        os.kill(self.info["pid"], signal.SIGKILL)
        wait_for("it was tried three times", lambda: self.restarts() >= 3)
        self.assertIsNone(self.running())
        away.rename(key)
        back = wait_for("it runs again", self.running)
        self.assertNotEqual(back, self.info["pid"])
        self.cli("status")
        key.rename(away)
        before = self.restarts()
        os.kill(back, signal.SIGKILL)
        wait_for("it was tried again", lambda: self.restarts() > before)
        self.cli("down")
        away.rename(key)
        wait_for("nobody tries any more", lambda: not self.supervisors())
        self.assertIsNone(self.running())
        self.cli("up", *FREE_PORTS)

    def supervisors(self):
        return [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                if str(self.fleet).encode() in command_of(path) and b"up" in command_of(path).split(b"\0")]


def command_of(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


class SecureFleet(FleetCase):
    """As `skerry up --api-tls` makes it; only the ports are free ones."""

    OPTIONS = ["--api-tls"]

    def curl(self, *arguments):
        """Without a word about trust: the system's store of certificates."""
        return subprocess.run(["curl", "-sS", "--fail", *arguments], capture_output=True, timeout=DEADLINE_S, check=True,
                              env={"PATH": os.environ["PATH"]}).stdout

    def artifact_url(self, config, arn, name):
        answer = self.curl("--cacert", config["rootCaPath"], "--cert", config["certificateFilePath"], "--key",
                           config["privateKeyPath"],
                           f"{self.info['data_plane_url']}/greengrass/v2/components/{arn}/artifacts/{name}")
        return json.loads(answer)["preSignedUrl"]

    def test_a_stock_device_fetches_artifacts_with_the_systems_certificates(self):
        self.assertTrue(self.info["api_url"].startswith("https://"))
        created = self.publish("com.example.Fetched", "1.0.0", "true", model="weights")
        made = self.cli_json("device", "provision", "press-1", "--out", self.directory / "press-1")
        config = yaml.safe_load(pathlib.Path(made["config"]).read_text())["system"]
        self.cli("deploy", "--thing", "press-1", "--component", "com.example.Fetched=1.0.0")
        recipe = json.loads(self.greengrass.get_component(arn=created["arn"], recipeOutputFormat="JSON")["recipe"])
        uri = recipe["Manifests"][0]["Artifacts"][0]["URI"].removeprefix("greengrass:")
        url = self.artifact_url(config, created["arn"], uri)
        self.assertTrue(url.startswith(self.info["artifact_url"] + "/"), url)
        self.assertEqual(self.curl(url), b"weights")
        self.assertEqual(self.curl("--range", "2-4", url), b"igh")
        # One that dies comes back with all its addresses: URLs that devices have go on working.
        os.kill(self.info["pid"], signal.SIGKILL)
        up = wait_for("another fleet", self.other_fleet)
        self.assertEqual({key: up[key] for key in up if key != "pid"},
                         {key: self.info[key] for key in self.info if key != "pid"})
        self.assertEqual(self.curl(url), b"weights")

    def other_fleet(self):
        file = self.fleet / "fleet.json"
        info = json.loads(file.read_text()) if file.exists() else {}
        return info if info.get("pid", self.info["pid"]) != self.info["pid"] else None

    def test_up_shows_where_artifacts_are(self):
        self.assertIn(f"artifacts\t{self.info['artifact_url']}", self.cli("up").stdout)


if __name__ == "__main__":
    unittest.main()
