"""A component with the stock SDK that asks a model over topics: of this device, and of the broker with MQTT 5's properties."""

import json
import os
import threading

import awsiot.greengrasscoreipc.clientv2 as greengrass

THING = os.environ["AWS_IOT_THING_NAME"]
INPUTS = [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -2]}]
answers = {"local": threading.Event(), "refused": threading.Event(), "afar": threading.Event()}


def hear(kind, text):
    if not answers[kind].is_set():
        print(kind, text, flush=True)
        answers[kind].set()


def on_local(event):
    answer = json.loads(event.binary_message.message)
    if answer.get("code") != "not_found":  # the model is there later than who asks
        hear("refused" if "error" in answer else "local", json.dumps(answer))


def on_message(event):
    if "error" not in json.loads(event.message.payload):
        hear("afar", event.message.correlation_data.hex() + " " + event.message.payload.decode())


ipc = greengrass.GreengrassCoreIPCClientV2()
ipc.subscribe_to_topic(topic="asker/answers", on_stream_event=on_local)
ipc.subscribe_to_iot_core(topic_name=f"{THING}/asker/answers", qos="1", on_stream_event=on_message)
while not all(event.wait(0.2) for event in answers.values()):
    for request in ({"inputs": INPUTS, "correlationData": {"call": 1}}, {"inputs": []}):
        message = greengrass.model.JsonMessage(message={"responseTopic": "asker/answers", **request})
        ipc.publish_to_topic(topic="infer/double", publish_message=greengrass.model.PublishMessage(json_message=message))
    ipc.publish_to_iot_core(topic_name=f"{THING}/infer", qos="1", payload=json.dumps({"model": "double", "inputs": INPUTS}),
                            response_topic=f"{THING}/asker/answers", correlation_data=b"\x00\xff")
print("asked", flush=True)
threading.Event().wait()
