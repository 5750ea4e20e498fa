"""Keeps ten messages in a stream with the stock SDK, says what is in it, then tries it with a wrong token."""

import os
import threading
import time

from stream_manager import ExportDefinition, HTTPConfig, MessageStreamDefinition, ReadMessagesOptions, StrategyOnFull, StreamManagerClient
from stream_manager.exceptions import ConnectFailedException, InvalidRequestException

PORT = int(os.environ["STREAM_PORT"])


def connect():
    while True:
        try:
            return StreamManagerClient(port=PORT)
        except (ConnectionError, ConnectFailedException):
            time.sleep(0.2)


client = connect()
try:
    client.create_message_stream(MessageStreamDefinition(
        name="readings", strategy_on_full=StrategyOnFull.OverwriteOldestData, flush_on_write=True,
        export_definition=ExportDefinition(http=[HTTPConfig(identifier="fleet", uri="fleet:")])))
except InvalidRequestException:
    print("the stream was there", flush=True)
for i in range(10):
    client.append_message("readings", b"reading %d" % i)
read = client.read_messages("readings", ReadMessagesOptions(min_message_count=10, max_message_count=1000))
print(f"messages from {read[0].sequence_number} to {read[-1].sequence_number}", flush=True)
os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "WRONGWRONGWRONG0"
try:
    StreamManagerClient(port=PORT)
    print("a wrong token was accepted", flush=True)
except ConnectFailedException:
    print("a wrong token was refused", flush=True)
threading.Event().wait()
