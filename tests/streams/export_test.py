"""Exports as the stock Python SDK asks for them: over HTTP, to services in AWS's shapes, with kills on both ends.

    export_test.py SKERRY_STREAMS
"""

import base64
import json
import logging
import random
import signal
import sys
import time
import unittest

import botocore.loaders
import botocore.model
import botocore.validate
from stream_manager import (AssetPropertyValue, ExportDefinition, ExportFormat, HTTPConfig, IoTSiteWiseConfig,
                            KinesisConfig, MessageStreamDefinition, PutAssetPropertyValueEntry, Quality, StrategyOnFull,
                            StreamManagerClient, TimeInNanos, Util, Variant)
from stream_manager.exceptions import InvalidRequestException

from recorder import Recorder
from streams_program import DEADLINE_S, Streams

PROGRAM = sys.argv.pop(1)
QUIET = logging.getLogger("client")
QUIET.setLevel(logging.CRITICAL)


def wait_for(what, condition):
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not in time: {what}")
        time.sleep(0.02)
    return value


def with_bytes(shape, value):
    """A request's JSON with blobs as bytes, as botocore wants parameters."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "structure" and isinstance(value, dict):
        return {key: with_bytes(shape.members[key], each) if key in shape.members else each
                for key, each in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [with_bytes(shape.member, each) for each in value]
    return value


def check_against_model(service, operation, body):
    """The parameters of `operation` in a request's JSON; fails where botocore would not send them."""
    model = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"), service)
    shape = model.operation_model(operation).input_shape
    parameters = with_bytes(shape, json.loads(body))
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise AssertionError(report.generate_report())
    return parameters


