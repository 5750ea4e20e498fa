"""The console's server: sessions, roles, forged and hostile requests, events.

    session_test.py SKERRY_FLEET
"""

import http.client
import json
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fleet"))
from fleet import Fleet  # noqa: E402

PROGRAM = sys.argv.pop(1)
PASSWORD = "long enough for a test"


def setUpModule():
    global fleet, scratch
    scratch = tempfile.TemporaryDirectory(prefix="skerry-console-")
    fleet = Fleet(PROGRAM, scratch.name + "/fleet")
    for role in ("viewer", "deployer", "admin"):
        operator("add", role, "--role", role)


def tearDownModule():
    code = fleet.stop()
    scratch.cleanup()
    assert code == 0, f"skerry-fleet ended with {code}:\n" + "".join(fleet.log)


def operator(*arguments, password=PASSWORD):
    done = subprocess.run([pathlib.Path(PROGRAM).parent / "skerry", "--dir", str(fleet.directory),
                           "operator", *arguments], input=password + "\n", text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


class Browser:
    """As much of one as sessions need: a cookie, a forgery token, headers as they are given."""

    def __init__(self, cookie=None, csrf=None):
        self.cookie, self.csrf = cookie, csrf

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(fleet.info["api_url"]).netloc,
                                                timeout=30)
        sent = {"X-CSRF-Token": self.csrf} if self.csrf and method != "GET" else {}
        if self.cookie:
            sent["Cookie"] = self.cookie
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            sent["Content-Type"] = "application/json"
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection.request(method, "/console" + path, body, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers

    def log_in(self, name, password=PASSWORD):
        status, text, headers = self.ask("POST", "/session", {"name": name, "password": password})
        if status == 200:
            self.cookie = headers["Set-Cookie"].split(";")[0]
            self.csrf = json.loads(text)["csrf"]
        return status

    def call(self, method, path, body=None, **headers):
        status, text, _ = self.ask(method, "/api" + path, body, **headers)
        return status, json.loads(text) if text else {}


def logged_in(name):
    browser = Browser()
    assert browser.log_in(name) == 200
    return browser


class SessionTest(unittest.TestCase):
    def test_log_in_use_log_out(self):
        browser = Browser()
        self.assertEqual(browser.ask("GET", "/session")[0], 401)
        self.assertEqual(browser.call("GET", "/iot/things")[0], 401)
        status, text, headers = browser.ask("POST", "/session", {"name": "admin", "password": PASSWORD})
        self.assertEqual(status, 200)
        for attribute in ("HttpOnly", "SameSite=Strict", "Path=/console"):
            self.assertIn(attribute, headers["Set-Cookie"])
        browser = logged_in("admin")
        self.assertEqual(json.loads(browser.ask("GET", "/session")[1])["role"], "admin")
        self.assertIn("things", browser.call("GET", "/iot/things")[1])
        self.assertEqual(browser.ask("DELETE", "/session")[0], 200)
        self.assertEqual(browser.ask("GET", "/session")[0], 401, "the token ended, not only the cookie")

    def test_roles_hold(self):
        viewer = logged_in("viewer")
        self.assertEqual(viewer.call("GET", "/skerry/skerry/v1/overview")[0], 200)
        self.assertEqual(viewer.call("POST", "/iot/thing-groups/by-a-viewer", {})[0], 403)
        deployer = logged_in("deployer")
        self.assertEqual(deployer.call("POST", "/iot/thing-groups/by-a-deployer", {})[0], 200)
        self.assertEqual(deployer.call("GET", "/skerry/skerry/v1/audit")[0], 403)
        entries = logged_in("admin").call("GET", "/skerry/skerry/v1/audit?actor=deployer")[1]["entries"]
        self.assertEqual((entries[0]["operation"], entries[0]["via"]), ("iot:CreateThingGroup", "console"))

    def test_a_locked_out_operator_is_out_at_once(self):
        operator("add", "leaver", "--role", "admin")
        browser = logged_in("leaver")
        operator("set", "leaver", "--disable")
        self.assertEqual(browser.call("GET", "/iot/things")[0], 401)
        self.assertEqual(browser.log_in("leaver"), 401)

    def test_guessing_is_slow_and_says_nothing(self):
        operator("add", "guessed", "--role", "admin")
        answers = []
        for number in range(8):
            status, text, _ = Browser().ask("POST", "/session",
                                            {"name": "guessed", "password": f"guess number {number}"})
            answers.append((status, text))
        self.assertEqual([status for status, _ in answers[:5]], [401] * 5)
        self.assertEqual(answers[-1][0], 429)
        self.assertEqual(Browser().log_in("guessed"), 429, "the right one waits, too")
        unknown = Browser().ask("POST", "/session", {"name": "nobody", "password": "some password"})
        self.assertEqual((unknown[0], unknown[1]), answers[0])


class HostileTest(unittest.TestCase):
    def test_a_change_needs_the_sessions_own_token(self):
        browser, other = logged_in("admin"), logged_in("admin")
        for token in (None, "", "x", other.csrf):
            forged = Browser(browser.cookie, token)
            self.assertEqual(forged.call("POST", "/iot/thing-groups/forged", {})[0], 403, token)
        self.assertEqual(Browser(browser.cookie).ask("DELETE", "/session")[0], 403)
        self.assertEqual(browser.call("POST", "/iot/thing-groups/not-forged", {})[0], 200)

    def test_another_sites_requests_are_refused(self):
        browser = logged_in("admin")
        for origin in ("http://evil.example", "null", "https://127.0.0.1:1"):
            self.assertEqual(browser.call("POST", "/iot/thing-groups/cross", {}, Origin=origin)[0], 403)
            self.assertEqual(browser.ask("POST", "/session", {"name": "admin", "password": PASSWORD},
                                         Origin=origin)[0], 403)
        host = urllib.parse.urlsplit(fleet.info["api_url"]).netloc
        self.assertEqual(browser.call("POST", "/iot/thing-groups/same", {}, Origin="http://" + host)[0], 200)

    def test_bodies_of_other_types_and_sizes(self):
        browser = logged_in("admin")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            status, _, _ = browser.ask("POST", "/session", '{"name":"admin","password":"x"}',
                                       Content_Type=kind)
            self.assertEqual(status, 415)
            status, _ = browser.call("POST", "/iot/thing-groups/typed", "{}", Content_Type=kind)
            self.assertEqual(status, 415)
        for body in ("", "{", "[]", "null", '{"name":1,"password":2}', '{"name":"admin"}',
                     '{"name":{"$ne":""},"password":{"$ne":""}}', "\x00"):
            self.assertEqual(browser.ask("POST", "/session", body, Content_Type="application/json")[0],
                             400, body)
        status, _, _ = browser.ask("POST", "/api/iot/thing-groups/big", b"x" * (2 << 20),
                                   Content_Type="application/json")
        self.assertEqual(status, 413)

    def test_files_are_those_of_the_console(self):
        for path in ("/../fleet.json", "/..%2f..%2ffleet.json", "/assets/../../../../etc/passwd",
                     "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/assets", "/nothing.js",
                     "/index.html%00.js"):
            self.assertEqual(Browser().ask("GET", path)[0], 404, path)
        self.assertEqual(Browser().ask("POST", "/index.html", "x")[0], 405)

    def test_pages_tell_browsers_what_is_allowed(self):
        status, text, headers = Browser().ask("GET", "/")
        self.assertEqual(status, 200)
        self.assertIn('<div id="app">', text)
        self.assertIn("default-src 'self'", headers["Content-Security-Policy"])
        self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertNotIn("://", text, "nothing comes from elsewhere")

    def test_cookies_of_every_kind(self):
        for cookie in ("skerry_session=", "skerry_session=x", "skerry_session", ";;;", "a=b; c",
                       "skerry_session=" + "x" * 8000, "other=1; skerry_session=y; skerry_session=z"):
            self.assertEqual(Browser(cookie).ask("GET", "/session")[0], 401, cookie[:40])


class SearchTest(unittest.TestCase):
    def search(self, **query):
        path = "/skerry/skerry/v1/devices?" + urllib.parse.urlencode(query)
        status, answer = logged_in("viewer").call("GET", path)
        self.assertEqual(status, 200, answer)
        return [device["thingName"] for device in answer["devices"]]

    def test_names_attributes_groups_and_health(self):
        iot = fleet.client("iot")
        iot.create_thing(thingName="press_7", attributePayload={"attributes": {"site": "north"}})
        iot.create_thing(thingName="pressX7")
        iot.create_thing_group(thingGroupName="searched")
        iot.add_thing_to_thing_group(thingName="press_7", thingGroupName="searched")
        self.assertEqual(self.search(text="press_7"), ["press_7"], "_ is no wildcard")
        self.assertEqual(self.search(text="%"), [])
        self.assertEqual(self.search(text="north"), ["press_7"])
        self.assertEqual(self.search(group="searched"), ["press_7"])
        self.assertEqual(self.search(status="HEALTHY"), [])
        self.assertIn("pressX7", self.search(status="NEW"))
        self.assertEqual(self.search(component="nothing"), [])


class EventsTest(unittest.TestCase):
    def events_of(self, browser):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(fleet.info["api_url"]).netloc,
                                                timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", "/console/events", headers={"Cookie": browser.cookie})
        answer = connection.getresponse()
        self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
        self.assertTrue(answer.readline().startswith(b"retry:"))
        answer.readline()
        return answer

    def test_they_end_with_the_session(self):
        operator("add", "listener", "--role", "viewer")
        answer = self.events_of(logged_in("listener"))
        operator("set", "listener", "--disable")
        fleet.client("iot").create_thing(thingName="unheard")
        self.assertEqual([line for line in answer.read().splitlines() if line.startswith(b"data:")], [])

    def test_a_change_is_told(self):
        answer = self.events_of(logged_in("viewer"))
        iot = fleet.client("iot")
        iot.create_thing(thingName="evented")
        fleet.client("greengrassv2").create_deployment(targetArn=fleet.arn("iot", "thing/evented"),
                                                       components={})
        end = time.monotonic() + 30
        while time.monotonic() < end:
            line = answer.readline()
            if line.startswith(b"data:"):
                self.assertIn("deployments", json.loads(line[5:])["changed"])
                break
        else:
            self.fail("no event")
        self.assertEqual(Browser().ask("GET", "/events")[0], 401)


if __name__ == "__main__":
    unittest.main()
