"""A rollout clicked through in headless Chromium, on a fleet of 24 devices that answer over MQTT.

    rollout_test.py SKERRY_FLEET [FOLDER FOR SCREENSHOTS]
"""

import concurrent.futures
import sys
import tempfile

from agents import MODEL, Agent
from browser import add_operator, run_in_browser
from fleet import Fleet

DEVICES = 24
CANARIES = 4
COMPONENT = "com.example.Detector"


def seed(fleet, agents):
    """Five versions of a model, the first of them on every device."""
    iot, greengrass = fleet.client("iot"), fleet.client("greengrassv2")
    for group, members in (("plant", agents), ("canaries", agents[:CANARIES])):
        iot.create_thing_group(thingGroupName=group)
        for agent in members:
            iot.add_thing_to_thing_group(thingGroupName=group, thingName=agent.name)
    for version, data, day in (("1.0.0", "1", "20"), ("2.0.0", "2", "24"), ("2.1.0", "2", "26"), ("2.2.0", "2", "27"), ("3.0.0", "3", "27")):
        provenance = {"model": MODEL, "trainedOn": f"2026-11-{day}", "dataset": "street", "datasetVersion": data,
                      "trainingRun": f"run-{day}", "sourceSha256": data * 64, "licence": "MIT", "metric": "map",
                      "metrics": {"map": 0.9}, "optimiser": {"quantise": "int8"},
                      "artifact": f"{MODEL}-202611{day}-street-map_0.9.onnx"}
        status, _, answer = fleet.send("skerry", "PUT", f"/skerry/v1/models/{COMPONENT}/versions/{version}",
                                       {"provenance": provenance})
        assert status == 200, answer
        fleet.publish(COMPONENT, version)
    greengrass.create_deployment(targetArn=fleet.arn("iot", "thinggroup/plant"), deploymentName="first",
                                 components={COMPONENT: {"componentVersion": "1.0.0"}})


def main():
    program = sys.argv[1]
    screenshots = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory(prefix="skerry-rollout-pages-") as scratch:
        fleet = Fleet(program, scratch + "/fleet")
        agents = []
        try:
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                agents = list(pool.map(lambda i: Agent(fleet, f"cam-{i:02}", scratch, 0.05 + 0.2 * (i % CANARIES)),
                                       range(DEVICES)))
            seed(fleet, agents)
            add_operator(program, fleet, "ada", "admin")
            code = run_in_browser("rollout_test.mjs", fleet, scratch, screenshots)
        finally:
            for agent in agents:
                agent.stop()
            fleet.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
