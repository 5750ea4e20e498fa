"""Asks an update to wait until a file says otherwise, and refuses a negative rate."""

import os
import sys
import threading

from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

MAY_UPDATE = sys.argv[1]
client = GreengrassCoreIPCClientV2()


def on_update(events):
    if events.pre_update_event:
        free = os.path.exists(MAY_UPDATE)
        print("asked about an update,", "go on" if free else "wait", flush=True)
        client.defer_component_update(deployment_id=events.pre_update_event.deployment_id, message="busy",
                                      recheck_after_ms=0 if free else 500)


def on_validate(events):
    asked = events.validate_configuration_update_event
    good = asked.configuration["rate"] >= 0
    client.send_configuration_validity_report(configuration_validity_report=model.ConfigurationValidityReport(
        status="ACCEPTED" if good else "REJECTED", deployment_id=asked.deployment_id,
        message=None if good else "rate must not be negative"))


client.subscribe_to_component_updates(on_stream_event=on_update)
client.subscribe_to_validate_configuration_updates(on_stream_event=on_validate)
print("ready", flush=True)
threading.Event().wait()
