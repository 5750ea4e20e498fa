"""skerry stream against a real stream manager that wants tokens, filled through its socket by the stock SDK's rules.

    stream_commands_test.py SKERRY SKERRY_STREAMS
"""

import json
import logging
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "streams"))

from stream_manager import (ExportDefinition, HTTPConfig, MessageStreamDefinition, StrategyOnFull, StreamManagerClient)

from recorder import Recorder
from streams_program import Streams

SKERRY, PROGRAM = sys.argv.pop(1), sys.argv.pop(1)


class StreamCommands(unittest.TestCase):
    def setUp(self):
        self.recorder = Recorder()
        self.recorder.start()
        self.addCleanup(self.recorder.stop)
        self.streams = Streams(PROGRAM)
        self.addCleanup(self.streams.close)
        self.streams.start()
        with StreamManagerClient(port=self.streams.port, logger=logging.getLogger("quiet")) as client:
            client.create_message_stream(MessageStreamDefinition(
                name="readings", strategy_on_full=StrategyOnFull.RejectNewData, flush_on_write=True,
                export_definition=ExportDefinition(http=[HTTPConfig(identifier="h", uri=self.recorder.url)])))
            client.create_message_stream(MessageStreamDefinition(
                name="empty", strategy_on_full=StrategyOnFull.RejectNewData))
            for i in range(25):
                client.append_message("readings", b"reading %d" % i if i != 7 else bytes([0, 255]))

    def skerry(self, *arguments, code=0):
        done = subprocess.run([SKERRY, "stream", *arguments, "--streams", self.streams.directory],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_lists_and_shows(self):
        [empty, readings] = json.loads(self.skerry("list", "--json"))["streams"]
        self.assertEqual((empty["name"], empty["newest"]), ("empty", -1))
        self.assertEqual((readings["name"], readings["newest"], readings["exports"]), ("readings", 24, 1))
        self.assertRegex(self.skerry("list"), r"(?m)^readings\t0\t24\t")
        shown = json.loads(self.skerry("show", "readings", "--json"))
        self.assertEqual(shown["definition"]["flushOnWrite"], True)
        self.assertEqual(shown["exportStatuses"][0]["exportConfigIdentifier"], "h")
        self.assertIn("flushOnWrite\ttrue", self.skerry("show", "readings"))
        self.assertIn("does not exist", self.skerry("show", "none", code=1))

    def test_prints_the_last_messages_and_exports_all(self):
        lines = self.skerry("tail", "readings", "-n", "3").splitlines()
        self.assertEqual([line.split("\t")[0::2] for line in lines],
                         [["22", "reading 22"], ["23", "reading 23"], ["24", "reading 24"]])
        self.assertEqual(self.skerry("tail", "empty"), "")
        out = self.streams.directory / "out.jsonl"
        self.assertIn("25 messages", self.skerry("export", "readings", "--out", out))
        exported = [json.loads(line) for line in out.read_text().splitlines()]
        self.assertEqual([each["sequence"] for each in exported], list(range(25)))
        self.assertEqual((exported[7]["base64"], exported[8]["text"]), ("AP8=", "reading 8"))
        part = self.skerry("export", "readings", "--from", "5", "--to", "6").splitlines()
        self.assertEqual([json.loads(line)["sequence"] for line in part], [5, 6])

    def test_follows(self):
        command = [SKERRY, "stream", "tail", "empty", "-f", "--json", "--streams", self.streams.directory]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
            with StreamManagerClient(port=self.streams.port, logger=logging.getLogger("quiet")) as client:
                client.append_message("empty", b"news")
            self.assertEqual(json.loads(follower.stdout.readline())["text"], "news")
            follower.kill()

    def test_repairs_what_is_damaged_once_the_manager_is_stopped(self):
        self.assertIn("stop it first", self.skerry("repair", code=1))
        self.streams.end()
        self.assertIn("no stream manager answers", self.skerry("list", code=3))
        [definition] = [path for path in self.streams.directory.glob("*/definition.json") if "readings" in path.read_text()]
        definition.write_text("{")
        segment = definition.parent / "0000000000000000000.segment"
        segment.write_bytes(segment.read_bytes().replace(b"reading 9", b"reading X"))
        report = json.loads(self.skerry("repair", "--json"))
        self.assertEqual(len(report["found"]), 1)
        self.assertIn({"name": "readings", "messages": 24, "missing": 1},
                      json.loads(self.skerry("repair", "readings", "--json"))["streams"])
        self.assertIn("readings: 24 messages are whole, 1 are lost", self.skerry("repair"))
        self.streams.start()
        self.assertIn("readings\t0\t24", self.skerry("list"))


if __name__ == "__main__":
    unittest.main()
