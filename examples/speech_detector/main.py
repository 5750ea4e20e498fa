"""Finds speech in recordings, window by window through the inference service, and publishes what it finds.

A Greengrass component like any other: it uses the stock awsiotsdk and tritonclient, unmodified, and
gets its settings from its recipe and the deployment. Detections go to the local topic
`speech/detections` for other components and by MQTT to `THING/speech/detections`.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import awsiot.greengrasscoreipc.clientv2 as greengrass
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

import speech

LOCAL_TOPIC = "speech/detections"


class Inference:
    """One model of the inference service. Counts requests, and tries again what could not be sent."""

    def __init__(self, url, model):
        self._client = triton.InferenceServerClient(url)
        self._model = model
        self.requests = 0
        self.failed = 0
        self.latencies_us = []

    def wait_until_ready(self, timeout_s=60.0):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if self._client.is_model_ready(self._model):
                    return
            except OSError:
                pass  # the service is still starting
            time.sleep(0.05)
        raise SystemExit(f"the model {self._model} was not ready within {timeout_s:.0f} s")

    def __call__(self, arrays):
        inputs = []
        for name, array in arrays.items():
            tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array, binary_data=array.ndim > 0)
            inputs.append(tensor)
        outputs = [triton.InferRequestedOutput(name, binary_data=True) for name in ("output", "stateN")]
        started = time.perf_counter_ns()
        self.requests += 1
        try:
            result = self._client.infer(self._model, inputs, outputs=outputs)
        except (InferenceServerException, OSError):
            self.failed += 1
            raise
        self.latencies_us.append((time.perf_counter_ns() - started) // 1000)
        return {name: result.as_numpy(name) for name in ("output", "stateN")}

    def take_latencies(self):
        taken, self.latencies_us = sorted(self.latencies_us), []
        return {
            "p50_us": taken[len(taken) // 2] if taken else 0,
            "p99_us": taken[min(len(taken) - 1, len(taken) * 99 // 100)] if taken else 0,
        }


def detect(path, inference, settings):
    samples, rate = speech.read_wav(path)
    stream = speech.VadStream(inference)
    probabilities = [stream.probability(window) for window in speech.windows(speech.resample(samples, rate))]
    found = speech.segments(probabilities, settings["threshold"], settings["joinGapMs"] / 1000)
    return {
        "recording": path.name,
        "version": settings["version"],
        "model": settings["model"],
        "model_requests": inference.requests,
        "model_failed": inference.failed,
        "seconds": round(len(samples) / rate, 3),
        "speech": [{"start_s": round(s.start_s, 3), "end_s": round(s.end_s, 3)} for s in found],
        "max_probability": round(max(probabilities, default=0.0), 4),
        "timeline": speech.timeline(probabilities, settings["threshold"]),
        **inference.take_latencies(),
    }


def publish(ipc, detection):
    payload = json.dumps(detection).encode()
    message = greengrass.model.PublishMessage(binary_message=greengrass.model.BinaryMessage(message=payload))
    ipc.publish_to_topic(topic=LOCAL_TOPIC, publish_message=message)
    cloud_topic = f"{os.environ['AWS_IOT_THING_NAME']}/{LOCAL_TOPIC}"
    ipc.publish_to_iot_core(topic_name=cloud_topic, qos="1", payload=payload)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ipc = greengrass.GreengrassCoreIPCClientV2()
    settings = ipc.get_configuration(key_path=[]).value
    recordings = sorted(Path(settings["recordings"]).glob("*.wav"))
    if not recordings:
        raise SystemExit(f"no .wav files in {settings['recordings']}: set the configuration key 'recordings'")
    inference = Inference(settings["inferenceUrl"], settings["model"])
    inference.wait_until_ready()
    while True:
        for path in recordings:
            detection = detect(path, inference, settings)
            print(json.dumps(detection), flush=True)
            publish(ipc, detection)
        time.sleep(settings["pauseS"])


if __name__ == "__main__":
    main()
