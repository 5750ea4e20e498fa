"""The console's server: sessions, roles, forged and hostile requests, events.

    session_test.py SKERRY_FLEET
"""

import http.client
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fleet"))
from fleet import Fleet, fleet_of_module  # noqa: E402

PROGRAM = sys.argv.pop(1)
PASSWORD = "long enough for a test"


def setUpModule():
    global fleet
    fleet, _ = fleet_of_module(PROGRAM)
    for role in ("viewer", "deployer", "admin"):
        operator("add", role, "--role", role)


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

    def test_a_huge_body_is_refused_before_it_is_read(self):
        host = urllib.parse.urlsplit(fleet.info["api_url"])
        browser = logged_in("admin")
        for framing in ("Content-Length: 1099511627776", "Transfer-Encoding: chunked"):
            with socket.create_connection((host.hostname, host.port), timeout=30) as connection:
                connection.sendall(
                    f"POST /console/api/iot/thing-groups/huge HTTP/1.1\r\nHost: {host.netloc}\r\n"
                    f"Cookie: {browser.cookie}\r\nX-CSRF-Token: {browser.csrf}\r\n"
                    f"Content-Type: application/json\r\n{framing}\r\n\r\n".encode())
                answer = b""
                try:
                    for _ in range(64):  # 4 MiB, of which no more is taken than the limit
                        connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                    answer = connection.recv(4096)
                except (ConnectionResetError, BrokenPipeError):
                    answer = answer or connection.recv(4096)
                self.assertIn(answer.split(b" ")[1], (b"413", b"400"), framing)
        self.assertEqual(browser.call("GET", "/iot/thing-groups/huge")[0], 404)

    def test_a_session_is_the_one_that_logging_in_made(self):
        planted = "skerry_session=" + "A" * 43  # what an attacker has set in the browser
        browser = Browser(planted)
        self.assertEqual(browser.log_in("admin"), 200)
        self.assertNotEqual(browser.cookie, planted)
        self.assertEqual(Browser(planted).ask("GET", "/session")[0], 401)
        before = browser.cookie  # another login is another session, with another token
        csrf = browser.csrf
        self.assertEqual(browser.log_in("admin"), 200)
        self.assertNotEqual((browser.cookie, browser.csrf), (before, csrf))
        status, text, _ = Browser(before).ask("GET", "/session?skerry_session=" + browser.cookie.split("=")[1])
        self.assertEqual((status, json.loads(text)["csrf"]), (200, csrf), "never taken from the address")

    def test_a_token_of_a_session_that_ended_is_worth_nothing(self):
        browser, other = logged_in("admin"), logged_in("admin")
        old_cookie, old_csrf = browser.cookie, browser.csrf
        self.assertEqual(browser.ask("DELETE", "/session")[0], 200)
        for cookie, csrf in ((old_cookie, old_csrf), (other.cookie, old_csrf), (old_cookie, other.csrf)):
            status, _ = Browser(cookie, csrf).call("POST", "/iot/thing-groups/replayed", {})
            self.assertIn(status, (401, 403))
        self.assertEqual(other.call("GET", "/iot/thing-groups/replayed")[0], 404)
        # In the address or the body it does not count either.
        status, _ = Browser(other.cookie).call("POST", f"/iot/thing-groups/replayed?X-CSRF-Token={other.csrf}",
                                               {"X-CSRF-Token": other.csrf})
        self.assertEqual(status, 403)

    def test_a_password_or_role_that_changes_ends_the_sessions(self):
        operator("add", "changed", "--role", "admin")
        for change in (("--role", "viewer"),):
            browser = logged_in("changed")
            operator("set", "changed", *change)
            self.assertEqual(browser.call("GET", "/iot/things")[0], 401, change)
        browser = logged_in("changed")
        self.assertEqual(logged_in("admin").call("PATCH", "/skerry/skerry/v1/operators/changed",
                                                 {"password": "another password"})[0], 200)
        self.assertEqual(browser.ask("GET", "/session")[0], 401)
        self.assertEqual(browser.log_in("changed"), 401)
        self.assertEqual(browser.log_in("changed", "another password"), 200)

    def test_methods_that_nothing_here_has(self):
        browser = logged_in("admin")
        for method in ("PUT", "PATCH", "OPTIONS", "TRACE", "BREW"):
            self.assertIn(browser.ask(method, "/session")[0], (400, 403, 404, 405, 501), method)
            self.assertIn(browser.ask(method, "/index.html")[0], (400, 403, 404, 405, 501), method)
        for method in ("POST", "PUT", "DELETE"):
            self.assertNotEqual(browser.ask(method, "/")[0], 200, method)
        for path in ("/api", "/api/", "/api/iot", "/api//things", "/api/nothing/things", "/api/s3/bucket",
                     "/api/iot/../skerry/skerry/v1/audit", "/api/iot/%2e%2e/things"):
            status, text, _ = browser.ask("GET", path)
            self.assertIn(status, (400, 403, 404), path)
            self.assertNotIn("<", text)
        # HEAD is GET without the body, and may change nothing.
        self.assertEqual(browser.ask("HEAD", "/session")[:2], (200, ""))
        # A method that is overridden in a header is not.
        status, _, _ = Browser(browser.cookie).ask("GET", "/api/iot/thing-groups/overridden",
                                                   X_HTTP_Method_Override="POST")
        self.assertEqual(status, 404)

    def test_markup_comes_back_as_json_and_is_nowhere_a_page(self):
        browser = logged_in("admin")
        markup = "<script>alert(1)</script>"
        quoted = urllib.parse.quote(markup, safe="")
        for path in (f"/{quoted}", f"/assets/{quoted}.html", f"/api/iot/things/{quoted}", f"/api/{quoted}/things",
                     f"/api/skerry/skerry/v1/devices?text={quoted}", f"/api/skerry/skerry/v1/audit?actor={quoted}",
                     f"/api/skerry/skerry/v1/models/{quoted}/versions/{quoted}",
                     f"/api/skerry/skerry/v1/components/{quoted}/use"):
            status, _, headers = browser.ask("GET", path)
            self.assertNotIn("html", headers["Content-Type"] or "", path)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff", path)
            self.assertIn("default-src 'self'", headers["Content-Security-Policy"], path)
        for method, path, body in (
                ("POST", f"/iot/thing-groups/{quoted}", {}),
                ("POST", f"/iot/things/{quoted}", {}),
                ("POST", "/iot/things/marked", {"attributePayload": {"attributes": {"a": markup}}}),
                ("PUT", f"/skerry/skerry/v1/models/com.example.A/tags/{quoted}", {"version": "1.0.0"}),
                ("PUT", f"/skerry/skerry/v1/models/{quoted}/versions/1.0.0", {"provenance": {"model": "m"}}),
                ("POST", "/skerry/skerry/v1/operators", {"name": markup, "role": "viewer", "password": PASSWORD}),
                ("PUT", "/skerry/skerry/v1/models/com.example.A/versions/1.0.0",
                 {"provenance": {"model": "m", "dataset": markup, "trainedOn": "2026-11-27", "metric": "a",
                                 "metrics": {"a": 1}}})):
            status, answer = browser.call(method, path, body)
            self.assertEqual(status, 400, (path, answer))

    def test_pages_run_nothing_that_is_written_into_them(self):
        policy = dict(part.split(" ", 1) for part in
                      Browser().ask("GET", "/")[2]["Content-Security-Policy"].split("; "))
        self.assertNotIn("unsafe", json.dumps(policy))
        self.assertEqual(policy["default-src"], "'self'")
        for path in ("/", "/session", "/events", "/api/iot/things", "/nothing"):
            headers = Browser().ask("GET", path)[2]
            self.assertEqual(headers["Cross-Origin-Opener-Policy"], "same-origin", path)
            self.assertEqual(headers["Referrer-Policy"], "no-referrer", path)
            self.assertEqual(headers["Access-Control-Allow-Origin"], None, path)
        self.assertEqual(logged_in("viewer").ask("GET", "/api/iot/things")[2]["Cache-Control"], "no-store")

    def test_cookies_of_every_kind(self):
        for cookie in ("skerry_session=", "skerry_session=x", "skerry_session", ";;;", "a=b; c",
                       "skerry_session=" + "x" * 8000, "other=1; skerry_session=y; skerry_session=z"):
            self.assertEqual(Browser(cookie).ask("GET", "/session")[0], 401, cookie[:40])


