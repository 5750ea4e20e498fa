"""The unmodified Python Stream Manager SDK against skerry-streams: every operation, errors, kills.

    python_sdk_test.py SKERRY_STREAMS IPC_TEST_SERVER
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock

from stream_manager import (ExportDefinition, HTTPConfig, MessageStreamDefinition, Persistence, ReadMessagesOptions,
                            StrategyOnFull, StreamManagerClient)
from stream_manager.exceptions import (ConnectFailedException, InvalidRequestException, NotEnoughMessagesException,
                                       RequestPayloadTooLargeException, ResourceNotFoundException,
                                       ServerOutOfMemoryException, UpdateNotAllowedException)

from streams_program import Streams

NUCLEUS = sys.argv.pop(2)
PROGRAM = sys.argv.pop(1)
QUIET = logging.getLogger("client")  # it says much about servers that are killed
QUIET.setLevel(logging.CRITICAL)


def stream(name, strategy_on_full=StrategyOnFull.RejectNewData, **more):
    return MessageStreamDefinition(name=name, strategy_on_full=strategy_on_full, **more)


def close(client):
    with contextlib.suppress(ConnectionError):  # of a server that was killed
        client.close()


class PythonSdk(unittest.TestCase):
    def setUp(self):
        self.streams = Streams(PROGRAM, "--max-request-mb", "1")
        self.addCleanup(self.streams.close)
        self.streams.start()
        self.client = self.connect()

    def connect(self, request_timeout=60):
        client = StreamManagerClient(port=self.streams.port, request_timeout=request_timeout, logger=QUIET)
        self.addCleanup(close, client)
        return client

    def test_a_stream_is_made_described_updated_and_removed(self):
        self.client.create_message_stream(stream(
            "Sensor data, no. 1", max_size=10_000, stream_segment_size=1024, time_to_live_millis=60_000,
            strategy_on_full=StrategyOnFull.OverwriteOldestData, flush_on_write=True))
        info = self.client.describe_message_stream("Sensor data, no. 1")
        self.assertEqual(info.definition.max_size, 10_000)
        self.assertTrue(info.definition.flush_on_write)
        self.assertEqual(info.definition.strategy_on_full, StrategyOnFull.OverwriteOldestData)
        self.assertEqual((info.storage_status.newest_sequence_number, info.storage_status.total_bytes), (-1, 0))
        self.client.update_message_stream(stream(
            "Sensor data, no. 1", max_size=20_000))
        self.assertEqual(self.client.describe_message_stream("Sensor data, no. 1").definition.max_size, 20_000)
        self.assertEqual(self.client.list_streams(), ["Sensor data, no. 1"])
        self.client.delete_message_stream("Sensor data, no. 1")
        self.assertEqual(self.client.list_streams(), [])

    def test_messages_come_back_as_they_went_in(self):
        self.client.create_message_stream(stream("s"))
        sent = [bytes([i % 256]) * (i * 37 % 5000 + 1) for i in range(200)]
        self.assertEqual([self.client.append_message("s", each) for each in sent], list(range(200)))
        read = []
        while len(read) < 200:
            read += self.client.read_messages("s", ReadMessagesOptions(
                desired_start_sequence_number=len(read), min_message_count=1, max_message_count=50))
        self.assertEqual([message.payload for message in read], sent)
        self.assertEqual([message.sequence_number for message in read], list(range(200)))
        self.assertTrue(all(message.stream_name == "s" and message.ingest_time > 1.6e12 for message in read))
        self.assertEqual(len(self.client.read_messages("s")), 1)

    def test_a_reader_waits_for_what_another_client_appends(self):
        self.client.create_message_stream(stream("s", persistence=Persistence.Memory))
        other = self.connect()
        later = threading.Timer(0.2, lambda: [other.append_message("s", b"x") for _ in range(3)])
        later.start()
        read = self.client.read_messages("s", ReadMessagesOptions(min_message_count=3, read_timeout_millis=30_000))
        later.join()
        self.assertEqual(len(read), 3)

    def test_errors_are_the_ones_of_the_sdk(self):
        definition = stream("s", max_size=1024)
        self.client.create_message_stream(definition)
        with self.assertRaises(InvalidRequestException):
            self.client.create_message_stream(definition)
        with self.assertRaises(UpdateNotAllowedException):
            self.client.update_message_stream(stream("s", persistence=Persistence.Memory))
        with self.assertRaisesRegex(InvalidRequestException, "uri must begin with"):
            self.client.create_message_stream(stream("e", export_definition=ExportDefinition(
                http=[HTTPConfig(identifier="h", uri="nowhere")])))
        for call in [lambda: self.client.append_message("none", b"x"), lambda: self.client.read_messages("none"),
                     lambda: self.client.describe_message_stream("none"),
                     lambda: self.client.delete_message_stream("none")]:
            self.assertRaises(ResourceNotFoundException, call)
        with self.assertRaises(NotEnoughMessagesException):
            self.client.read_messages("s")
        self.client.append_message("s", b"x" * 900)
        with self.assertRaisesRegex(ServerOutOfMemoryException, "full"):
            self.client.append_message("s", b"x" * 900)
        with self.assertRaises(RequestPayloadTooLargeException):
            self.client.append_message("s", b"x" * (2 << 20))
        self.assertEqual(self.client.list_streams(), ["s"])

    def test_what_was_acknowledged_is_there_after_a_kill(self):
        for name, flush in [("flushed", True), ("buffered", False)]:
            self.client.create_message_stream(stream(name, flush_on_write=flush,
                                                                      stream_segment_size=1024))
        acknowledged = {"flushed": 0, "buffered": 0}

        def fill(client, name):
            try:
                while True:
                    acknowledged[name] = client.append_message(name, b"%d" % acknowledged[name]) + 1
            except Exception:
                return

        for _ in range(3):
            threads = [threading.Thread(target=fill, args=(self.connect(2), name)) for name in acknowledged]
            before = dict(acknowledged)
            for thread in threads:
                thread.start()
            while any(acknowledged[name] < before[name] + 50 for name in acknowledged):
                threads[0].join(0.01)
            self.streams.end(signal.SIGKILL)
            for thread in threads:
                thread.join()
            self.streams.start()
            client = self.connect()
            for name, count in acknowledged.items():
                newest = client.describe_message_stream(name).storage_status.newest_sequence_number
                self.assertGreaterEqual(newest + 1, count)
                read = client.read_messages(name, ReadMessagesOptions(
                    desired_start_sequence_number=before[name], min_message_count=1, max_message_count=100_000))
                self.assertEqual([m.sequence_number for m in read],
                                 list(range(before[name], before[name] + len(read))))
                acknowledged[name] = newest + 1

    def test_only_components_of_the_nucleus_may_connect(self):
        with tempfile.TemporaryDirectory() as folder:
            socket = f"{folder}/ipc.socket"
            nucleus = subprocess.Popen([NUCLEUS, socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.addCleanup(nucleus.wait, 30)
            self.addCleanup(nucleus.stdout.close)
            self.addCleanup(nucleus.stdin.close)
            self.assertEqual(nucleus.stdout.readline(), "ready\n")
            streams = Streams(PROGRAM, environment={
                "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": socket, "SVCUID": "TOKEN-STREAMS",
                "AWS_IOT_THING_NAME": "press-7"})
            self.addCleanup(streams.close)
            streams.start()
            for token, may in [("TOKEN-APP", True), ("TOKEN-BARE", True), ("WRONG", False), ("", False)]:
                with unittest.mock.patch.dict(os.environ, AWS_CONTAINER_AUTHORIZATION_TOKEN=token):
                    if not may:
                        self.assertRaises(ConnectFailedException, StreamManagerClient, port=streams.port, logger=QUIET)
                        continue
                    with StreamManagerClient(port=streams.port, logger=QUIET) as client:
                        self.assertEqual(client.list_streams(), [])

    def test_without_a_nucleus_it_says_what_to_do(self):
        environment = {key: value for key, value in os.environ.items() if key != "SVCUID"}
        done = subprocess.run([PROGRAM, "--dir", self.streams.directory / "other"], env=environment,
                              capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--authenticate false", done.stderr)

    def test_it_ends_on_sigterm(self):
        self.client.create_message_stream(stream("s"))
        self.client.append_message("s", b"kept")
        self.assertEqual(self.streams.end(), 0)
        self.streams.start()
        self.assertEqual(self.connect().read_messages("s")[0].payload, b"kept")


if __name__ == "__main__":
    unittest.main()
