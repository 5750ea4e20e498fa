"""Hears what a device's applications publish (JSON), as a service of the operator would: the stock AWS IoT
device SDK, with a certificate of its own, on the fleet's broker."""

import json
import threading
import time

from awscrt import mqtt5
from awsiot import mqtt5_client_builder

TIMEOUT_S = 20


class Console:
    """`check` is called now and then while it waits, and may raise."""

    def __init__(self, directory, client_id, host, port, ca_file, check=lambda: None):
        self._check = check
        self._received = []
        self._changed = threading.Condition()
        self._connected = threading.Event()
        self._client = mqtt5_client_builder.mtls_from_path(
            cert_filepath=str(directory / "device.pem"), pri_key_filepath=str(directory / "device.key"),
            ca_filepath=str(ca_file), endpoint=host, port=port, client_id=client_id,
            on_publish_received=self._on_publish, on_lifecycle_connection_success=lambda _: self._connected.set())

    def start(self, topic):
        self._client.start()
        if not self._connected.wait(TIMEOUT_S):
            raise TimeoutError(f"the console did not reach the broker within {TIMEOUT_S} s")
        subscription = mqtt5.Subscription(topic, mqtt5.QoS.AT_LEAST_ONCE)
        deadline = time.monotonic() + TIMEOUT_S
        while True:  # the broker may not have read yet that the topic is open
            answer = self._client.subscribe(mqtt5.SubscribePacket([subscription])).result(TIMEOUT_S)
            if answer.reason_codes[0] <= mqtt5.SubackReasonCode.GRANTED_QOS_2:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the broker refuses the subscription to {topic}: {answer.reason_codes[0]!r}")
            time.sleep(0.1)

    def stop(self):
        self._client.stop()

    def _on_publish(self, event):
        with self._changed:
            self._received.append(json.loads(event.publish_packet.payload))
            self._changed.notify_all()

    def mark(self):
        """A place in the stream of messages, for `after`."""
        return len(self._received)

    def wait_for(self, condition, after=0, timeout_s=60):
        """The first true value of `condition(messages)`, which gets all that came since `after`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with self._changed:
                if self._changed.wait_for(lambda: condition(self._received[after:]), 0.5):
                    return condition(self._received[after:])
            self._check()
        raise TimeoutError(f"the messages that were waited for did not come within {timeout_s} s; the last one was "
                           f"{self._received[-1:]}")

    def wait_for_each(self, recordings, fits, after=0):
        """The first detection that fits of each recording, by recording's name."""
        def complete(detections):
            first = {}
            for detection in filter(fits, detections):
                first.setdefault(detection["recording"], detection)
            return first if recordings <= first.keys() else None

        return self.wait_for(complete, after)
