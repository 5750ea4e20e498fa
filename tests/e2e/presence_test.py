"""A device that is gone is known to be gone, whatever went: its process, its link, the broker, the fleet.

    presence_test.py BIN_DIR
"""

import os
import signal
import unittest

import e2e
from e2e import THING
from testbed import process_tree, program_of, wait_for

UNREACHABLE_AFTER_S = 4


class Presence(e2e.EndToEnd):
    fleet_options = ("--unreachable-after", str(UNREACHABLE_AFTER_S))

    def state(self):
        return self.fleet.cli("status", "--device", THING)

    def wait_until(self, what, holds, timeout_s=120):
        def state_that_holds():
            state = self.state()
            return state if holds(state) else None

        return wait_for(what, state_that_holds, timeout_s)

    def wait_connected(self):
        self.wait_until("the device is connected and healthy",
                        lambda s: s["connected"] and s["status"] == "HEALTHY")

    def test_a_killed_device_is_unreachable_and_back_when_it_is_back(self):
        self.assertEqual((self.state()["status"], self.state()["connected"]), ("NEVER_SEEN", False))
        self.start_device()
        self.wait_connected()
        self.device.kill()
        gone = self.wait_until("the device is away", lambda s: not s["connected"])
        self.assertGreater(gone["last_seen"], 0)
        self.wait_until("the device is unreachable", lambda s: s["status"] == "UNREACHABLE")
        self.start_device()
        self.wait_connected()

    def test_a_link_that_is_cut_without_a_word_is_noticed(self):
        self.start_device()
        self.wait_connected()
        os.kill(self.device.pid, signal.SIGSTOP)  # what it has open stays open
        self.addCleanup(os.kill, self.device.pid, signal.SIGCONT)
        self.wait_until("the device is unreachable", lambda s: s["status"] == "UNREACHABLE", 240)
        os.kill(self.device.pid, signal.SIGCONT)
        self.wait_connected()

    def test_a_broker_that_restarts_loses_nobody(self):
        self.start_device()
        self.wait_connected()
        size = self.device.log_size()
        [broker] = [pid for pid in process_tree(self.fleet.pid) if program_of(pid) == "mosquitto"]
        os.kill(broker, signal.SIGKILL)
        self.device.wait_for_log("mqtt", "disconnected", size)
        self.device.wait_for_log("mqtt", "connected", size)
        self.wait_connected()

    def test_a_restarted_fleet_learns_who_left_meanwhile(self):
        self.start_device()
        self.wait_connected()
        self.fleet.kill()
        self.device.kill()
        self.fleet.start(*self.fleet_options)
        self.wait_until("the device is unreachable", lambda s: s["status"] == "UNREACHABLE")
        self.fleet.kill()
        self.fleet.start(*self.fleet_options)
        self.assertEqual(self.state()["status"], "UNREACHABLE")
        self.start_device()
        self.wait_connected()
        self.fleet.kill()
        self.fleet.start(*self.fleet_options)
        self.wait_connected()


if __name__ == "__main__":
    e2e.main()
