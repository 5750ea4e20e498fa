"""Device shadows: operators through stock boto3 (iot-data), devices through AWS's own device SDK.

    shadows_test.py SKERRY_FLEET
"""

import json
import sys
import tempfile
import unittest

from fleet import ApiTest, Device, DeviceMqtt, Fleet, fleet_of_module

PROGRAM = sys.argv.pop(1)


def setUpModule():
    global fleet, scratch
    fleet, scratch = fleet_of_module(PROGRAM)


def document(answer):
    return json.loads(answer["payload"].read())


class Shadows(ApiTest):
    def setUp(self):
        super().setUp()
        self.data = fleet.client("iot-data")
        self.thing = self.name("t")

    def update(self, state, thing=None, **more):
        payload = json.dumps({"state": state, **more.pop("document", {})})
        return document(self.data.update_thing_shadow(thingName=thing or self.thing, payload=payload, **more))

    def test_a_shadow_is_made_read_and_deleted(self):
        self.iot.create_thing(thingName=self.thing)
        for shadow in ({}, {"shadowName": "config:$1"}):
            one = {"thingName": self.thing, **shadow}
            message = self.assert_fails("ResourceNotFoundException", 404, self.data.get_thing_shadow, **one)
            self.assertIn("No shadow exists with name", message)
            made = self.update({"desired": {"rate": 5}, "reported": {"rate": 3}}, **shadow,
                               document={"clientToken": "mine"})
            self.assertEqual((made["version"], made["clientToken"]), (1, "mine"))
            self.assertEqual(self.update({"desired": {"mode": "eco"}}, **shadow)["version"], 2)
            read = document(self.data.get_thing_shadow(**one))
            self.assertEqual(read["state"], {"desired": {"rate": 5, "mode": "eco"}, "reported": {"rate": 3},
                                             "delta": {"rate": 5, "mode": "eco"}})
            self.assertEqual(set(read["metadata"]["desired"]), {"rate", "mode"})
            self.assertEqual(document(self.data.delete_thing_shadow(**one))["version"], 2)
            self.assert_fails("ResourceNotFoundException", 404, self.data.delete_thing_shadow, **one)
            self.assertEqual(self.update({"reported": {"rate": 1}}, **shadow)["version"], 3)

    def test_what_cannot_be_is_refused_by_its_name(self):
        self.iot.create_thing(thingName=self.thing)
        self.update({"reported": {"a": 1}})
        one = {"thingName": self.thing}
        for code, status, payload in (
                ("ConflictException", 409, {"state": {"reported": {"a": 2}}, "version": 9}),
                ("InvalidRequestException", 400, {"state": {"elsewhere": {}}}),
                ("InvalidRequestException", 400, {"version": 1}),
                ("InvalidRequestException", 400, [1]),
                ("RequestEntityTooLargeException", 413, {"state": {"reported": {"text": "x" * 8192}}})):
            with self.subTest(payload=str(payload)[:60]):
                self.assert_fails(code, status, self.data.update_thing_shadow, **one, payload=json.dumps(payload))
        self.assert_fails("InvalidRequestException", 400, self.data.update_thing_shadow, **one, payload=b"{")
        self.assert_fails("InvalidRequestException", 400, self.data.update_thing_shadow, **one, payload=b"")
        self.assert_fails("InvalidRequestException", 400, self.data.get_thing_shadow, **one, shadowName="a/b")
        self.assert_fails("ResourceNotFoundException", 404, self.data.update_thing_shadow,
                          thingName=self.name("nobody"), payload=json.dumps({"state": {"reported": {"a": 1}}}))
        self.assertEqual(document(self.data.get_thing_shadow(**one))["state"], {"reported": {"a": 1}})

    def test_named_shadows_are_listed_by_pages(self):
        self.iot.create_thing(thingName=self.thing)
        names = [f"n{i}" for i in range(5)]
        for name in (*names, "gone"):
            self.update({"reported": {"a": 1}}, shadowName=name)
        self.update({"reported": {"a": 1}})
        self.data.delete_thing_shadow(thingName=self.thing, shadowName="gone")
        listed, token = [], {}
        while True:
            page = self.data.list_named_shadows_for_thing(thingName=self.thing, pageSize=2, **token)
            listed += page["results"]
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        self.assertEqual(listed, names)
        self.assertGreater(page["timestamp"], 1_600_000_000)
        self.assert_fails("InvalidRequestException", 400, self.data.list_named_shadows_for_thing,
                          thingName=self.thing, pageSize=101)
        self.assert_fails("ResourceNotFoundException", 404, self.data.list_named_shadows_for_thing,
                          thingName=self.name("nobody"))

    def test_a_viewer_reads_and_changes_nothing(self):
        self.iot.create_thing(thingName=self.thing)
        self.update({"reported": {"a": 1}})
        status, _, key = fleet.send("skerry", "POST", "/skerry/v1/accessKeys",
                                    {"name": self.name("v"), "role": "viewer"})
        self.assertEqual(status, 200, key)
        data = fleet.client("iot-data", aws_access_key_id=key["accessKeyId"],
                            aws_secret_access_key=key["secretAccessKey"])
        self.assertEqual(document(data.get_thing_shadow(thingName=self.thing))["version"], 1)
        self.assert_refused("AccessDeniedException", data.delete_thing_shadow, thingName=self.thing)
        self.assert_refused("AccessDeniedException", data.update_thing_shadow, thingName=self.thing,
                            payload=json.dumps({"state": {"reported": {"a": 2}}}))
        stranger = fleet.client("iot-data", aws_secret_access_key="x")
        self.assert_refused("InvalidSignatureException", stranger.get_thing_shadow, thingName=self.thing)

    def test_a_device_and_an_operator_see_the_same_shadow(self):
        device = Device(fleet, self.thing, scratch.name)
        mqtt = DeviceMqtt(device)
        self.addCleanup(mqtt.stop)
        shadow = f"$aws/things/{self.thing}/shadow/name/config"
        mqtt.subscribe(shadow + "/#")
        mqtt.publish(shadow + "/get", {"clientToken": "g"})
        self.assertEqual(mqtt.wait_for("/get/rejected")["code"], 404)
        self.update({"desired": {"rate": 5}}, shadowName="config")
        self.assertEqual(mqtt.wait_for("/update/delta")["state"], {"rate": 5})
        mqtt.publish(shadow + "/update", {"state": {"reported": {"rate": 5}}, "clientToken": "r"})
        while mqtt.wait_for("/update/accepted").get("clientToken") != "r":
            pass
        self.assertNotIn("delta", document(self.data.get_thing_shadow(
            thingName=self.thing, shadowName="config"))["state"])
        mqtt.publish(shadow + "/update", {"state": {"reported": {}}, "version": 1})
        self.assertEqual(mqtt.wait_for("/update/rejected")["code"], 409)
        self.data.delete_thing_shadow(thingName=self.thing, shadowName="config")
        self.assertEqual(mqtt.wait_for("/delete/accepted")["version"], 2)
        mqtt.publish(shadow + "/get", {})
        self.assertEqual(mqtt.wait_for("/get/rejected")["code"], 404)

    def test_what_was_accepted_survives_a_kill(self):
        with tempfile.TemporaryDirectory(prefix="skerry-shadows-") as directory:
            killed = Fleet(PROGRAM, directory + "/fleet")
            killed.client("iot").create_thing(thingName="t")
            for rate in range(20):
                killed.client("iot-data").update_thing_shadow(
                    thingName="t", payload=json.dumps({"state": {"reported": {"rate": rate}}}))
            killed.kill()
            again = Fleet(PROGRAM, directory + "/fleet")
            self.addCleanup(again.stop)
            read = document(again.client("iot-data").get_thing_shadow(thingName="t"))
            self.assertEqual((read["version"], read["state"]["reported"]["rate"]), (20, 19))
            again.stop()


if __name__ == "__main__":
    unittest.main()
