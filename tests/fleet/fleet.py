"""Starts skerry-fleet for a test, and plays a device: its key, certificate, HTTPS and MQTT."""

import base64
import json
import os
import pathlib
import queue
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request
import uuid

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
from awscrt import mqtt5
from awsiot import mqtt5_client_builder
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DEADLINE_S = 60
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


class Fleet:
    """One running skerry-fleet on free loopback ports. Stop it with stop() or kill()."""

    def __init__(self, program, directory, *options):
        self.program, self.directory = program, pathlib.Path(directory)
        self.log = []
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [program, "--dir", str(directory), "--api-port", "0", "--data-plane-port", "0",
             "--broker-port", "0", *options], stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._ready.wait(DEADLINE_S), "skerry-fleet is not ready:\n" + "".join(self.log)
        if self._process.poll() is not None:
            raise RuntimeError("skerry-fleet ended: " + "".join(self.log))
        self.info = json.loads((self.directory / "fleet.json").read_text())
        key = json.loads((self.directory / "access-key.json").read_text())
        self.access_key = {"aws_access_key_id": key["accessKeyId"],
                           "aws_secret_access_key": key["secretAccessKey"]}

    def _read(self):
        for line in self._process.stderr:
            self.log.append(line)
            if " fleet: ready" in line:
                self._ready.set()
        self._process.wait()
        self._ready.set()

    def _end(self, number):
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        self._process.stderr.close()
        return code

    def stop(self):
        return self._end(signal.SIGTERM)

    def kill(self):
        return self._end(signal.SIGKILL)

    def client(self, service, **overrides):
        endpoint = self.info["api_url"] + ("/artifacts" if service == "s3" else "")
        # The control plane is to find what is wrong, not the client.
        version = "s3v4" if service == "s3" else None  # its pre-signed URLs are older ones otherwise
        config = botocore.config.Config(retries={"max_attempts": 1}, parameter_validation=False,
                                        signature_version=version, s3={"addressing_style": "path"})
        return boto3.client(service, endpoint_url=endpoint, config=config,
                            **{"region_name": self.info["region"], **self.access_key, **overrides})

    def send(self, service, method, path, body=None, access_key=None):
        """A signed request as it stands: status, headers, JSON."""
        key = access_key or self.access_key
        credentials = botocore.credentials.Credentials(key["aws_access_key_id"],
                                                       key["aws_secret_access_key"])
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = botocore.awsrequest.AWSRequest(method, self.info["api_url"] + path, data=data)
        botocore.auth.SigV4Auth(credentials, service, self.info["region"]).add_auth(request)
        prepared = request.prepare()
        status, headers, answer = fetch(urllib.request.Request(
            prepared.url, data=data, headers=dict(prepared.headers), method=method))
        return status, headers, json.loads(answer) if answer else {}

    def arn(self, service, resource):
        return f"arn:aws:{service}:{self.info['region']}:{self.info['account']}:{resource}"

    def upload(self, key, content):
        self.client("s3").put_object(Bucket="skerry-artifacts", Key=key, Body=content)

    def publish(self, name, version, uris=(), dependencies=None, os_label="linux"):
        return self.client("greengrassv2").create_component_version(
            inlineRecipe=recipe(name, version, uris, dependencies, os_label))


def fleet_of_module(program, *options):
    """For setUpModule(): a fleet, stopped after the module's tests, and a folder of their own."""
    scratch = tempfile.TemporaryDirectory(prefix="skerry-fleet-test-")
    unittest.addModuleCleanup(scratch.cleanup)
    fleet = Fleet(program, scratch.name + "/fleet", *options)

    def end():
        code = fleet.stop()
        assert code == 0, f"skerry-fleet ended with {code}:\n" + "".join(fleet.log)
    unittest.addModuleCleanup(end)
    return fleet, scratch


class ClientTest(unittest.TestCase):
    """Tests of what boto3 is told."""

    def assert_refused(self, code, call, **arguments):
        """The answer to a call that ends with that error."""
        with self.assertRaises(ClientError) as raised:
            call(**arguments)
        response = raised.exception.response
        self.assertEqual(response["Error"]["Code"], code, response)
        return response

    def assert_fails(self, code, status, call, **arguments):
        """The message of an error of the API, which always has one."""
        response = self.assert_refused(code, call, **arguments)
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], status)
        self.assertTrue(response["Error"]["Message"])
        return response["Error"]["Message"]


class ApiTest(ClientTest):
    """Tests that share their module's `fleet`, and not their names."""

    def setUp(self):
        fleet = sys.modules[type(self).__module__].fleet
        self.greengrass = fleet.client("greengrassv2")
        self.iot = fleet.client("iot")
        self.prefix = "x" + uuid.uuid4().hex[:8]

    def name(self, text):
        return f"{self.prefix}-{text}"