class TlsTest(unittest.TestCase):
    def test_over_tls_the_cookie_never_travels_in_the_clear(self):
        with tempfile.TemporaryDirectory(prefix="skerry-console-tls-") as directory:
            secure = Fleet(PROGRAM, directory, "--api-tls")
            self.addCleanup(secure.stop)
            subprocess.run([pathlib.Path(PROGRAM).parent / "skerry", "--dir", directory, "operator", "add", "ada", "--role",
                            "viewer"], input=PASSWORD + "\n", text=True, check=True, timeout=60)
            connection = http.client.HTTPSConnection(
                urllib.parse.urlsplit(secure.info["api_url"]).netloc, timeout=30,
                context=ssl.create_default_context(cafile=secure.info["ca_file"]))
            connection.request("POST", "/console/session", json.dumps({"name": "ada", "password": PASSWORD}),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200, answer.read())
            flags = answer.headers["Set-Cookie"].split("; ")[1:]
            self.assertEqual(sorted(flags), ["HttpOnly", "Max-Age=43200", "Path=/console", "SameSite=Strict", "Secure"])
            connection.close()


class QuestionsTest(unittest.TestCase):
    """What the pages ask beside AWS's operations."""

    def ask(self, path, status=200):
        got, answer = logged_in("viewer").call("GET", "/skerry/skerry/v1" + path)
        self.assertEqual(got, status, answer)
        return answer

    def test_where_a_component_is(self):
        iot, greengrass = fleet.client("iot"), fleet.client("greengrassv2")
        iot.create_thing_group(thingGroupName="used")
        arn = fleet.arn("iot", "thinggroup/used")
        for version in ("1.0.0", "2.0.0"):
            fleet.publish("com.example.Used", version)
        first = greengrass.create_deployment(targetArn=arn, components={"com.example.Used": {"componentVersion": "1.0.0"}})
        iot.create_thing(thingName="user-1")
        iot.add_thing_to_thing_group(thingName="user-1", thingGroupName="used")
        status, _, rollout = fleet.send("skerry", "POST", "/skerry/v1/rollouts", {
            "deployment": {"targetArn": arn, "components": {"com.example.Used": {"componentVersion": "2.0.0"}}},
            "rollout": {"stages": [{"percent": 100}]}})
        self.assertEqual(status, 201, rollout)
        use = self.ask("/components/com.example.Used/use")
        self.assertEqual([(one["deploymentId"], one["componentVersion"], one.get("rolloutPhase"), one["isLatestForTarget"])
                          for one in use["deployments"]],
                         [(rollout["rolloutId"], "2.0.0", "asking", True), (first["deploymentId"], "1.0.0", None, False)])
        self.assertEqual(use["versions"], [])
        self.assertTrue(use["arn"].endswith(":components:com.example.Used"))
        self.assertEqual(self.ask("/components/nothing/use")["deployments"], [])

    def test_what_a_devices_models_do(self):
        fleet.client("iot").create_thing(thingName="silent-1")
        self.assertEqual(self.ask("/coreDevices/silent-1/models"), {"models": []})
        self.ask("/coreDevices/nobody/models", 404)
        self.assertEqual(self.ask("/modelMetrics/none/versions/1.0.0/history"), {"hours": []})
        for hours in ("0", "2161", "x", "-1"):
            self.ask(f"/modelMetrics/none/versions/1.0.0/history?hours={hours}", 400)

    def test_the_audit_log_by_text_and_time(self):
        fleet.client("iot").create_thing_group(thingGroupName="looked-for")
        browser = logged_in("admin")

        def found(**query):
            status, answer = browser.call("GET", "/skerry/skerry/v1/audit?" + urllib.parse.urlencode(query))
            self.assertEqual(status, 200, answer)
            return [entry["resource"] for entry in answer["entries"]]
        now = int(time.time())
        self.assertEqual(found(text="looked-for"), ["/thing-groups/looked-for"])
        self.assertEqual(found(text="looked-for", until=now - 3600), [])
        self.assertEqual(found(text="looked-for", **{"from": now + 3600}), [])
        self.assertEqual(found(text="looked-for", **{"from": now - 3600}, until=now + 3600), ["/thing-groups/looked-for"])
        self.assertEqual(found(text="looked%for"), [])
        for wrong in ("from=x", "until=-1", "from=99999999999999999999"):
            self.assertEqual(browser.call("GET", "/skerry/skerry/v1/audit?" + wrong)[0], 400, wrong)


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
