"""What a component publishes with the stock SDK while the broker is away arrives after a kill, all of it and in order.

    spool_test.py BIN_DIR
"""

import os
import sys
from pathlib import Path

import e2e
from e2e import NAME, THING

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/demo"))

import console

PROGRAM = f"""
import json, os, sys, threading, time
import awsiot.greengrasscoreipc.clientv2 as ipc
client = ipc.GreengrassCoreIPCClientV2()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
for number in range(200):
    client.publish_to_iot_core(topic_name="{THING}/e2e", qos="1", payload=json.dumps({{"number": number}}).encode())
print("all of it is acknowledged", flush=True)
threading.Event().wait()
"""


class Spool(e2e.EndToEnd):
    provision_options = ("--user", "root") if os.geteuid() == 0 else ()

    def test_acknowledged_messages_survive_a_kill_without_a_broker(self):
        go = self.bed.directory / "go"
        operator = self.bed.directory / "operator"
        self.fleet.cli("device", "provision", "operator", "--out", operator)
        self.fleet.open_to_subscribers(f"{THING}/e2e")
        access = {"aws.greengrass.ipc.mqttproxy": {"p": {"operations": ["aws.greengrass#PublishToIoTCore"],
                                                        "resources": [f"{THING}/e2e"]}}}
        self.start_device()
        self.publish(NAME, "1.0.0", f"exec {sys.executable} {{artifacts:path}}/program.py {go}",
                     {"program.py": PROGRAM.encode()},
                     ComponentConfiguration={"DefaultConfiguration": {"accessControl": access}})
        self.must_deploy({NAME: "1.0.0"})
        start = self.device.log_size()
        self.fleet.kill()
        self.device.wait_for_log("mqtt", "disconnected", start)
        go.touch()
        self.wait_for_output(NAME, "all of it is acknowledged")
        self.device.kill()
        go.unlink()
        self.fleet.start()
        info = self.fleet.info
        ears = console.Console(operator, "operator", info["broker_host"], info["broker_port"], info["ca_file"])
        self.addCleanup(ears.stop)
        ears.start(f"{THING}/e2e")
        self.start_device()
        heard = ears.wait_for(
            lambda messages: messages if any(each["number"] == 199 for each in messages) else None)
        self.assertEqual(list(dict.fromkeys(each["number"] for each in heard)), list(range(200)))
        self.assertLessEqual(len(heard), 264)


if __name__ == "__main__":
    e2e.main()
