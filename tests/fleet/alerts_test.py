"""Alerts from devices' metrics to a webhook, a real mail server (aiosmtpd) and MQTT: once each, over kills of the fleet and
while a sink is away.

    alerts_test.py SKERRY_FLEET
"""

import datetime
import email
import email.policy
import http.server
import ipaddress
import json
import pathlib
import queue
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleet import DEADLINE_S, Device, DeviceMqtt, Fleet

PROGRAM = sys.argv.pop(1)
warnings.filterwarnings("ignore", module="aiosmtpd")  # that TLS is not STARTTLS
SKERRY = pathlib.Path(PROGRAM).with_name("skerry")

RULES = """every: 1s
notify: {{groupWait: 1s, sinks: [hook, mail, secure, bus]}}
sinks:
  hook: {{webhook: "http://127.0.0.1:{hook}/alerts", headers: {{Authorization: Bearer hush}}}}
  mail: {{email: [ops@example.com, boss@example.com], server: "smtp://127.0.0.1:{mail}", from: fleet@example.com}}
  secure: {{email: ops@example.com, server: "smtps://127.0.0.1:{secure}", from: fleet@example.com, user: fleet,
           passwordFile: {password}, caFile: {ca}}}
  bus: {{mqtt: plant/alerts}}
rules:
  - alert: Hot
    metric: SystemMetrics/CpuTemperature
    value: last
    above: 80
    clear: 70
    severity: critical
    summary: "Zu heiß: öffnet die Tür"
"""


class Webhook:
    """Keeps what is posted; answers 503 as often as told before."""

    def __init__(self, port=0, refusals=0):
        self.heard, self.refusals, self.refused = queue.Queue(), refusals, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.refusals > 0:
                    outer.refusals -= 1
                    outer.refused.append(self.headers["Idempotency-Key"])
                    self.send_response(503)
                else:
                    outer.heard.put((self.headers, body))
                    self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Mailbox:
    """aiosmtpd's handler."""

    def __init__(self):
        self.heard, self.logins = queue.Queue(), []

    async def handle_DATA(self, _server, _session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.heard.put((envelope.mail_from, envelope.rcpt_tos, message))
        return "250 taken"

    def authenticate(self, _server, _session, _envelope, mechanism, data):
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"fleet", b"hush hush")
        self.logins.append((mechanism, right))
        return AuthResult(success=right, handled=False)


class MailServer(Controller):
    """On a free port, which the first connection of its own has to know."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def certificate(directory):
    """A CA-like certificate of 127.0.0.1 and its context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    file = directory / "mail.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file = directory / "mail.key"
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return file, context


