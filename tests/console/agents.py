"""Devices as the control plane sees them: each takes its jobs over MQTT, tells what it runs and what its model does there.

A version whose number begins with 3 fails to start on them.
"""

import json
import queue
import sys
import pathlib
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fleet"))
from fleet import Device, DeviceMqtt  # noqa: E402

LESS_SURE = {"2.2.0"}  # runs well, and its model knows less
MODEL = "detector"  # as the inference service calls it
FAILURE = {"detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
           "deployment-failure-cause": "com.example.Detector: Startup ended with exit code 1: <b>no such label</b>",
           "deployment-error-stack": json.dumps(["DEPLOYMENT_FAILURE", "COMPONENT_UPDATE_ERROR", "COMPONENT_STARTUP_ERROR"]),
           "deployment-error-types": json.dumps(["COMPONENT_ERROR"])}


class Agent:
    """One device in one thread: it answers each job after `pause_s`."""

    def __init__(self, fleet, name, directory, pause_s):
        self.name, self.pause_s = name, pause_s
        self._components, self._sequence, self._summaries, self._errors = {}, 0, 0, 0
        self._mqtt = DeviceMqtt(Device(fleet, name, directory))
        self._jobs = f"$aws/things/{name}/jobs/"
        self._mqtt.subscribe(self._jobs + "notify-next-namespace-aws-gg-deployment",
                             self._jobs + "$next/namespace-aws-gg-deployment/get/accepted")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._mqtt.stop()

    def _run(self):
        self._tell_status()
        self._mqtt.publish(self._jobs + "$next/namespace-aws-gg-deployment/get", {"jobId": "$next"})
        last = None
        while not self._stop.is_set():
            try:
                _, message = self._mqtt.messages.get(timeout=0.2)
            except queue.Empty:
                continue
            job = message.get("execution")
            if job and job["jobId"] != last:
                last = job["jobId"]
                self._take(job)

    def _take(self, job):
        self._update(job, {"status": "IN_PROGRESS"})
        self._stop.wait(self.pause_s)
        wanted = {name: part["version"] for name, part in job["jobDocument"]["components"].items()}
        if any(version.startswith("3") for version in wanted.values()):
            self._tell_status(failed=True)
            return self._update(job, {"status": "FAILED", "statusDetails": FAILURE})
        self._components = wanted
        self._tell_status()
        self._tell_use()
        self._update(job, {"status": "SUCCEEDED", "statusDetails": {"detailed-deployment-status": "SUCCESSFUL"}})

    def _update(self, job, message):
        self._mqtt.publish(f"{self._jobs}{job['jobId']}/namespace-aws-gg-deployment/update", message)

    def _tell_status(self, failed=False):
        self._sequence += 1
        self._errors += 3 if failed else 0
        history = {"format": 1, "run": "run-of-" + self.name, "components": [
            {"componentName": "com.example.Detector", "errors": self._errors, "restarts": self._errors}]}
        if self._errors:
            history["lastFailure"] = {"componentName": "com.example.Detector", "version": "3.0.0", "code": "STARTUP_ERROR",
                                      "reason": "exit code 1", "timestamp": int(time.time() * 1000),
                                      "log": ["loading labels", "no such file: <b>labels.txt</b>"]}
        self._mqtt.publish(f"$aws/things/{self.name}/greengrassv2/health/json", {
            "ggcVersion": "2.18.0", "platform": "linux", "architecture": "amd64", "runtime": "aws_nucleus_lite",
            "thing": self.name, "sequenceNumber": self._sequence, "timestamp": int(time.time() * 1000),
            "messageType": "COMPLETE", "trigger": "CADENCE", "componentHistory": history, "overallDeviceStatus": "HEALTHY",
            "components": [{"componentName": name, "version": version, "fleetConfigArns": [], "isRoot": True,
                            "status": "RUNNING"} for name, version in self._components.items()]})

    def _tell_use(self):
        """In each of four hours 200 requests of 0.4 to 0.8 ms; 160 predictions of class 0 or 1, ever less sure."""
        for hour in range(4):
            self._summaries += 1
            end = int(time.time() * 1000) - (3 - hour) * 3_600_000
            self._mqtt.publish(f"$aws/things/{self.name}/skerry/inference", {
                "format": 1, "run": "0123456789abcdef", "sequence": self._summaries, "startMs": end - 60000, "endMs": end,
                "models": [{"name": MODEL, "version": version, "requests": 200, "errors": 2, "latencySumUs": 120_000,
                            "latency": [139, 150 - hour, 144, 50 + hour], "predictions": 160,
                            "confidenceSum": (96_000_000 if version in LESS_SURE else 144_000_000) - 1_000_000 * hour,
                            "confidenceSquares": 60_000_000 if version in LESS_SURE else 130_000_000,
                            "classes": [0, 100, 1, 60]} for version in self._components.values()]})
