"""Devices that get themselves an identity by a claim: the stock identity client of the AWS IoT SDK and skerryd, at a real
fleet; an image that is the same for all; kills of both sides.

    claims_test.py BIN_DIR
"""

import json
import os
import shutil
import subprocess
import unittest
import uuid

import e2e
import testbed
from awscrt import mqtt
from awsiot import iotidentity, mqtt_connection_builder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

APP = "com.example.App"
TIMEOUT_S = 30


class Claims(e2e.EndToEnd):
    def setUp(self):
        super().setUp()
        self.image = self.bed.directory / "image"

    def claim(self, name="line-a", *options, things=2):
        return self.fleet.cli("claim", "create", name, "--out", self.image, "--things", str(things), "--group", self.group, *options)

    def state(self, name="line-a"):
        [claim] = [each for each in self.fleet.cli("claim", "list")["claims"] if each["claimName"] == name]
        return claim["state"], claim["things"]

    # --- The stock client ---

    def connect(self, certificate=None, key=None, client_id=None):
        connection = mqtt_connection_builder.mtls_from_path(
            endpoint=self.fleet.info["broker_host"], port=self.fleet.info["broker_port"],
            cert_filepath=str(certificate or self.image / "claim.pem"), pri_key_filepath=str(key or self.image / "claim.key"),
            ca_filepath=str(self.image / "ca.pem"), client_id=client_id or f"test-{uuid.uuid4()}", clean_session=True)
        connection.connect().result(TIMEOUT_S)
        self.addCleanup(lambda: connection.disconnect().result(TIMEOUT_S))
        return connection

    def ask(self, client, operation, request, *words):
        """What the stock client hears: (the answer, None) or (None, the error)."""
        heard = []
        for end in ("accepted", "rejected"):
            subscribe = getattr(client, f"subscribe_to_{operation}_{end}")
            model = {"create_certificate_from_csr": iotidentity.CreateCertificateFromCsrSubscriptionRequest,
                     "create_keys_and_certificate": iotidentity.CreateKeysAndCertificateSubscriptionRequest}.get(operation)
            wanted = model() if model else iotidentity.RegisterThingSubscriptionRequest(template_name=words[0])
            done, _ = subscribe(request=wanted, qos=mqtt.QoS.AT_LEAST_ONCE,
                                callback=lambda answer, end=end: heard.append((answer, None) if end == "accepted" else (None, answer)))
            done.result(TIMEOUT_S)
        getattr(client, f"publish_{operation}")(request=request, qos=mqtt.QoS.AT_LEAST_ONCE).result(TIMEOUT_S)
        testbed.wait_for(f"an answer to {operation}", lambda: heard)
        self.assertEqual(len(heard), 1)
        return heard[0]

    def certify(self, client, key):
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        return self.ask(client, "create_certificate_from_csr", iotidentity.CreateCertificateFromCsrRequest(
            certificate_signing_request=csr.public_bytes(serialization.Encoding.PEM).decode()))[0]

    def register(self, client, token, template="line-a", **parameters):
        return self.ask(client, "register_thing", iotidentity.RegisterThingRequest(
            template_name=template, certificate_ownership_token=token, parameters=parameters), template)

    def test_the_stock_identity_client_makes_a_thing(self):
        self.claim("line-a", "--names", "press-1*")
        client = iotidentity.IotIdentityClient(self.connect())
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self.certify(client, key)
        made, _ = self.register(client, issued.certificate_ownership_token, ThingName="press-1")
        self.assertEqual(made.thing_name, "press-1")
        self.assertEqual(self.state(), ("active", 1))
        # It is a thing like any other now.
        (self.image / "own.pem").write_text(issued.certificate_pem)
        (self.image / "own.key").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        own = self.connect(self.image / "own.pem", self.image / "own.key", "press-1")
        done, _ = own.subscribe("$aws/things/press-1/jobs/notify-next", mqtt.QoS.AT_LEAST_ONCE)
        self.assertEqual(done.result(TIMEOUT_S)["qos"], mqtt.QoS.AT_LEAST_ONCE)
        # What it does not give.
        for parameters, template in (({"ThingName": "lathe-1"}, "line-a"), ({"ThingName": "press-1"}, "line-a"),
                                     ({"ThingName": "press-12"}, "line-b"), ({}, "line-a")):
            other = self.certify(client, ec.generate_private_key(ec.SECP256R1()))
            answer, error = self.register(client, other.certificate_ownership_token, template, **parameters)
            self.assertIsNone(answer, parameters)
            self.assertIn(error.status_code, (400, 403, 409))
            self.assertTrue(error.error_message)
        answer, error = self.register(client, "forged.token", ThingName="press-13")
        self.assertEqual((answer, error.error_code), (None, "Forbidden"))
        answer, error = self.ask(client, "create_keys_and_certificate", iotidentity.CreateKeysAndCertificateRequest())
        self.assertEqual((answer, error.error_code), (None, "Unsupported"))
        self.assertEqual(self.state(), ("active", 1))

    def test_a_claim_hears_nothing_of_others_and_ends_when_it_is_revoked(self):
        self.claim()
        asking, listening = self.connect(), self.connect()
        heard = []
        for topic in ("$aws/certificates/create-from-csr/json/accepted", "$aws/provisioning-templates/line-a/provision/json/accepted"):
            listening.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.append(topic))[0].result(TIMEOUT_S)
        client = iotidentity.IotIdentityClient(asking)
        issued = self.certify(client, ec.generate_private_key(ec.SECP256R1()))
        self.register(client, issued.certificate_ownership_token, ThingName="press-1")
        # The listener's own answer comes last: whatever was for it is there by then.
        self.certify(iotidentity.IotIdentityClient(listening), ec.generate_private_key(ec.SECP256R1()))
        self.assertEqual(heard, [])
        for topic in ("$aws/things/press-1/#", "#", "press-1/x", "$skerry/claims/#"):
            done, _ = asking.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE)
            with self.assertRaises(Exception):  # refused: the SDK has no exception of its own for that
                if done.result(TIMEOUT_S)["qos"] is None:
                    raise ValueError("refused")
        for name in ("press-1", "skerry-fleet"):
            with self.assertRaises(Exception):
                self.connect(client_id=name)
        self.fleet.cli("claim", "revoke", "line-a")
        self.assertEqual(self.state(), ("revoked", 1))
        with self.assertRaises(Exception):
            self.connect()

    # --- skerryd ---

    def device_of_image(self, name):
        """A copy of the image, as flashed to another machine."""
        device = self.bed.device(name)
        shutil.copytree(self.image, device.directory)
        return device

    def things(self):
        return {each["thing"] for each in self.fleet.cli("status")["devices"]}

    def joined(self, device, thing, start=0):
        device.wait_for_log("provisioning", "the device has an identity", start, thing=thing)
        device.wait_for_log("nucleus", "connected", start)

    def local(self, device, text):
        home = self.bed.directory / "home"
        home.mkdir(exist_ok=True)
        (home / "app.json").write_text(json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": APP, "ComponentVersion": "1.0.0",
            "Manifests": [{"Lifecycle": {"Run": f"echo {text}; exec sleep infinity"}}]}))
        done = subprocess.run([self.bed.program("skerry"), "--json", "device", "deploy", device.directory, "--recipe-dir", home,
                               "--merge", f"{APP}=1.0.0"], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_image_is_the_same_for_all_and_each_becomes_a_thing(self):
        self.claim("line-a", "--serial", "press-{hostname}", things=9)
        checked = subprocess.run([self.bed.program("skerryd"), "--config", self.image / "config.yaml", "--check-config"],
                                 capture_output=True, text=True, timeout=60)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        config = (self.image / "config.yaml").read_text()
        serial = "press-{hostname}"
        self.assertIn(serial, config)
        self.assertNotIn("PRIVATE", config)
        for number in (1, 2):
            device = self.device_of_image(f"press-{number}")
            # In place of what tells machines apart: there is one here.
            (device.directory / "config.yaml").write_text(config.replace(serial, f"press-{number}"))
            device.start()
            self.joined(device, f"press-{number}")
            self.assertEqual(oct(os.stat(device.root / "state/provisioned.pem").st_mode & 0o777), "0o600")
        self.assertEqual(self.state(), ("active", 2))
        self.start_device()  # one that was provisioned by hand, of the same group
        self.publish(APP, "1.0.0", "exec sleep infinity")
        ended = self.fleet.deploy(self.group, {APP: "1.0.0"})
        self.assertEqual({(thing, status) for thing, status, _ in ended},
                         {(thing, "SUCCEEDED") for thing in ("press-1", "press-2", self.thing)})
        # A claim that is revoked takes nothing back, and devices start again without it.
        self.fleet.cli("claim", "revoke", "line-a")
        device = self.bed.devices["press-1"]
        device.kill()
        shutil.rmtree(self.image)
        for name in ("claim.key", "claim.pem"):
            (device.directory / name).unlink()
        start = device.log_size()
        device.start()
        device.wait_for_log("nucleus", "connected", start)

    def test_a_device_lives_before_it_joins_and_goes_on_after(self):
        """The image boots where no fleet is; the fleet comes later; both are killed on the way."""
        self.claim("line-a", "--serial", "press-8")
        device = self.device_of_image("press-8")
        self.fleet.stop()
        device.start()
        device.wait_for_log("provisioning", "the device has no identity yet; tried again", timeout_s=120)
        self.local(device, "alive")
        log = device.component_log(APP)
        testbed.wait_for("its component", lambda: log.exists() and "alive" in log.read_text(), alive=[device])
        for _ in range(3):
            device.kill()
            device.start()
        self.fleet.start()
        start = device.log_size()
        self.joined(device, "press-8")
        testbed.wait_for("the fleet knows what runs", lambda: device.components().get(APP) == ("1.0.0", "RUNNING"), alive=[device])
        self.assertEqual(self.state(), ("active", 1))
        self.assertTrue(start)

    def test_kills_between_the_steps_make_one_thing(self):
        self.claim("line-a", "--serial", "press-8")
        device = self.device_of_image("press-8")
        identity = device.root / "state/provisioned.pem"
        # Before and while it asks, and before it is done.
        for pause in ("provisioned-next.key", "provisioned-next.key", None):
            device.start()
            if pause:
                testbed.wait_for("its key", lambda: (device.root / "state" / pause).exists() or identity.exists(), alive=[device])
            else:
                testbed.wait_for("its identity", identity.exists)
            device.kill()
            self.fleet.kill()
            self.fleet.start()
        start = device.log_size()
        device.start()
        device.wait_for_log("nucleus", "connected", start)
        self.assertEqual(self.state(), ("active", 1))


if __name__ == "__main__":
    e2e.main()