def recipe(name, version, uris=(), dependencies=None, os_label="linux"):
    return json.dumps({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentDescription": "A component of the tests.", "ComponentPublisher": "Tests",
        "ComponentDependencies": dependencies or {},
        "Manifests": [{"Platform": {"os": os_label}, "Lifecycle": {"Run": "sleep 1000"},
                       "Artifacts": [{"URI": uri} for uri in uris]}]}).encode()


class Device:
    """A thing with an active, attached certificate; key and certificate in the directory."""

    def __init__(self, fleet, name, directory):
        self.fleet, self.name = fleet, name
        iot = fleet.client("iot")
        iot.create_thing(thingName=name)
        key, csr = key_and_csr(name)
        issued = iot.create_certificate_from_csr(certificateSigningRequest=csr, setAsActive=True)
        iot.attach_thing_principal(thingName=name, principal=issued["certificateArn"])
        self.certificate_id = issued["certificateId"]
        self.key_file = pathlib.Path(directory) / f"{name}.key"
        self.certificate_file = pathlib.Path(directory) / f"{name}.pem"
        self.key_file.write_text(key)
        self.certificate_file.write_text(issued["certificatePem"])

    def request(self, path, body=None, headers=None):
        """Status and JSON of the data plane's answer."""
        context = ssl.create_default_context(cafile=self.fleet.info["ca_file"])
        context.load_cert_chain(self.certificate_file, self.key_file)
        request = urllib.request.Request(self.fleet.info["data_plane_url"] + path, data=body,
                                         headers=headers or {})
        return fetch_json(request, context)

    def resolve(self, name, requirement=None, os_label="linux", trailer=b"", runtime=None):
        candidate = {"componentName": name}
        if requirement:
            candidate["versionRequirements"] = {"requirements": requirement}
        attributes = {"os": os_label, "architecture": "amd64"} | ({"runtime": runtime} if runtime else {})
        body = {"componentCandidates": [candidate], "platform": {"name": "linux", "attributes": attributes}}
        return self.request("/greengrass/v2/resolveComponentCandidates",
                            json.dumps(body).encode() + trailer)


class DeviceMqtt:
    """A device's connection, through AWS's own device SDK."""

    def __init__(self, device):
        self.messages = queue.Queue()
        connected = threading.Event()
        self.disconnected = threading.Event()
        self._stopped = threading.Event()
        self._client = mqtt5_client_builder.mtls_from_path(
            endpoint=device.fleet.info["broker_host"], port=device.fleet.info["broker_port"],
            cert_filepath=str(device.certificate_file), pri_key_filepath=str(device.key_file),
            ca_filepath=device.fleet.info["ca_file"], client_id=device.name,
            on_publish_received=lambda data: self.messages.put(
                (data.publish_packet.topic, json.loads(data.publish_packet.payload))),
            on_lifecycle_connection_success=lambda _: connected.set(),
            on_lifecycle_disconnection=lambda _: self.disconnected.set(),
            on_lifecycle_stopped=lambda _: self._stopped.set())
        self._client.start()
        assert connected.wait(DEADLINE_S), "no connection to the broker"

    def subscribe(self, *filters):
        """The broker's reason codes, 128 and more where it refused."""
        packet = mqtt5.SubscribePacket([mqtt5.Subscription(f, mqtt5.QoS.AT_LEAST_ONCE)
                                        for f in filters])
        return self._client.subscribe(packet).result(DEADLINE_S).reason_codes

    def publish(self, topic, message):
        self._client.publish(mqtt5.PublishPacket(topic=topic, qos=mqtt5.QoS.AT_LEAST_ONCE,
                                                 payload=json.dumps(message))
                             ).result(DEADLINE_S)

    def wait_for(self, suffix):
        while True:
            topic, message = self.messages.get(timeout=DEADLINE_S)
            if topic.endswith(suffix):
                return message

    def stop(self):
        self._client.stop()
        self._stopped.wait(DEADLINE_S)


def key_and_csr(common_name, key=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
                        if len(common_name) <= 64 else [])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return (key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption()).decode(),
            csr.public_bytes(serialization.Encoding.PEM).decode())


def fetch(request, context=None):
    """Status, headers and body, whatever the status."""
    try:
        with urllib.request.urlopen(request, context=context, timeout=DEADLINE_S) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def fetch_json(request, context=None):
    status, _, body = fetch(request, context)
    return status, json.loads(body)


def decode_recipe(encoded):
    return json.loads(base64.b64decode(encoded))
