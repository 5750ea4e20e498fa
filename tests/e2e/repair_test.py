"""What a device remembers, damaged: one copy costs nothing; without both the fleet deploys again what worked.

    repair_test.py BIN_DIR
"""

import shutil
import time

import e2e
import testbed
from e2e import NAME, THING

OTHER = "com.example.Other"
SERVICE = "echo started; exec sleep infinity"
NUCLEUS = "aws.greengrass.Nucleus"


class Repair(e2e.EndToEnd):
    def setUp(self):
        super().setUp()
        self.start_device()
        self.publish(NAME, "1.0.0", SERVICE, {"data": b"of the part"})
        self.publish(NAME, "1.1.0", "exit 3")
        self.publish(OTHER, "1.0.0", SERVICE)
        self.must_deploy({NAME: "1.0.0"})
        self.fleet.cli("deploy", "--thing", THING, "--wait", "--component", f"{OTHER}=1.0.0")
        self.whole = {NAME: ("1.0.0", "RUNNING"), OTHER: ("1.0.0", "RUNNING")}
        self.wait_for_components(self.whole)
        self.device.stop()

    def copies(self):
        return sorted(self.device.root.glob("state*/journal-??????????"))

    def flip(self, path, at):
        content = bytearray(path.read_bytes())
        content[at] ^= 0x10
        path.write_bytes(content)

    def starts(self, component):
        return self.device.component_log(component).read_text().count("started")

    def log_has(self, message, start):
        return [record for record in self.device.log(start) if record["message"].startswith(message)]

    def expect_repaired(self, log_start):
        """It came up without its records, said so, and the fleet brought all of it back."""
        self.assertTrue(self.log_has("records are lost", log_start))
        testbed.wait_for("all components are back", lambda: self.device.components() == self.whole, 120,
                         alive=[self.device])
        # They are back before the deployment that brings them has ended.
        testbed.wait_for("the fleet knows that nothing is missing",
                         lambda: self.fleet.cli("status", "--device", THING)["status"] == "HEALTHY", 120, alive=[self.device])
        # For good: another start finds it in order.
        self.device.stop()
        start = self.device.log_size()
        self.start_device()
        self.assertFalse(self.log_has("records are lost", start))
        self.wait_for_components(self.whole)

    # DEP-24
    def test_one_copy_is_enough(self):
        self.assertEqual(len(self.copies()), 2)
        for number in range(2):
            size = self.copies()[number].stat().st_size
            for damage in (0, 9, 30, size // 2, size - 1, "cut", "removed", "emptied"):
                with self.subTest(copy=number, damage=damage):
                    path = self.copies()[number]
                    if damage == "cut":
                        path.write_bytes(path.read_bytes()[:size // 2])
                    elif damage == "removed":
                        path.unlink()
                    elif damage == "emptied":
                        path.write_bytes(b"")
                    else:
                        self.flip(path, damage)
                    start = self.device.log_size()
                    self.start_device()
                    self.wait_for_components(self.whole)
                    self.assertFalse(self.log_has("records are lost", start))
                    self.assertTrue(self.log_has("one of the two copies", start))
                    self.device.stop()

    def test_what_it_remembers_can_be_read(self):
        def state():
            return self.fleet.cli("device", "state", "--root", self.device.root)
        whole = state()
        self.assertEqual(whole["lost"] + whole["damaged"], "")
        self.assertEqual(whole["records"][-1]["t"], "reported")
        first, second = self.copies()
        self.flip(first, 40)
        damaged = state()
        self.assertEqual(damaged["records"], whole["records"])
        self.assertIn(str(first), damaged["damaged"])
        second.unlink()
        self.assertNotEqual(state()["lost"], "")
        self.assertEqual(self.copies(), [first])  # looking changes nothing

    def test_no_journal_is_left(self):
        shutil.rmtree(self.device.root / "state")
        shutil.rmtree(self.device.root / "state.copy")
        start = self.device.log_size()
        self.start_device()
        self.expect_repaired(start)

    def test_both_are_cut_to_their_first_bytes(self):
        for size in (0, 24, 30, 37):
            with self.subTest(size=size):
                for path in self.copies():
                    path.write_bytes(path.read_bytes()[:size])
                start = self.device.log_size()
                self.start_device()
                self.expect_repaired(start)
                self.device.stop()

    def test_the_same_bit_of_both_in_the_middle(self):
        for path in self.copies():
            self.flip(path, path.stat().st_size // 2)
        start = self.device.log_size()
        self.start_device()
        self.expect_repaired(start)

    def test_the_device_is_empty_and_connected_until_the_fleet_is_there(self):
        self.fleet.stop()
        for copy in ("state", "state.copy"):
            shutil.rmtree(self.device.root / copy)
        start = self.device.log_size()
        self.device.start()
        testbed.wait_for("the loss is in the log", lambda: self.log_has("records are lost", start), alive=[self.device])
        self.fleet.start()
        self.device.wait_for_log("nucleus", "connected", start)
        self.expect_repaired(start)

    def test_what_failed_here_before_is_not_what_comes_back(self):
        self.start_device()
        self.assertEqual(self.deploy({NAME: "1.1.0"})[0], "FAILED")
        self.device.stop()
        self.test_no_journal_is_left()

    def test_a_device_that_cannot_be_repaired_says_so(self):
        self.publish(OTHER, "1.2.0", f"test ! -e {self.bed.directory}/broken && exec sleep infinity")
        self.start_device()
        self.fleet.cli("deploy", "--thing", THING, "--wait", "--component", f"{OTHER}=1.2.0")
        self.fleet.cli("deploy", "--group", e2e.GROUP, "--wait", "--component", f"{OTHER}=1.2.0")
        self.device.stop()
        (self.bed.directory / "broken").touch()
        for path in self.copies():
            path.write_bytes(b"")
        self.start_device()

        def reported():
            return self.device.components().get(NUCLEUS, (None, None))[1] == "BROKEN"
        testbed.wait_for("the fleet knows that it needs repair", reported, alive=[self.device])
        self.assertEqual(self.fleet.cli("status", "--device", THING)["status"], "UNHEALTHY")
        time.sleep(2)  # it does not try for ever
        tries = len(self.log_has("switched", 0))
        time.sleep(3)
        self.assertEqual(len(self.log_has("switched", 0)), tries)


if __name__ == "__main__":
    e2e.main()
