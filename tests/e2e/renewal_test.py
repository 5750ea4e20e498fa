"""A device renews its certificate before that ends, and after it: skerryd, skerry-fleet and mosquitto.

    renewal_test.py BIN_DIR
"""

import re
import time
from pathlib import Path

import e2e
import testbed
from cryptography import x509
from e2e import NAME

LIFE_S = 9


class Renewal(e2e.EndToEnd):
    fleet_options = ("--device-certificate-life", LIFE_S)

    def identity(self):
        path = Path(self.device.root) / "state" / "identity.pem"
        return path.read_text() if path.exists() else ""

    def end(self, pem):
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp()

    def test_it_is_renewed_while_it_runs(self):
        self.publish(NAME, "1.0.0", "exec sleep infinity")
        self.start_device()
        testbed.wait_for("a new certificate", self.identity)
        first = self.identity()
        key = (self.device.directory / "device.key").read_text()
        self.assertNotIn(key.splitlines()[1], first)
        self.assertGreater(self.end(first), self.end((self.device.directory / "device.pem").read_text()) - 1)
        testbed.wait_for("the next one", lambda: self.identity() != first, timeout_s=60)
        # Past the end of what it was provisioned with, and of the first that it got.
        testbed.wait_for("their end", lambda: time.time() > self.end(first), timeout_s=60)
        self.fleet.stop()
        self.fleet.start(*self.fleet_options)  # every connection is a new one
        self.must_deploy({NAME: "1.0.0"})
        for secret in re.findall(r"PRIVATE KEY-----\n(.{40})", self.identity()):
            self.assertNotIn(secret, self.device.log_path.read_text())

    def test_after_its_end_it_gets_another_one_and_nothing_else(self):
        self.publish(NAME, "1.0.0", "exec sleep infinity")
        provisioned = (self.device.directory / "device.pem").read_text()
        testbed.wait_for("its end", lambda: time.time() > self.end(provisioned), timeout_s=60)
        self.device.start()
        testbed.wait_for("a new certificate", self.identity)
        self.must_deploy({NAME: "1.0.0"})


if __name__ == "__main__":
    e2e.main()
