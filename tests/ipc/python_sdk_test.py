"""The unmodified Python device SDK against the real IPC server: every served operation, and errors.

    python_sdk_test.py IPC_TEST_SERVER
"""

import datetime
import json
import os
import pathlib
import queue
import ssl
import subprocess
import sys
import tempfile
import unittest

from awsiot.greengrasscoreipc import model
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

SERVER = sys.argv.pop(1)
DEADLINE_S = 30


def certificate(days=1):
    """A self-signed one in PEM, valid for `days` from yesterday."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a client device")])
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(days=days, hours=-1)).sign(key, hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.PEM).decode()


class PythonSdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="skerry-ipc-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.socket = str(pathlib.Path(cls.directory.name) / "ipc.socket")
        cls.press, cls.expired = certificate(days=30), certificate()
        devices = pathlib.Path(cls.directory.name) / "client-devices.json"
        devices.write_text(json.dumps({
            "clientDevices": {"press-1": {"certificatePem": cls.press}, "old": {"certificatePem": cls.expired}},
            "deviceGroups": {
                "definitions": {"presses": {"selectionRule": "thingName: press-*", "policyName": "p"}},
                "policies": {"p": {"own": {"operations": ["mqtt:publish"],
                                           "resources": ["mqtt:topic:${iot:Connection.Thing.ThingName}/*"]}}}}}))
        cls.server = subprocess.Popen([SERVER, cls.socket, str(devices)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.server.wait, DEADLINE_S)
        cls.addClassCleanup(cls.server.stdout.close)
        cls.addClassCleanup(cls.server.stdin.close)
        assert cls.server.stdout.readline() == "ready\n"
        os.environ["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"] = cls.socket

    def client(self, token="TOKEN-APP"):
        os.environ["SVCUID"] = token
        client = GreengrassCoreIPCClientV2()
        self.addCleanup(client.close)
        return client

    def subscription(self, subscribe, **arguments):
        """Subscribes; returns a function that waits for the next event."""
        events = queue.Queue()
        _, operation = subscribe(on_stream_event=events.put, **arguments)
        self.addCleanup(operation.close)
        return lambda: events.get(timeout=DEADLINE_S)

    def test_client_devices_are_known_by_their_certificate(self):
        client = self.client()

        def known(pem):
            return client.verify_client_device_identity(
                credential=model.ClientDeviceCredential(client_device_certificate=pem)).is_valid_client_device
        self.assertTrue(known(self.press))
        for other in (certificate(days=30), self.expired, "no certificate", ""):
            self.assertFalse(known(other))
        with self.assertRaises(model.InvalidArgumentsError):
            client.verify_client_device_identity(credential=model.ClientDeviceCredential())
        with self.assertRaises(model.UnauthorizedError):
            self.client("TOKEN-BARE").verify_client_device_identity(
                credential=model.ClientDeviceCredential(client_device_certificate=self.press))

    def test_client_devices_do_what_their_groups_allow(self):
        client = self.client()

        def token(pem, client_id="c1"):
            return client.get_client_device_auth_token(credential=model.CredentialDocument(
                mqtt_credential=model.MQTTCredential(client_id=client_id, certificate_pem=pem))).client_device_auth_token

        def allowed(operation, resource, of):
            return client.authorize_client_device_action(
                client_device_auth_token=of, operation=operation, resource=resource).is_authorized
        press = token(self.press)
        self.assertNotEqual(token(self.press), press)
        self.assertTrue(allowed("mqtt:publish", "mqtt:topic:press-1/rate", press))
        self.assertFalse(allowed("mqtt:publish", "mqtt:topic:press-2/rate", press))
        self.assertFalse(allowed("mqtt:subscribe", "mqtt:topicfilter:press-1/#", press))
        for pem in (self.expired, certificate(days=30), "no certificate"):
            with self.assertRaises(model.InvalidCredentialError):
                token(pem)
        with self.assertRaises(model.InvalidClientDeviceAuthTokenError):
            allowed("mqtt:publish", "mqtt:topic:press-1/rate", "NOBODYS")
        for operation, resource in (("publish", "mqtt:topic:a"), ("mqtt:publish", "a"), ("", "")):
            with self.assertRaises(model.InvalidArgumentsError):
                allowed(operation, resource, press)
        with self.assertRaises(model.InvalidArgumentsError):
            client.get_client_device_auth_token(credential=model.CredentialDocument())
        bare = self.client("TOKEN-BARE")
        with self.assertRaises(model.UnauthorizedError):
            bare.get_client_device_auth_token(credential=model.CredentialDocument(
                mqtt_credential=model.MQTTCredential(client_id="c", certificate_pem=self.press)))
        with self.assertRaises(model.UnauthorizedError):
            bare.authorize_client_device_action(client_device_auth_token=press, operation="mqtt:publish",
                                                resource="mqtt:topic:press-1/rate")

    def test_get_configuration(self):
        client = self.client()
        self.assertEqual(client.get_configuration(key_path=["mqtt"]).value,
                         {"port": 8883, "hosts": ["a", "b"]})
        leaf = client.get_configuration(component_name="other", key_path=["mqtt", "port"])
        self.assertEqual((leaf.component_name, leaf.value), ("other", {"port": 8883}))
        with self.assertRaises(model.ResourceNotFoundError) as caught:
            client.get_configuration(component_name="other", key_path=["no"])
        self.assertEqual(caught.exception.resource_name, "other/no")

    def test_update_configuration_and_its_subscription(self):
        client = self.client("TOKEN-OTHER")
        event = self.subscription(self.client().subscribe_to_configuration_update,
                                  component_name="other", key_path=["greeting"])
        now = datetime.datetime.now(datetime.timezone.utc)
        client.update_configuration(key_path=[], timestamp=now,
                                    value_to_merge={"greeting": "moin", "new": {"list": [1, None]}})
        update = event().configuration_update_event
        self.assertEqual((update.component_name, update.key_path), ("other", ["greeting"]))
        self.assertEqual(client.get_configuration(key_path=["new"]).value, {"list": [1, None]})
        with self.assertRaises(model.FailedUpdateConditionCheckError):
            client.update_configuration(key_path=[], timestamp=now - datetime.timedelta(days=1),
                                        value_to_merge={"greeting": "older"})
        with self.assertRaises(model.InvalidArgumentsError):
            client.update_configuration(key_path=["accessControl"], timestamp=now,
                                        value_to_merge={})

    def test_components_and_their_control(self):
        client = self.client("TOKEN-OPERATOR")
        listed = client.list_components().components
        self.assertEqual([(each.component_name, each.version, each.state) for each in listed],
                         [("app", "1.2.0", "RUNNING"), ("other", "1.0.0", "BROKEN")])
        self.assertEqual(listed[0].configuration["mqtt"]["port"], 8883)
        details = client.get_component_details(component_name="other").component_details
        self.assertEqual((details.state, details.version), ("BROKEN", "1.0.0"))
        self.assertEqual(client.restart_component(component_name="app").restart_status, "SUCCEEDED")
        self.assertEqual(client.stop_component(component_name="app").stop_status, "SUCCEEDED")
        client.pause_component(component_name="app")
        client.resume_component(component_name="app")
        with self.assertRaises(model.ResourceNotFoundError):
            client.get_component_details(component_name="none")
        with self.assertRaises(model.ComponentNotFoundError):
            client.stop_component(component_name="gone")
        with self.assertRaises(model.ResourceNotFoundError):
            client.pause_component(component_name="gone")
        for refused in (lambda bare: bare.list_components(),
                        lambda bare: bare.pause_component(component_name="app"),
                        lambda bare: bare.restart_component(component_name="app")):
            with self.assertRaises(model.UnauthorizedError):
                refused(self.client("TOKEN-BARE"))

    def test_shadows(self):
        client = self.client()
        event = self.subscription(self.client("TOKEN-OTHER").subscribe_to_topic, topic="$aws/things/press/shadow/#")
        update = json.dumps({"state": {"reported": {"speed": 3}, "desired": {"speed": 4}}}).encode()
        accepted = json.loads(client.update_thing_shadow(thing_name="press", shadow_name="", payload=update).payload)
        self.assertEqual((accepted["version"], accepted["state"]["desired"]), (1, {"speed": 4}))
        self.assertEqual(json.loads(event().binary_message.message)["state"], {"speed": 4})
        document = json.loads(client.get_thing_shadow(thing_name="press", shadow_name="").payload)
        self.assertEqual(document["state"]["delta"], {"speed": 4})
        client.update_thing_shadow(thing_name="press", shadow_name="config", payload=update)
        self.assertEqual(client.list_named_shadows_for_thing(thing_name="press").results, ["config"])
        with self.assertRaises(model.ConflictError):
            client.update_thing_shadow(thing_name="press", shadow_name="config",
                                       payload=json.dumps({"state": {"reported": {}}, "version": 7}).encode())
        with self.assertRaises(model.InvalidArgumentsError):
            client.update_thing_shadow(thing_name="press", shadow_name="config", payload=b"{")
        client.delete_thing_shadow(thing_name="press", shadow_name="config")
        with self.assertRaises(model.ResourceNotFoundError):
            client.get_thing_shadow(thing_name="press", shadow_name="config")
        with self.assertRaises(model.UnauthorizedError):
            self.client("TOKEN-BARE").get_thing_shadow(thing_name="press", shadow_name="")

    def test_the_connections_status(self):
        event = self.subscription(self.client("TOKEN-BARE").subscribe_to_iot_core_connection_status)
        self.assertEqual(event().connection_status_event.status, "CONNECTED")

    def test_local_topics(self):
        event = self.subscription(self.client("TOKEN-OTHER").subscribe_to_topic, topic="local/+")
        publisher = self.client()
        publisher.publish_to_topic(topic="local/1", publish_message=model.PublishMessage(
            json_message=model.JsonMessage(message={"k": 1.5})))
        publisher.publish_to_topic(topic="local/2", publish_message=model.PublishMessage(
            binary_message=model.BinaryMessage(message=b"\0\xff")))
        first, second = event(), event()
        self.assertEqual(first.json_message.message, {"k": 1.5})
        self.assertEqual(first.json_message.context.topic, "local/1")
        self.assertEqual(second.binary_message.message, b"\0\xff")
        self.assertEqual(second.binary_message.context.topic, "local/2")
        with self.assertRaises(model.InvalidArgumentsError):
            publisher.publish_to_topic(topic="local/#", publish_message=model.PublishMessage(
                json_message=model.JsonMessage(message={})))

    def test_cloud_topics(self):
        client = self.client()
        event = self.subscription(client.subscribe_to_iot_core, topic_name="cloud/#",
                                  qos=model.QOS.AT_LEAST_ONCE)
        client.publish_to_iot_core(topic_name="cloud/a", qos=model.QOS.AT_LEAST_ONCE,
                                   payload=b"\0hello")
        message = event().message
        self.assertEqual((message.topic_name, message.payload), ("cloud/a", b"\0hello"))

    def test_access_control(self):
        client = self.client("TOKEN-BARE")
        message = model.PublishMessage(json_message=model.JsonMessage(message={}))
        with self.assertRaises(model.UnauthorizedError):
            client.publish_to_topic(topic="t", publish_message=message)
        with self.assertRaises(model.UnauthorizedError):
            client.subscribe_to_topic(topic="t", on_stream_event=print)
        with self.assertRaises(model.UnauthorizedError):
            client.publish_to_iot_core(topic_name="t", qos="1", payload=b"")
        with self.assertRaises(model.UnauthorizedError):
            client.subscribe_to_iot_core(topic_name="t", qos="1", on_stream_event=print)

    def test_update_state(self):
        self.client().update_state(state=model.ReportedLifecycleState.RUNNING)
        self.assertEqual(self.server.stdout.readline(), "state app RUNNING\n")

    def order(self, order):
        self.server.stdin.write(order + "\n")
        self.server.stdin.flush()

    def test_component_updates(self):
        client = self.client()
        event = self.subscription(client.subscribe_to_component_updates)
        with self.assertRaises(model.InvalidArgumentsError):  # nothing is asked
            client.defer_component_update(deployment_id="d1", recheck_after_ms=0)
        self.order("update d1")
        asked = event().pre_update_event
        self.assertEqual((asked.deployment_id, asked.is_ggc_restarting), ("d1", False))
        with self.assertRaises(model.InvalidArgumentsError):
            client.defer_component_update(deployment_id="d0")
        with self.assertRaises(model.InvalidArgumentsError):  # the others were not asked
            self.client("TOKEN-OTHER").defer_component_update(deployment_id="d1")
        client.defer_component_update(deployment_id="d1", message="busy", recheck_after_ms=100)
        self.assertEqual(event().pre_update_event.deployment_id, "d1")  # again
        client.defer_component_update(deployment_id="d1")
        self.assertEqual(self.server.stdout.readline(), "update goes on\n")
        done = event()
        self.assertEqual((done.post_update_event.deployment_id, done.pre_update_event), ("d1", None))

    def test_validation_of_configuration(self):
        client = self.client()
        event = self.subscription(client.subscribe_to_validate_configuration_updates)

        def report(status, deployment, message=None):
            client.send_configuration_validity_report(
                configuration_validity_report=model.ConfigurationValidityReport(
                    status=status, deployment_id=deployment, message=message))
        with self.assertRaises(model.InvalidArgumentsError):
            report(model.ConfigurationValidityStatus.ACCEPTED, "d1")
        self.order("validate d1")
        asked = event().validate_configuration_update_event
        self.assertEqual((asked.deployment_id, asked.configuration),
                         ("d1", {"greeting": "new", "n": [1]}))
        with self.assertRaises(model.InvalidArgumentsError):
            report("PERHAPS", "d1")
        report(model.ConfigurationValidityStatus.REJECTED, "d1", "too new")
        self.assertEqual(self.server.stdout.readline(),
                         "component app rejects its new configuration: too new\n")
        self.order("validate d2")
        self.assertEqual(event().validate_configuration_update_event.deployment_id, "d2")
        report(model.ConfigurationValidityStatus.ACCEPTED, "d2")
        self.assertEqual(self.server.stdout.readline(), "configuration is valid\n")

    def test_tokens_are_validated_for_the_stream_manager_alone(self):
        client = self.client("TOKEN-STREAMS")
        self.assertTrue(client.validate_authorization_token(token="TOKEN-BARE").is_valid)
        with self.assertRaises(model.InvalidTokenError):
            client.validate_authorization_token(token="WRONG")
        with self.assertRaises(model.UnauthorizedError):
            self.client().validate_authorization_token(token="TOKEN-BARE")

    def test_metrics(self):
        client = self.client()
        metrics = [model.Metric(name="Frames", unit=model.MetricUnitType.COUNT, value=3),
                   model.Metric(name="Wait", unit=model.MetricUnitType.SECONDS, value=0.25)]
        for _ in range(3):
            client.put_component_metric(metrics=metrics)
        for wrong in ([], [model.Metric(name="A", unit="COUNT", value=-1)],
                      [model.Metric(name="A" * 33, unit="COUNT", value=1)],
                      [metrics[0], model.Metric(name="A", unit="PARSECS", value=1)]):
            with self.assertRaises(model.InvalidArgumentsError):
                client.put_component_metric(metrics=wrong)
        with self.assertRaises(model.ServiceError):  # more series than a component has
            client.put_component_metric(metrics=[
                model.Metric(name=f"N{i}", unit="COUNT", value=1) for i in range(100)])
        with self.assertRaises(model.UnauthorizedError):
            self.client("TOKEN-BARE").put_component_metric(metrics=metrics)

    def test_a_server_of_client_devices_is_certified(self):
        def options(kind="SERVER"):
            return model.CertificateOptions(certificate_type=kind)
        client = self.client()
        event = self.subscription(client.subscribe_to_certificate_updates, certificate_options=options())
        update = event().certificate_update
        certificate = x509.load_pem_x509_certificate(update.certificate.encode())
        key = serialization.load_pem_private_key(update.private_key.encode(), None)
        public = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.assertEqual(key.public_key().public_bytes(*public).decode(), update.public_key)
        self.assertEqual(certificate.public_key().public_bytes(*public).decode(), update.public_key)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertIn("localhost", names.get_values_for_type(x509.DNSName))
        # A stock TLS stack, trusting only the authority, takes a server that shows it.
        folder = pathlib.Path(self.directory.name)
        (folder / "server.pem").write_text(update.certificate + update.private_key)
        serving, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        serving.load_cert_chain(folder / "server.pem")
        asking.load_verify_locations(cadata="".join(update.ca_certificates))
        left, right = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [serving.wrap_bio(left, right, server_side=True),
                asking.wrap_bio(right, left, server_hostname="localhost")]
        for _ in range(4):
            for end in ends:
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    pass
        self.assertIsNotNone(ends[1].version())
        self.assertTrue(ends[1].getpeercert())
        for wrong in (None, options("CLIENT"), options(None)):
            with self.assertRaises(model.InvalidArgumentsError):
                client.subscribe_to_certificate_updates(certificate_options=wrong, on_stream_event=print)
        with self.assertRaises(model.UnauthorizedError):
            self.client("TOKEN-BARE").subscribe_to_certificate_updates(certificate_options=options(),
                                                                       on_stream_event=print)

    def test_a_debug_password_makes_its_holder_the_operator(self):
        made = self.client("TOKEN-OPERATOR").create_debug_password()
        left = made.password_expiration.timestamp() - datetime.datetime.now().timestamp()
        self.assertEqual((made.username, round(left / 3600)), ("debug", 8))
        self.assertEqual([c.component_name for c in self.client(made.password).list_components().components],
                         ["app", "other"])
        with self.assertRaises(model.UnauthorizedError):
            self.client("TOKEN-BARE").create_debug_password()

    def test_a_wrong_token_is_refused(self):
        with self.assertRaises(Exception) as caught:
            self.client("WRONG")
        self.assertRegex(f"{type(caught.exception).__name__} {caught.exception}",
                         "AccessDenied|CONNECTION_CLOSED|closed")


if __name__ == "__main__":
    unittest.main()
