"""What survives SIGKILL, and how the program starts, refuses to start and stops.

    durability_test.py SKERRY_FLEET
"""

import os
import pathlib
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import unittest

from fleet import DEADLINE_S, Device, Fleet

PROGRAM = sys.argv.pop(1)


class Durability(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-durability-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.directory = self.scratch / "fleet"

    def start(self, *options):
        fleet = Fleet(PROGRAM, self.directory, *options)
        self.addCleanup(fleet.kill)
        return fleet

    def refused(self, *options):
        """Standard error of a start that has to fail."""
        done = subprocess.run([PROGRAM, "--dir", self.directory, "--api-port", "0",
                               "--data-plane-port", "0", "--broker-port", "0", *options],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_everything_acknowledged_survives_sigkill(self):
        fleet = self.start()
        device = Device(fleet, "t", self.scratch)
        iot, greengrass = fleet.client("iot"), fleet.client("greengrassv2")
        iot.create_thing_group(thingGroupName="g")
        iot.add_thing_to_thing_group(thingName="t", thingGroupName="g")
        fleet.upload("c/1.0.0/f", b"content")
        fleet.publish("c", "1.0.0", ["s3://skerry-artifacts/c/1.0.0/f"])
        made = greengrass.create_deployment(
            targetArn=fleet.arn("iot", "thinggroup/g"),
            components={"c": {"componentVersion": "1.0.0"}})
        revoked = Device(fleet, "r", self.scratch)
        iot.update_certificate(certificateId=revoked.certificate_id, newStatus="REVOKED")
        ca, key = pathlib.Path(fleet.info["ca_file"]).read_bytes(), fleet.access_key
        fleet.kill()

        again = self.start()
        self.assertEqual(pathlib.Path(again.info["ca_file"]).read_bytes(), ca)
        self.assertEqual(again.access_key, key)
        iot, greengrass = again.client("iot"), again.client("greengrassv2")
        self.assertEqual(iot.list_things_in_thing_group(thingGroupName="g")["things"], ["t"])
        self.assertEqual(greengrass.get_deployment(deploymentId=made["deploymentId"])[
            "deploymentStatus"], "ACTIVE")
        self.assertEqual(iot.describe_job_execution(jobId=made["iotJobId"], thingName="t")[
            "execution"]["status"], "QUEUED")
        device.fleet = revoked.fleet = again
        self.assertEqual(device.resolve("c", "=1.0.0")[0], 200)
        self.assertEqual(revoked.resolve("c", "=1.0.0")[0], 403)
        body = again.client("s3").get_object(Bucket="skerry-artifacts", Key="c/1.0.0/f")["Body"]
        self.assertEqual(body.read(), b"content")
        self.assertEqual(again.stop(), 0)

    def test_sigterm_stops_and_leaves_no_address_behind(self):
        fleet = self.start()
        self.assertTrue((self.directory / "fleet.json").exists())
        self.assertEqual(fleet.stop(), 0)
        self.assertFalse((self.directory / "fleet.json").exists())
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex((fleet.info["broker_host"],
                                                  fleet.info["broker_port"])), 0)

    def test_secrets_are_the_owners_only(self):
        self.start()
        # The broker is a user of its own, where the fleet may make it one, and reads its own copies.
        broker = self.directory / "broker"
        for path in self.directory.rglob("*"):
            if broker in path.parents and path.name == "server.key" and os.geteuid() == 0:
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640, path)
            elif path.name.endswith((".key", ".db", ".db-wal")) or path.name == "access-key.json":
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, path)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)

    def test_one_control_plane_per_directory(self):
        self.start()
        error = self.refused()
        self.assertIn("another skerry-fleet (process ", error)
        self.assertIn("--dir", error)

    def test_taken_ports_are_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            for option in ("--api-port", "--data-plane-port", "--broker-port"):
                error = self.refused(option, port)
                self.assertIn(option, error)
                self.assertIn(port, error)
        self.assertFalse((self.directory / "fleet.json").exists())

    def test_the_api_is_not_spoken_in_plain_text_to_other_machines(self):
        self.assertIn("--api-tls", self.refused("--bind", "0.0.0.0"))

    def test_with_tls_the_api_has_the_fleets_certificate(self):
        fleet = self.start("--api-tls")
        self.assertTrue(fleet.info["api_url"].startswith("https://"))
        client = fleet.client("iot", verify=fleet.info["ca_file"])
        self.assertEqual(client.list_things()["things"], [])

    def test_a_newer_database_is_refused(self):
        self.start().stop()
        with sqlite3.connect(self.directory / "fleet.db") as database:
            database.execute("UPDATE schema_version SET version = 999")
        database.close()
        self.assertIn("schema 999", self.refused())

    def test_a_lost_ca_key_is_not_replaced(self):
        self.start().stop()
        (self.directory / "ca/ca.key").unlink()
        self.assertIn("backup", self.refused())

    def test_usage_errors(self):
        done = subprocess.run([PROGRAM, "--api-port", "x"], capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 2)
        done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Examples:", done.stdout)


if __name__ == "__main__":
    unittest.main()
