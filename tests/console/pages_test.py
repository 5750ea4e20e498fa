"""The console in headless Chromium: a person logs in, searches, deploys and cancels, in a fleet of 10,000 devices, one of
which lies in every field that it may fill.

    pages_test.py SKERRY_FLEET [FOLDER FOR SCREENSHOTS]
"""

import hashlib
import json
import pathlib
import sqlite3
import sys
import tempfile
import time

from browser import add_operator, run_in_browser

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fleet"))
from fleet import Device, DeviceMqtt, Fleet, recipe  # noqa: E402

XSS = '<img src=x onerror="document.title=\'owned\'">'
DEVICES = 10_000
DETECTOR = "com.example.Detector"


def cohort_of(thing):
    """As docs/data/rollout.md has it."""
    return int.from_bytes(hashlib.sha256(thing.encode()).digest()[:8], "big") >> 1


def seed_rows(directory):
    """10,000 devices of one group with a deployment under way, as rows: their messages are not what is tested here."""
    names = [f"press-{number:05}" for number in range(DEVICES)]
    with sqlite3.connect(directory / "fleet.db") as database:
        def insert(table, rows):
            rows = list(rows)
            columns = ", ".join(rows[0])
            marks = ", ".join("?" * len(rows[0]))
            database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [tuple(row.values()) for row in rows])
        insert("things", ({"name": name, "id": name, "attributes": json.dumps({"site": f"hall-{number % 4}"}),
                           "created_ms": 1} for number, name in enumerate(names)))
        insert("memberships", ({"group_name": "plant", "thing": name, "cohort": cohort_of(name)}
                               for name in names))
        insert("core_devices", ({"thing": name, "healthy": number % 100 != 0, "last_status_ms": 1_790_000_000_000,
                                 "nucleus_version": "2.18.0", "platform": "linux", "architecture": "amd64",
                                 "runtime": "", "sequence_number": 1} for number, name in enumerate(names)))
        insert("installed_components", ({
            "thing": name, "name": DETECTOR, "version": "1.1.0" if number % 3 else "1.0.0", "state": "RUNNING",
            "status_codes": "[]", "status_reason": "", "configuration_arns": "[]", "is_root": 1, "changed_ms": 1,
            "reported_ms": 1, "installed_ms": 1} for number, name in enumerate(names)))
        [job] = database.execute("SELECT job_id FROM deployments WHERE name = 'big'").fetchone()
        insert("job_executions", ({
            "job_id": job, "thing": name, "cohort": cohort_of(name), "status": "FAILED" if number % 500 == 0 else "QUEUED", "status_details": "{}",
            "queued_ms": 1, "started_ms": 0, "updated_ms": 1_790_000_000_000, "version_number": 1, "execution_number": 1}
            for number, name in enumerate(names)))
    database.close()


def seed(fleet):
    """Groups, components and a deployment whose texts are markup."""
    iot, greengrass = fleet.client("iot"), fleet.client("greengrassv2")
    for group in ("plant", "yard"):
        iot.create_thing_group(thingGroupName=group, thingGroupProperties={"thingGroupDescription": XSS})
    for version in ("1.0.0", "1.1.0"):
        status, _, answer = fleet.send("skerry", "PUT", f"/skerry/v1/models/{DETECTOR}/versions/{version}", {"provenance": {
            "model": "detector", "trainingRun": "javascript:document.title='owned'", "licence": XSS,
            "sourceSha256": "a" * 64, "optimiser": {XSS: XSS}}})
        assert status == 200, answer
        document = json.loads(recipe(DETECTOR, version))
        document.update(ComponentDescription=XSS, ComponentPublisher=XSS)
        greengrass.create_component_version(inlineRecipe=json.dumps(document).encode())
    greengrass.create_deployment(targetArn=fleet.arn("iot", "thinggroup/yard"), deploymentName=XSS,
                                 components={DETECTOR: {"componentVersion": "1.0.0"}}, tags={"name": XSS})
    greengrass.create_deployment(targetArn=fleet.arn("iot", "thinggroup/plant"), deploymentName="big",
                                 components={DETECTOR: {"componentVersion": "1.1.0"}})


def lie(fleet, scratch):
    """A device that writes markup wherever a device may write."""
    name = "liar"
    device = Device(fleet, name, scratch)
    fleet.client("iot").add_thing_to_thing_group(thingName=name, thingGroupName="yard")
    mqtt = DeviceMqtt(device)
    mqtt.publish(f"$aws/things/{name}/skerry/metrics", {
        "format": 1, "run": "k3v9xq21mmz04abc", "sequence": 1, "startMs": 60_000 * (time.time_ns() // 60_000_000_000),
        "endMs": 60_000 * (time.time_ns() // 60_000_000_000 + 1), "series": [
            {"component": XSS, "name": XSS[:32], "unit": "COUNT", "count": 2, "sum": "5000000", "min": 2000000, "max": 3000000,
             "last": 3000000, "lastMs": 1, "bins": [151, 1, 155, 1]},
            {"component": "SystemMetrics", "name": "CpuUsage", "unit": "PERCENT", "count": 1, "sum": "12000000",
             "min": 12000000, "max": 12000000, "last": 12000000, "lastMs": 1, "bins": [171, 1]}]})
    jobs = f"$aws/things/{name}/jobs/"
    mqtt.subscribe(jobs + "+/namespace-aws-gg-deployment/#")
    mqtt.publish(f"$aws/things/{name}/greengrassv2/health/json", {
        "ggcVersion": XSS, "platform": XSS, "architecture": XSS, "runtime": XSS, "thing": name, "sequenceNumber": 1,
        "timestamp": 1, "messageType": "COMPLETE", "trigger": XSS, "overallDeviceStatus": "UNHEALTHY",
        "componentHistory": {"format": 1, "run": XSS[:64], "lastFailure": {
            "componentName": DETECTOR, "version": XSS, "code": XSS, "reason": XSS, "timestamp": 1, "log": [XSS, "\u001b[31m"]}},
        "components": [
            {"componentName": DETECTOR, "version": "1.0.0", "fleetConfigArns": [XSS], "isRoot": True, "status": "BROKEN",
             "componentStatusDetails": {"statusCodes": [XSS], "statusReason": XSS}}]})
    mqtt.publish(jobs + "$next/namespace-aws-gg-deployment/get", {"jobId": "$next"})
    job = mqtt.wait_for("/get/accepted")["execution"]["jobId"]
    mqtt.publish(f"{jobs}{job}/namespace-aws-gg-deployment/update", {"status": "FAILED", "statusDetails": {
        "detailed-deployment-status": XSS, "deployment-failure-cause": XSS,
        "deployment-error-stack": json.dumps([XSS]), "deployment-error-types": json.dumps([XSS])}})
    mqtt.wait_for("/update/accepted")
    mqtt.stop()


def main():
    program = sys.argv[1]
    screenshots = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory(prefix="skerry-pages-") as scratch:
        directory = pathlib.Path(scratch) / "fleet"
        fleet = Fleet(program, directory)
        try:
            seed(fleet)
            fleet.stop()
            seed_rows(directory)
            fleet = Fleet(program, directory)
            lie(fleet, scratch)
            add_operator(program, fleet, "ada", "admin")
            add_operator(program, fleet, "vic", "viewer")
            code = run_in_browser("pages_test.mjs", fleet, scratch, screenshots)
        finally:
            fleet.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
