"""A component in Python: says words on a local topic until it hears an answer, and takes the answer to the server."""

import json
import os
import threading

import awsiot.greengrasscoreipc.clientv2 as greengrass

answered = threading.Event()
answer = []


def on_answer(event):
    answer.append(event.json_message.message["answer"])
    answered.set()


ipc = greengrass.GreengrassCoreIPCClientV2()
ipc.subscribe_to_topic(topic="e2e/answers", on_stream_event=on_answer)
greeting = ipc.get_configuration(key_path=["greeting"]).value["greeting"]
words = greengrass.model.JsonMessage(message={"word": greeting})
while not answered.wait(0.1):
    ipc.publish_to_topic(topic="e2e/words", publish_message=greengrass.model.PublishMessage(json_message=words))
ipc.publish_to_iot_core(topic_name=f"{os.environ['AWS_IOT_THING_NAME']}/e2e", qos="1",
                        payload=json.dumps({"answer": answer[0]}))
print("heard", answer[0], flush=True)
threading.Event().wait()