class Exports(unittest.TestCase):
    def start(self, answer=lambda request: (200, b"{}")):
        self.recorder = Recorder(answer)
        self.recorder.start()
        self.addCleanup(self.recorder.stop)
        self.streams = Streams(PROGRAM, environment={
            "STREAM_MANAGER_AUTHENTICATE_CLIENT": "false", "AWS_REGION": "eu-north-9",
            "AWS_ENDPOINT_URL": self.recorder.url, "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"})
        self.addCleanup(self.streams.close)
        self.streams.start()
        return self.connect()

    def connect(self):
        client = StreamManagerClient(port=self.streams.port, logger=QUIET)
        self.addCleanup(self.close, client)
        return client

    @staticmethod
    def close(client):
        try:
            client.close()
        except ConnectionError:
            pass  # the server was killed

    def create(self, client, name, **exports):
        client.create_message_stream(MessageStreamDefinition(
            name=name, strategy_on_full=StrategyOnFull.RejectNewData, flush_on_write=True,
            export_definition=ExportDefinition(**exports)))

    def wait_until_exported(self, client, name, sequence):
        def status():
            [each] = client.describe_message_stream(name).export_statuses
            return each if each.last_exported_sequence_number >= sequence else None

        return wait_for(f"{name} is exported up to {sequence}", status)

    def test_http_gets_each_message_or_lists_of_them(self):
        client = self.start()
        self.create(client, "single", http=[HTTPConfig(identifier="h", uri=self.recorder.url + "/in")])
        sent = [bytes([i]) * (i + 1) for i in range(20)]
        for message in sent:
            client.append_message("single", message)
        status = self.wait_until_exported(client, "single", 19)
        self.assertEqual((status.export_config_identifier, status.exported_messages_count), ("h", 20))
        self.assertEqual(status.exported_bytes_from_stream, sum(map(len, sent)))
        self.assertEqual([body for _, _, body in self.recorder.requests], sent)
        self.assertEqual(len({headers["Idempotency-Key"] for _, headers, _ in self.recorder.requests}), 20)
        self.recorder.requests.clear()
        self.create(client, "lists", http=[HTTPConfig(identifier="h", uri=self.recorder.url + "/in", batch_size=8,
                                                      export_format=ExportFormat.JSON_BATCHED)])
        for message in sent:
            client.append_message("lists", message)
        self.wait_until_exported(client, "lists", 19)
        lists = [json.loads(body) for _, _, body in self.recorder.requests]
        self.assertTrue(all(len(each) <= 8 for each in lists))
        self.assertEqual([base64.b64decode(message["payload"]) for each in lists for message in each], sent)

    def test_a_definition_comes_back_as_it_was_and_a_wrong_one_is_refused(self):
        client = self.start()
        exports = {"http": [HTTPConfig(identifier="h", uri=self.recorder.url, priority=3, disabled=True)],
                   "kinesis": [KinesisConfig(identifier="k", kinesis_stream_name="ks", batch_size=5,
                                             batch_interval_millis=60_000, disabled=True)]}
        self.create(client, "s", **exports)
        definition = client.describe_message_stream("s").definition.export_definition
        self.assertEqual((definition.http[0].uri, definition.http[0].priority), (self.recorder.url, 3))
        self.assertEqual((definition.kinesis[0].kinesis_stream_name, definition.kinesis[0].batch_interval_millis),
                         ("ks", 60_000))
        with self.assertRaisesRegex(InvalidRequestException, "uri must begin with"):
            self.create(client, "t", http=[HTTPConfig(identifier="h", uri="ftp://somewhere")])
        with self.assertRaisesRegex(InvalidRequestException, "two exports are called h"):
            self.create(client, "t", http=2 * [HTTPConfig(identifier="h", uri=self.recorder.url)])

    def test_kinesis_gets_what_botocore_would_send(self):
        def answer(request):
            records = json.loads(request[2])["Records"]
            return 200, json.dumps({"FailedRecordCount": 0, "Records": [
                {"SequenceNumber": str(i), "ShardId": "0"} for i in range(len(records))]}).encode()

        client = self.start(answer)
        self.create(client, "s", kinesis=[KinesisConfig(identifier="k", kinesis_stream_name="readings")])
        sent = [b"reading %d" % i for i in range(30)] + [bytes(range(256))]
        for message in sent:
            client.append_message("s", message)
        self.wait_until_exported(client, "s", 30)
        got, keys = [], set()
        for path, headers, body in self.recorder.requests:
            self.assertEqual((path, headers["X-Amz-Target"], headers["Content-Type"]),
                             ("/", "Kinesis_20131202.PutRecords", "application/x-amz-json-1.1"))
            self.assertIn("Credential=AKIATEST/", headers["Authorization"])
            self.assertIn("/eu-north-9/kinesis/aws4_request", headers["Authorization"])
            request = check_against_model("kinesis", "PutRecords", body)
            self.assertEqual(request["StreamName"], "readings")
            got += [record["Data"] for record in request["Records"]]
            keys |= {record["PartitionKey"] for record in request["Records"]}
        self.assertEqual(got, sent)
        self.assertEqual(len(keys), len(sent))

    def test_sitewise_gets_what_botocore_would_send(self):
        client = self.start(lambda request: (200, b'{"errorEntries": []}'))
        self.create(client, "s", iot_sitewise=[IoTSiteWiseConfig(identifier="w")])
        for i in range(25):
            client.append_message("s", Util.validate_and_serialize_to_json_bytes(PutAssetPropertyValueEntry(
                entry_id="same", property_alias="/press-7/temperature", property_values=[AssetPropertyValue(
                    value=Variant(double_value=20.5 + i), quality=Quality.GOOD,
                    timestamp=TimeInNanos(time_in_seconds=1_767_225_600 + i))])))
        client.append_message("s", b"no entry")
        client.append_message("s", b"{}")
        self.wait_until_exported(client, "s", 26)
        values = []
        for path, headers, body in self.recorder.requests:
            self.assertEqual(path, "/properties")
            self.assertIn("/eu-north-9/iotsitewise/aws4_request", headers["Authorization"])
            entries = check_against_model("iotsitewise", "BatchPutAssetPropertyValue", body)["entries"]
            self.assertLessEqual(len(entries), 10)
            self.assertEqual(len({entry["entryId"] for entry in entries}), len(entries))
            values += [entry["propertyValues"][0]["value"]["doubleValue"] for entry in entries]
        self.assertEqual(values, [20.5 + i for i in range(25)])

    def test_kills_on_both_ends_leave_the_receiver_with_exactly_what_was_acknowledged(self):
        chance = random.Random(5)
        client = self.start(lambda request: None if chance.random() < 0.05 else
                            ((503, b"later") if chance.random() < 0.03 else (200, b"")))
        self.create(client, "s", http=[HTTPConfig(identifier="h", uri=self.recorder.url)])
        acknowledged = {}
        for kill in range(6):
            for i in range(40):
                payload = b"%d-%d" % (kill, i)
                acknowledged[client.append_message("s", payload)] = payload
            if kill % 2 == 0:
                self.streams.end(signal.SIGKILL)
                self.streams.start()
                client = self.connect()
            else:
                self.recorder.stop()
                time.sleep(0.1)
                self.recorder.start()
        status = self.wait_until_exported(client, "s", max(acknowledged))
        self.assertEqual(status.last_exported_sequence_number, max(acknowledged))
        got = {}
        for _, headers, body in self.recorder.requests:
            self.assertEqual(got.setdefault(headers["Idempotency-Key"], body), body, "one id for two messages")
        by_number = {int(key.rsplit("-", 1)[1]): body for key, body in got.items()}
        self.assertEqual(len(by_number), len(got))
        self.assertEqual(by_number, acknowledged)

    def test_an_export_that_fails_says_why(self):
        client = self.start(lambda request: (403, b"who are you"))
        self.create(client, "s", http=[HTTPConfig(identifier="h", uri=self.recorder.url)])
        client.append_message("s", b"x")

        def error():
            return client.describe_message_stream("s").export_statuses[0].error_message

        self.assertIn("403 Forbidden: who are you", wait_for("the error is known", error))
        self.assertEqual(client.describe_message_stream("s").export_statuses[0].last_exported_sequence_number, -1)


if __name__ == "__main__":
    unittest.main()
