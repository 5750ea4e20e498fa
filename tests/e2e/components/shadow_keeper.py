"""A component in Python: does what its shadow `config` is wished to be, and says so."""

import json
import os
import threading

import awsiot.greengrasscoreipc.clientv2 as greengrass

THING, SHADOW = os.environ["AWS_IOT_THING_NAME"], "config"
changed = threading.Event()
ipc = greengrass.GreengrassCoreIPCClientV2()
ipc.subscribe_to_topic(topic=f"$aws/things/{THING}/shadow/name/{SHADOW}/update/delta",
                       on_stream_event=lambda event: changed.set())
changed.set()
while changed.wait():
    changed.clear()
    try:
        state = json.loads(ipc.get_thing_shadow(thing_name=THING, shadow_name=SHADOW).payload)["state"]
    except greengrass.model.ResourceNotFoundError:
        continue
    if "delta" in state:
        ipc.update_thing_shadow(thing_name=THING, shadow_name=SHADOW,
                                payload=json.dumps({"state": {"reported": state["delta"]}}))
        print("now", json.dumps(state["delta"]), flush=True)
