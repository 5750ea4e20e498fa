"""The stock Python device SDK, measured: python_client.py get|publish COUNT prints latencies in
nanoseconds, one a line. The socket's path comes from the environment, as in a component."""

import os
import queue
import sys
import time

from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2


def connect(token):
    os.environ["SVCUID"] = token
    return GreengrassCoreIPCClientV2()


def main():
    what, count = sys.argv[1], int(sys.argv[2])
    client = connect("TOKEN-APP")
    if what == "get":
        def step():
            client.get_configuration(key_path=["mqtt", "port"])
    else:
        events = queue.SimpleQueue()
        connect("TOKEN-OTHER").subscribe_to_topic(topic="bench", on_stream_event=events.put)
        message = model.PublishMessage(json_message=model.JsonMessage(message={"n": 1}))

        def step():
            client.publish_to_topic(topic="bench", publish_message=message)
            events.get(timeout=30)

    for _ in range(count // 10):
        step()
    latencies = []
    for _ in range(count):
        start = time.perf_counter_ns()
        step()
        latencies.append(time.perf_counter_ns() - start)
    print("\n".join(map(str, latencies)))
    sys.stdout.flush()
    os._exit(0)  # the SDK's threads need no orderly end here


if __name__ == "__main__":
    main()
