"""`skerry-infer stream` with a real service: recordings and pipes against the model called directly, files against a pipeline,
HTTP and file sinks, a service that goes away in the middle.

    streams_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

import numpy as np
import onnxruntime

import infer_server
from infer_server import CACHE, Server, tensor, write_package
from media import jpeg, pipeline_package, png, resampled, wav

RECORDING = pathlib.Path("/usr/share/sounds/alsa/Front_Center.wav")
MODEL = CACHE / "silero-vad/silero_vad.onnx"
DEADLINE_S = 60
SPEECH = {"window": {"samples": 576, "stride": 512, "before": 64, "rate": 16000}, "model": "vad", "input": "input",
          "constants": {"sr": 16000}, "state": {"stateN": "state"}}


def probabilities(samples):
    """Of silero called directly, 512 samples at 16 kHz at a time with the 64 before."""
    session = onnxruntime.InferenceSession(MODEL)
    state, padded, found = np.zeros((2, 1, 128), np.float32), np.concatenate([np.zeros(64), samples]).astype(np.float32), []
    for first in range(0, len(padded) - 575, 512):
        output, state = session.run(None, {"input": padded[None, first:first + 576], "state": state,
                                           "sr": np.array(16000, np.int64)})
        found.append(float(output[0, 0]))
    return found


class Streams(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-streams-")
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)
        self.server = Server(self.directory)
        self.addCleanup(lambda: self.server.stop())
        vad = write_package(self.directory / "vad", "vad", "1.0.0", "onnxruntime", MODEL.read_bytes(),
                            [tensor("input", "FP32", [-1, 576]), tensor("state", "FP32", [2, -1, 128]), tensor("sr", "INT64", [])],
                            [tensor("output", "FP32", [-1, 1]), tensor("stateN", "FP32", [2, -1, 128])], warmup={"sr": 16000})
        self.assertEqual(self.server.load("vad", vad).returncode, 0)
        self.out = self.directory / "out.jsonl"

    def start(self, document, **process):
        config = self.directory / "stream.json"
        config.write_text(json.dumps(document))
        stream = subprocess.Popen([infer_server.PROGRAM, "stream", "--socket", self.server.socket, "--config", config,
                                   "--report-interval", "0"], stdout=subprocess.PIPE, text=True, **process)
        self.addCleanup(stream.stdout.close)
        self.addCleanup(stream.wait)
        self.addCleanup(stream.kill)
        return stream

    def run_stream(self, document, **process):
        """What it reports at its end, and the lines of self.out."""
        stream = self.start(document, **process)
        output, _ = stream.communicate(timeout=DEADLINE_S)
        self.assertEqual(stream.returncode, 0, output)
        lines = [json.loads(line) for line in self.out.read_text().splitlines()] if self.out.exists() else []
        return json.loads(output.splitlines()[-1]), lines

    def recordings(self):
        folder = self.directory / "recordings"
        folder.mkdir()
        shutil.copy(RECORDING, folder / "a.wav")
        shutil.copy(RECORDING, folder / "b.wav")
        (folder / "c.wav").write_bytes(b"no recording")
        (folder / "notes.txt").write_text("not one of them")
        return folder

    def test_recordings_as_if_the_model_were_called_directly(self):
        frames = np.frombuffer(RECORDING.read_bytes()[44:], "<i2")[:34000].astype(np.float32) / 32768
        folder = self.directory / "recordings"
        folder.mkdir()
        (folder / "a.wav").write_bytes(wav(np.round(frames[:, None] * 32768).astype("<i2"), 48000))
        (folder / "b.wav").write_bytes((folder / "a.wav").read_bytes())
        (folder / "c.wav").write_bytes(b"no recording")
        (folder / "notes.txt").write_text("not one of them")
        report, lines = self.run_stream(SPEECH | {"source": {"directory": str(folder)}, "sinks": [{"file": str(self.out)}]})
        want = probabilities(resampled(frames, 48000, 16000))
        self.assertEqual([(line["source"], line["window"]) for line in lines],
                         [(name, i) for name in ("a.wav", "b.wav") for i in range(len(want))])
        for name in ("a.wav", "b.wav"):  # the state of the first recording does not reach the second
            found = [line["outputs"]["output"][0] for line in lines if line["source"] == name]
            np.testing.assert_allclose(found, want, atol=2e-3)
        self.assertEqual(lines[1]["start_s"], round((512 - 64) / 16000, 4))
        self.assertEqual(list(lines[0]["outputs"]), ["output"])
        self.assertGreater(report.pop("p50_us"), 0)
        count = 2 * len(want)
        self.assertEqual(report, {"windows": count, "inferred": count, "failed": 0, "dropped": 0, "told": count, "unsent": 0})

    def test_only_what_is_wanted_is_told(self):
        folder = self.recordings()
        report, lines = self.run_stream(SPEECH | {"source": {"directory": str(folder)}, "sinks": [{"file": str(self.out)}],
                                                  "when": {"output": "output", "least": 0.5}})
        self.assertEqual(report["told"], len(lines))
        self.assertGreater(report["inferred"], report["told"])
        self.assertGreater(len(lines), 5)
        self.assertGreaterEqual(min(line["outputs"]["output"][0] for line in lines), 0.5)

    def test_raw_samples_through_a_pipe(self):
        samples = np.random.default_rng(3).standard_normal((9000, 2)) * 3000
        pipe = self.directory / "audio"
        os.mkfifo(pipe)
        document = SPEECH | {"source": {"pipe": str(pipe), "samples": "INT16", "rate": 16000, "channels": 2},
                             "sinks": [{"file": str(self.out)}]}
        stream = self.start(document)
        frames = np.round(samples).astype("<i2")
        with pipe.open("wb", buffering=0) as to:
            for first in range(0, frames.nbytes, 777):  # frames are cut anywhere
                to.write(frames.tobytes()[first:first + 777])
        stream.communicate(timeout=DEADLINE_S)
        found = [json.loads(line)["outputs"]["output"][0] for line in self.out.read_text().splitlines()]
        np.testing.assert_allclose(found, probabilities(frames.mean(axis=1) / 32768), atol=1e-4)

    def test_images_through_a_pipeline(self):
        steps = [{"step": "decode_image", "in": "file", "out": "pixels", "channels": 1},
                 {"step": "reshape", "in": "pixels", "out": "row", "shape": [-1]},
                 {"step": "argmax", "in": "row", "out": "brightest"}]
        sample = png(np.eye(4, dtype=np.uint8)[:, :, None])
        images = pipeline_package(self.directory / "images", "images", [tensor("file", "BYTES", [1])], steps,
                         [tensor("brightest", "INT64", [])], {"sample.png": sample}, warmup={"file": {"file": "sample.png"}})
        self.assertEqual(self.server.load("images", images).returncode, 0)
        folder = self.directory / "pictures"
        folder.mkdir()
        for i in range(8):
            pixels = np.zeros((3, 3, 1), np.uint8)
            pixels.flat[i] = 255
            (folder / f"{i}.png").write_bytes(png(pixels))
        (folder / "8.png").write_bytes(b"broken")
        report, lines = self.run_stream({"source": {"directory": str(folder)}, "model": "images", "input": "file",
                                         "sinks": [{"file": str(self.out)}]})
        self.assertEqual([line["outputs"] for line in lines], [{"brightest": [i]} for i in range(8)])
        self.assertEqual((report["windows"], report["inferred"], report["failed"]), (9, 8, 1))

    def write_frames(self, stream, pipe, frames):
        with pipe.open("wb", buffering=0) as to:
            for first in range(0, len(frames), 7001):  # cut anywhere
                to.write(frames[first:first + 7001])
        output, _ = stream.communicate(timeout=DEADLINE_S)
        self.assertEqual(stream.returncode, 0, output)
        return json.loads(output.splitlines()[-1]), [json.loads(line) for line in self.out.read_text().splitlines()]

    def test_raw_frames_through_a_pipe(self):
        """YUYV, every other frame, as red, green and blue: BT.601 in floats is the oracle."""
        same = infer_server.null_package(self.directory / "same", "same", "UINT8", [1, -1, -1, 3])
        self.assertEqual(self.server.load("same", same).returncode, 0)
        width, height, count = 16, 6, 9
        frames = np.random.default_rng(5).integers(0, 256, (count, height, width // 2, 4), np.uint8)  # Y U Y V
        pipe = self.directory / "camera"
        os.mkfifo(pipe)
        stream = self.start({"source": {"pipe": str(pipe), "pixels": "YUYV", "width": width, "height": height, "rate": 10}, "model": "same",
                             "window": {"stride": 2}, "input": "x", "sinks": [{"file": str(self.out)}]})
        report, lines = self.write_frames(stream, pipe, frames.tobytes())
        luma = 255 / 219 * (frames[:, :, :, [0, 2]].astype(float) - 16)
        u, v = ((frames[:, :, :, [i]].astype(float) - 128) * 255 / 224 for i in (1, 3))
        rgb = np.stack([luma + 1.402 * v, luma - .344136 * u - .714136 * v, luma + 1.772 * u], axis=-1)
        want = np.clip(rgb, 0, 255).reshape(count, -1)[::2]
        self.assertEqual([(line["window"], line["start_s"]) for line in lines], [(i, round(i / 5, 4)) for i in range(5)])
        np.testing.assert_allclose([line["outputs"]["y"] for line in lines], want, atol=2)
        self.assertEqual((report["windows"], report["inferred"]), (5, 5))

    def test_jpegs_of_a_camera_through_a_pipeline(self):
        """Motion JPEG as cameras send it over HTTP, in a FIFO, with text between the frames."""
        steps = [{"step": "decode_image", "in": "file", "out": "pixels", "channels": 1}, {"step": "reshape", "in": "pixels", "out": "row", "shape": [-1]},
                 {"step": "argmax", "in": "row", "out": "brightest"}]
        pictures = []
        for i in range(6):
            blocks = np.full((2, 3), 100)
            blocks.flat[i] = 200
            pictures.append(jpeg(blocks))
        images = pipeline_package(self.directory / "images", "images", [tensor("file", "BYTES", [1])], steps,
                                  [tensor("brightest", "INT64", [])], {"sample.jpg": pictures[0]}, warmup={"file": {"file": "sample.jpg"}})
        self.assertEqual(self.server.load("images", images).returncode, 0)
        pipe = self.directory / "camera"
        os.mkfifo(pipe)
        stream = self.start({"source": {"pipe": str(pipe), "pixels": "MJPEG"}, "model": "images", "input": "file",
                             "sinks": [{"file": str(self.out)}]})
        parts = [b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n" for picture in pictures]
        report, lines = self.write_frames(stream, pipe, b"".join([*parts[:5], parts[5][:60], parts[5]]))  # one is cut
        first_pixels = [[8 * (i // 3) * 24 + 8 * (i % 3)] for i in range(6)]
        self.assertEqual([line["outputs"]["brightest"] for line in lines], first_pixels)
        self.assertEqual(report["inferred"], 6)

    def test_nothing_is_lost_while_service_and_sink_are_away(self):
        """The service is restarted in the middle, and the sink answers with errors now and then."""
        got = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                refuse = len(got) % 20 == 7 and got[-1] is not None
                got.append(None if refuse else (body["source"], body["window"]))
                self.send_response(503 if refuse else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        self.addCleanup(sink.server_close)
        self.addCleanup(sink.shutdown)
        folder = self.recordings()
        url = f"http://127.0.0.1:{sink.server_address[1]}/answers"
        stream = self.start(SPEECH | {"source": {"directory": str(folder)}, "sinks": [{"http": url}], "queue": 4})
        while len(got) < 10:
            self.assertIsNone(stream.poll())
        self.server.stop()
        self.server = Server(self.directory)
        self.assertEqual(self.server.load("vad", self.directory / "vad").returncode, 0)
        output, _ = stream.communicate(timeout=DEADLINE_S)
        report = json.loads(output.splitlines()[-1])
        told = [each for each in got if each]
        self.assertEqual(told, [(name, i) for name in ("a.wav", "b.wav") for i in range(len(told) // 2)])
        self.assertEqual((report["told"], report["failed"], report["dropped"], report["unsent"]), (len(told), 0, 0, 0))
        self.assertIn(None, got)

    def test_what_does_not_fit_ends_it(self):
        for document, message in [
                (SPEECH | {"source": {"directory": "/nowhere"}}, "source.directory: /nowhere"),
                (SPEECH | {"source": {"directory": "/tmp"}, "input": "audio"}, "model 'vad' has no input 'audio', only: input, state, sr"),
                (SPEECH | {"source": {"directory": "/tmp"}, "sauce": 1}, "stream: sauce: is unknown here")]:
            stream = self.start(document, stderr=subprocess.PIPE)
            _, error = stream.communicate(timeout=DEADLINE_S)
            self.assertEqual(stream.returncode, 1)
            self.assertIn(message, error)


if __name__ == "__main__":
    unittest.main()