class Alerts(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-alerts-")
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)
        ca, context = certificate(self.directory)
        (self.directory / "password").write_text("hush hush\n")
        self.mailbox, self.secure = Mailbox(), Mailbox()
        ports = {}
        for name, handler, options in (
                ("mail", self.mailbox, {}),
                ("secure", self.secure, {"ssl_context": context, "auth_required": True, "auth_require_tls": False,
                                         "authenticator": self.secure.authenticate})):
            controller = MailServer(handler, hostname="127.0.0.1", port=0, **options)
            controller.start()
            self.addCleanup(controller.stop, no_assert=True)
            ports[name] = controller.port
        self.hook = Webhook()
        self.rules = self.directory / "rules.yaml"
        self.rules.write_text(RULES.format(hook=self.hook.port, ca=ca, password=self.directory / "password", **ports))
        self.start()
        self.addCleanup(lambda: self.fleet.stop())
        (self.directory / "fleet/topics").write_text("subscribe plant/alerts\n")
        self.device = Device(self.fleet, "press-7", self.directory)
        self.connect()
        self.sequence = 0

    def start(self):
        self.fleet = Fleet(PROGRAM, self.directory / "fleet", "--alerts", str(self.rules))

    def connect(self):
        self.device.fleet = self.fleet
        self.mqtt = DeviceMqtt(self.device)
        self.wait_until(lambda: self.mqtt.subscribe("plant/alerts")[0] < 128)
        self.addCleanup(self.mqtt.stop)

    def put(self, value):
        """A minute of the device's temperature, as its nucleus would say it."""
        self.sequence += 1
        now = int(time.time() * 1000) - 1
        millionths = int(value * 1e6)
        shift = millionths.bit_length() - 4
        bin_ = 8 * shift + (millionths >> shift)  # docs/data/device-metrics.md
        self.mqtt.publish("$aws/things/press-7/skerry/metrics", {
            "format": 1, "run": "run00000001", "sequence": self.sequence, "startMs": now - 1000, "endMs": now,
            "series": [{"component": "SystemMetrics", "name": "CpuTemperature", "unit": "CELSIUS", "count": 1,
                        "sum": str(millionths), "min": millionths, "max": millionths, "last": millionths, "lastMs": now,
                        "bins": [bin_, 1]}]})

    def skerry(self, *arguments, code=0):
        done = subprocess.run([SKERRY, "--dir", self.directory / "fleet", "--json", "alert", *map(str, arguments)],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout or done.stderr)

    def wait_for_alert(self, state):
        self.wait_until(lambda: [each["state"] for each in self.skerry("list")["alerts"]] == ([state] if state else []))

    def wait_until(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, "".join(self.fleet.log))
            time.sleep(0.1)

    def test_every_sink_hears_once(self):
        self.hook.refusals = 1
        self.put(90)
        sender, recipients, mail = self.mailbox.heard.get(timeout=DEADLINE_S)
        self.assertEqual((sender, recipients), ("fleet@example.com", ["ops@example.com", "boss@example.com"]))
        self.assertEqual(mail["Subject"], "[FIRING 1] Hot: press-7")
        self.assertIn("Zu heiß: öffnet die Tür", mail.get_content())
        self.assertIn("last of SystemMetrics/CpuTemperature in 5m above 80: 90", mail.get_content())
        _, recipients, _ = self.secure.heard.get(timeout=DEADLINE_S)
        self.assertEqual(recipients, ["ops@example.com"])
        self.assertEqual(self.secure.logins, [("PLAIN", True)])
        body = self.mqtt.wait_for("plant/alerts")
        self.assertEqual(body["commonLabels"],
                         {"alertname": "Hot", "severity": "critical", "device": "press-7"})
        headers, posted = self.hook.heard.get(timeout=DEADLINE_S)
        self.assertEqual(headers["Authorization"], "Bearer hush")
        self.assertEqual(self.hook.refused, [headers["Idempotency-Key"]])  # the same when tried again
        self.assertEqual((posted["status"], posted["receiver"]), ("firing", "hook"))
        self.assertEqual(posted["alerts"][0]["annotations"]["value"], "90")
        [alert] = self.skerry("list")["alerts"]
        self.assertEqual((alert["rule"], alert["subject"], alert["state"]), ("Hot", "press-7", "FIRING"))

        # Between the limits it goes on. Then the webhook goes, the alert ends, and the fleet is killed before it could say so.
        self.put(75)
        self.hook.stop()
        self.put(60)
        self.wait_for_alert(None)
        _, _, mail = self.mailbox.heard.get(timeout=DEADLINE_S)
        self.assertEqual(mail["Subject"], "[RESOLVED] Hot: press-7")
        self.wait_until(lambda: {each["sink"] for each in self.skerry("list")["waiting"]} == {"hook"})
        self.fleet.kill()
        self.start()
        again = Webhook(self.hook.port)
        self.addCleanup(again.stop)
        _, posted = again.heard.get(timeout=DEADLINE_S)
        self.assertEqual(posted["status"], "resolved")
        self.assertEqual([len(each["alerts"]) for each in (posted,)], [1])
        self.assertTrue(self.mailbox.heard.empty())
        self.assertTrue(again.heard.empty())

    def test_silences_tests_and_a_file_that_is_wrong(self):
        silence = self.skerry("silence", "--rule", "Hot", "--device", "press-7", "--for", "1h", "--reason", "fan")
        self.put(90)
        self.wait_for_alert("FIRING")
        answer = self.skerry("list")
        self.assertTrue(answer["alerts"][0]["silenced"])
        self.assertEqual([each["reason"] for each in answer["silences"]], ["fan"])
        self.assertTrue(self.hook.heard.empty())
        self.skerry("silence", "--end", silence["silenceId"])
        self.assertEqual(self.hook.heard.get(timeout=DEADLINE_S)[1]["status"], "firing")
        self.skerry("silence", "--end", silence["silenceId"], code=1)
        self.skerry("silence", "--for", "1h", code=1)

        for sink in ("hook", "mail", "secure", "bus"):
            self.skerry("test", sink)
        self.assertEqual(self.hook.heard.get(timeout=DEADLINE_S)[1]["alerts"][0]["labels"]["alertname"], "SkerryTest")
        self.assertIn("nosuch", self.skerry("test", "nosuch", code=1)["error"]["message"])
        (self.directory / "password").write_text("wrong\n")
        refusal = self.skerry("test", "secure", code=1)["error"]["message"]
        self.assertIn("the login", refusal)
        self.assertNotIn("wrong", refusal)

        text = self.rules.read_text()
        self.rules.write_text(text.replace("above: 80", "above: much"))
        line = 1 + text[:text.index("above: 80")].count("\n")
        complaints = self.skerry("check", self.rules, code=1)
        self.assertEqual([each["line"] for each in complaints["complaints"]], [line])
        self.wait_until(lambda: f"line {line}: rules[0].above" in self.skerry("list")["rules"]["error"])
        self.assertEqual(self.skerry("list")["rules"]["rules"], 1)  # those before
        self.assertEqual(self.skerry("list")["alerts"][0]["state"], "FIRING")
        self.fleet.stop()
        with self.assertRaisesRegex(Exception, f"line {line}: rules"):
            self.start()
        self.rules.write_text(text)
        self.assertEqual(self.skerry("check", self.rules)["complaints"], [])
        self.start()


if __name__ == "__main__":
    unittest.main(verbosity=2)
