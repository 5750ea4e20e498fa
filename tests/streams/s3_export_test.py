"""S3ExportTaskExecutor of the stock Python SDK against real S3: the fleet's, or versitygw's, which is not ours.

    s3_export_test.py SKERRY_STREAMS SKERRY_FLEET [VERSITYGW]
"""

import logging
import os
import pathlib
import signal
import sys
import tempfile
import time
import unittest

import boto3
import botocore.config
from stream_manager import (ExportDefinition, MessageStreamDefinition, ReadMessagesOptions, S3ExportTaskDefinition,
                            S3ExportTaskExecutorConfig, Status, StatusConfig, StatusLevel, StatusMessage,
                            StrategyOnFull, StreamManagerClient, Util)
from stream_manager.exceptions import NotEnoughMessagesException

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "fleet"))

from s3_services import NOT_BUILT, OurService, Versitygw
from streams_program import DEADLINE_S, Streams

PROGRAM, FLEET = sys.argv.pop(1), sys.argv.pop(1)
VERSITYGW = sys.argv.pop(1) if len(sys.argv) > 1 and os.sep in sys.argv[1] else None
QUIET = logging.getLogger("client")
QUIET.setLevel(logging.CRITICAL)
BUCKET = "clips"


class S3Export(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-s3-export-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.service = Versitygw(self.scratch, VERSITYGW) if VERSITYGW else OurService(self.scratch, FLEET)
        self.addCleanup(self.service.stop)
        self.s3 = boto3.client("s3", endpoint_url=self.service.endpoint, region_name=self.service.region,
                               config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}),
                               **self.service.access_key)
        key = self.service.access_key
        self.streams = Streams(PROGRAM, environment={
            "STREAM_MANAGER_AUTHENTICATE_CLIENT": "false", "AWS_REGION": self.service.region,
            "AWS_ENDPOINT_URL_S3": self.service.endpoint, "AWS_ACCESS_KEY_ID": key["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["aws_secret_access_key"]})
        self.addCleanup(self.streams.close)

    def start(self, *options):
        self.streams.start(*options)
        client = StreamManagerClient(port=self.streams.port, logger=QUIET)
        self.addCleanup(client.close)
        return client

    def create_streams(self, client):
        for name, export in [("status", None), ("clips", ExportDefinition(s3_task_executor=[S3ExportTaskExecutorConfig(
                identifier="s3", size_threshold_for_multipart_upload_bytes=5 << 20,
                status_config=StatusConfig(status_level=StatusLevel.INFO, status_stream_name="status"))]))]:
            client.create_message_stream(MessageStreamDefinition(
                name=name, strategy_on_full=StrategyOnFull.OverwriteOldestData, export_definition=export))

    def task(self, client, path, key, metadata=None):
        client.append_message("clips", Util.validate_and_serialize_to_json_bytes(S3ExportTaskDefinition(
            input_url=f"file://{path}", bucket=BUCKET, key=key, user_metadata=metadata)))

    def statuses(self, client, until):
        """All status messages, once `until(them)`."""
        deadline = time.monotonic() + DEADLINE_S
        found = []
        while not until(found):
            self.assertLess(time.monotonic(), deadline, found)
            try:
                found += [Util.deserialize_json_bytes_to_obj(message.payload, StatusMessage)
                          for message in client.read_messages("status", ReadMessagesOptions(
                              desired_start_sequence_number=len(found), min_message_count=1, max_message_count=100,
                              read_timeout_millis=1000))]
            except NotEnoughMessagesException:
                continue
        return found

    @staticmethod
    def ends(status):
        return lambda found: [each for each in found if each.status == status]

    def test_files_small_and_large_are_uploaded_and_their_ends_told(self):
        self.s3.create_bucket(Bucket=BUCKET)
        client = self.start()
        self.create_streams(client)
        small, large, empty = (self.scratch / name for name in ("small file.wav", "large.wav", "empty.wav"))
        small.write_bytes(b"a sound")
        large.write_bytes(os.urandom(12 << 20))
        empty.write_bytes(b"")
        self.task(client, str(small).replace(" ", "%20"), "in/!{timestamp:yyyy}/small.wav", {"Line": "a"})
        self.task(client, self.scratch / "none.wav", "none.wav")
        self.task(client, large, "large.wav", {"line": "b"})
        self.task(client, empty, "empty.wav")
        found = self.statuses(client, lambda all: len(self.ends(Status.Success)(all)) == 3)
        small_key = f"in/{time.gmtime().tm_year}/small.wav"
        self.assertEqual(self.s3.get_object(Bucket=BUCKET, Key=small_key)["Body"].read(), b"a sound")
        self.assertEqual(self.s3.head_object(Bucket=BUCKET, Key=small_key)["Metadata"], {"line": "a"})
        self.assertEqual(self.s3.get_object(Bucket=BUCKET, Key="large.wav")["Body"].read(), large.read_bytes())
        self.assertEqual(self.s3.head_object(Bucket=BUCKET, Key="large.wav")["Metadata"], {"line": "b"})
        if VERSITYGW:  # whose ETags count the parts
            self.assertTrue(self.s3.head_object(Bucket=BUCKET, Key="large.wav")["ETag"].endswith('-3"'))
        self.assertEqual(self.s3.head_object(Bucket=BUCKET, Key="empty.wav")["ContentLength"], 0)
        [failure] = self.ends(Status.Failure)(found)
        self.assertIn("none.wav is no file that can be read", failure.message)
        context = failure.status_context
        self.assertEqual((context.stream_name, context.export_identifier, context.sequence_number,
                          context.s3_export_task_definition.key), ("clips", "s3", 1, "none.wav"))

    def test_what_s3_refuses_waits_and_goes_when_it_may(self):
        self.s3.create_bucket(Bucket=BUCKET)
        secret = self.streams.environment["AWS_SECRET_ACCESS_KEY"]
        self.streams.environment["AWS_SECRET_ACCESS_KEY"] = "another"
        client = self.start()
        self.create_streams(client)
        path = self.scratch / "clip.wav"
        path.write_bytes(b"a sound")
        self.task(client, path, "clip.wav")
        [warning] = self.ends(Status.Warning)(self.statuses(client, self.ends(Status.Warning)))
        self.assertIn("403", warning.message)
        client.close()
        self.streams.end()
        self.streams.environment["AWS_SECRET_ACCESS_KEY"] = secret
        client = self.start()
        self.statuses(client, self.ends(Status.Success))
        self.assertEqual(self.s3.get_object(Bucket=BUCKET, Key="clip.wav")["Body"].read(), b"a sound")

    def test_a_kill_in_the_middle_of_an_upload_costs_nothing(self):
        self.s3.create_bucket(Bucket=BUCKET)
        client = self.start("--export-kbit", "40000")  # two seconds for what follows
        self.create_streams(client)
        path = self.scratch / "large.wav"
        path.write_bytes(os.urandom(10 << 20))
        self.task(client, path, "large.wav")
        self.statuses(client, self.ends(Status.InProgress))
        time.sleep(0.5)
        client.close()
        self.streams.end(signal.SIGKILL)
        client = self.start()
        self.statuses(client, self.ends(Status.Success))
        self.assertEqual(self.s3.get_object(Bucket=BUCKET, Key="large.wav")["Body"].read(), path.read_bytes())


if __name__ == "__main__":
    if VERSITYGW and not pathlib.Path(VERSITYGW).exists():
        print(f"skipped: {VERSITYGW} is not there; ./dev setup s3 builds it")
        sys.exit(NOT_BUILT)
    unittest.main()
