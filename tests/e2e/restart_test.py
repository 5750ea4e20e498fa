"""Bootstrap scripts that end with 100 or 101: skerryd starts again or the device is rebooted, and the deployment goes on.

    restart_test.py BIN_DIR
"""

import os

import e2e
import testbed
from e2e import NAME, THING

OTHER = "com.example.Other"


class Restart(e2e.EndToEnd):
    provision_options = ("--user", "root") if os.geteuid() == 0 else ()

    def lines(self, path):
        return path.read_text().split() if path.exists() else []

    def publish_with_bootstrap(self, name, notes, code):
        self.publish(name, "1.0.0", f"echo run >> {notes}; exec sleep infinity",
                     lifecycle={"Bootstrap": f"echo bootstrap >> {notes}; exit {code}",
                                "Install": f"echo install >> {notes}"})

    def test_exit_code_100_starts_skerryd_again(self):
        notes, other = self.bed.directory / "notes", self.bed.directory / "other"
        self.publish_with_bootstrap(NAME, notes, 100)
        self.publish_with_bootstrap(OTHER, other, 0)
        start = self.device.log_size()
        self.start_device()
        self.must_deploy({NAME: "1.0.0", OTHER: "1.0.0"})
        self.assertEqual(self.lines(notes), ["bootstrap", "install", "run"])
        self.assertEqual(self.lines(other)[:2], ["bootstrap", "install"])
        log = self.device.log(start)
        self.assertEqual(sum(each["message"] == "starts again" for each in log), 1)
        # `connected` of the nucleus is said once in a process's life.
        self.assertEqual(sum((each["module"], each["message"]) == ("nucleus", "connected") for each in log), 2)
        self.assertEqual(self.device.stop(), 0)

    def test_exit_code_101_reboots_the_device(self):
        notes, asked = self.bed.directory / "notes", self.bed.directory / "asked"
        config = self.device.config_path.read_text()
        key = "      skerry:\n"
        self.assertIn(key, config)
        self.device.config_path.write_text(config.replace(key, key + f"        rebootCommand: 'touch {asked}'\n", 1))
        self.publish_with_bootstrap(NAME, notes, 101)
        self.start_device()
        deployment = self.begin_deployment({NAME: "1.0.0"})
        testbed.wait_for("the command runs", asked.exists, alive=[self.device])
        self.device.kill()
        self.assertEqual(self.lines(notes), ["bootstrap"])
        if os.geteuid() == 0:
            # A start without a reboot is none: it is asked for again, and nothing else happens.
            asked.unlink()
            self.start_device()
            testbed.wait_for("the command runs again", asked.exists, alive=[self.device])
            self.device.kill()
            self.assertEqual(self.lines(notes), ["bootstrap"])
        boot_id = self.bed.directory / "boot_id"
        boot_id.write_text("00000000-0000-4000-8000-000000000000\n")
        self.start_device(before=("unshare", "--mount", "sh", "-c",
                                  f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id && exec "$@"', "sh"))
        self.assertEqual(self.wait_for_end(deployment)[0], "SUCCEEDED")
        self.assertEqual(self.lines(notes), ["bootstrap", "install", "run"])


if __name__ == "__main__":
    e2e.main()
