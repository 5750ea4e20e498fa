"""Pipelines, served like models, against what NumPy and Python's own Unicode tables say: every step against an oracle
that is written here from its definition, whole pipelines with models in them, and what the service refuses.

    pipelines_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import pathlib
import struct
import tempfile
import unicodedata
import unittest
import zlib

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from infer_server import ONNX_MODELS, Server, tensor
from media import png, pipeline_package, resampled, wav

RANDOM = np.random.default_rng(11)
RECORDING = pathlib.Path("/usr/share/sounds/alsa/Front_Center.wav")


# --- Oracles --------------------------------------------------------------------------------------

def triangle_weights(before, after):
    """Rows of weights: a triangle around each new pixel's centre, as wide as the reduction, cut at the image's edge."""
    scale = before / after
    reach = max(scale, 1)
    rows = np.zeros((after, before))
    for i in range(after):
        centre = (i + 0.5) * scale
        rows[i] = np.maximum(1 - np.abs(np.arange(before) + 0.5 - centre) / reach, 0)
    return rows / rows.sum(axis=1, keepdims=True)


def resized(pixels, height, width):
    across = np.einsum("wx,hxc->hwc", triangle_weights(pixels.shape[1], width), pixels)
    return np.einsum("hy,ywc->hwc", triangle_weights(pixels.shape[0], height), across)


def hz_to_mel(hz, htk):
    hz = np.asarray(hz, dtype=float)
    if htk:
        return 2595 * np.log10(1 + hz / 700)
    return np.where(hz < 1000, hz / (200 / 3), 15 + np.log(np.maximum(hz, 1) / 1000) / (np.log(6.4) / 27))


def mel_to_hz(mel, htk):
    if htk:
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def mel_spectrogram(samples, rate, fft, hop, window, mels, low, high, htk, by_area, power):
    padded = np.pad(samples.astype(float), fft // 2)
    hann = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window), ((fft - window) // 2, fft - window - (fft - window) // 2))
    frames = np.stack([padded[i:i + fft] * hann for i in range(0, len(padded) - fft + 1, hop)])
    spectrum = np.abs(np.fft.rfft(frames)) ** power
    edges = mel_to_hz(np.linspace(hz_to_mel(low, htk), hz_to_mel(high, htk), mels + 2), htk)
    at = np.linspace(0, rate / 2, fft // 2 + 1)
    bank = np.stack([np.maximum(0, np.minimum((at - a) / (b - a), (c - at) / (c - b))) * (2 / (c - a) if by_area else 1)
                     for a, b, c in zip(edges, edges[1:], edges[2:])])
    return spectrum @ bank.T


def cosine_transform(rows):
    size = rows.shape[1]
    k = np.arange(size)[:, None]
    basis = np.cos(np.pi * (np.arange(size) + 0.5) * k / size) * np.where(k == 0, np.sqrt(1 / size), np.sqrt(2 / size))
    return rows @ basis.T


def bert_tokens(text, vocabulary, lower_case):
    """Devlin's BasicTokenizer and WordpieceTokenizer, from their description."""
    numbers = {token: i for i, token in enumerate(vocabulary)}
    is_punctuation = lambda c: unicodedata.category(c).startswith("P") or (33 <= ord(c) < 127 and not c.isalnum())
    words, word = [], ""
    for c in text:
        category = unicodedata.category(c)
        if c in " \t\n\r" or category == "Zs":
            words, word = words + [word], ""
            continue
        if category.startswith("C") or c == "\ufffd":
            continue
        plain = c
        if lower_case:
            plain = "".join(p for p in unicodedata.normalize("NFD", c.lower()) if unicodedata.category(p) != "Mn")
        for p in plain:
            if is_punctuation(p) or 0x4E00 <= ord(p) <= 0x9FFF:
                words, word = words + [word, p], ""
            else:
                word += p
    result = [numbers["[CLS]"]]
    for word in filter(None, words + [word]):
        pieces, first = [], 0
        while first < len(word) and len(word) <= 100:
            for last in range(len(word), first, -1):
                piece = ("##" if first else "") + word[first:last]
                if piece in numbers:
                    pieces.append(numbers[piece])
                    first = last
                    break
            else:
                pieces, first = [], len(word) + 1
        result += pieces if first == len(word) and pieces else [numbers["[UNK]"]]
    return result + [numbers["[SEP]"]]


# --- Pipelines ------------------------------------------------------------------------------------

def of_bytes(*elements):
    return np.array(elements, dtype=np.object_)


class Pipelines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-pipelines-")
        cls.addClassCleanup(scratch.cleanup)
        cls.directory = pathlib.Path(scratch.name)
        cls.server = Server(cls.directory)
        cls.addClassCleanup(cls.server.stop)
        cls.client = triton.InferenceServerClient(cls.server.url)
        cls.addClassCleanup(cls.client.close)
        cls.count = 0

    def serve(self, inputs, steps, outputs, files=None, **more):
        """The name it is served under."""
        type(self).count += 1
        name = f"p{self.count}"
        done = self.server.load(name, pipeline_package(self.directory / name, name, inputs, steps, outputs, files, **more))
        self.assertEqual(done.returncode, 0, done.stderr)
        return name

    def refusal(self, inputs, steps, outputs, files=None, **more):
        type(self).count += 1
        name = f"p{self.count}"
        done = self.server.load(name, pipeline_package(self.directory / name, name, inputs, steps, outputs, files, **more))
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr

    def infer(self, name, **arrays):
        inputs = []
        for input_name, array in arrays.items():
            each = triton.InferInput(input_name, list(array.shape), np_to_triton_dtype(array.dtype))
            each.set_data_from_numpy(array)
            inputs.append(each)
        result = self.client.infer(name, inputs)
        return {each["name"]: result.as_numpy(each["name"]) for each in result.get_response()["outputs"]}

    def one(self, step, of, /, *arrays, files=None, dims=None, made="FP32", rank=1, **settings):
        """What a pipeline of one step makes of arrays, of which only the rank is promised."""
        names = [f"x{i}" for i in range(len(arrays))]
        inputs = [tensor(each, of if not i else np_to_triton_dtype(array.dtype), dims or [-1] * array.ndim)
                  for i, (each, array) in enumerate(zip(names, arrays))]
        name = self.serve(inputs, [{"step": step, "in": names, "out": ["y"], **settings}],
                          [tensor("y", made, [-1] * rank)], files, trial_run="optional")
        return self.infer(name, **dict(zip(names, arrays)))["y"]

    # --- Steps ---

    def test_png_is_decoded_to_its_pixels(self):
        for channels in (1, 3):
            pixels = RANDOM.integers(0, 256, (13, 17, channels), dtype=np.uint8)
            found = self.one("decode_image", "BYTES", of_bytes(png(pixels)), made="UINT8", rank=3, channels=channels)
            np.testing.assert_array_equal(found, pixels)
        colour = RANDOM.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        grey = self.one("decode_image", "BYTES", of_bytes(png(colour)), made="UINT8", rank=3, channels=1)
        np.testing.assert_allclose(grey[..., 0], colour @ [0.299, 0.587, 0.114], atol=0.51)
        as_numbers = self.one("decode_image", "UINT8", np.frombuffer(png(colour), np.uint8), made="UINT8", rank=3)
        np.testing.assert_array_equal(as_numbers, colour)
        seen_on_black = np.concatenate([colour, np.zeros((5, 6, 1), np.uint8)], axis=2)
        self.assertEqual(self.one("decode_image", "BYTES", of_bytes(png(seen_on_black)), made="UINT8", rank=3).max(), 0)

    def test_images_change_their_size(self):
        for shape, height, width in [((40, 30, 3), 17, 11), ((7, 9, 1), 20, 31), ((16, 16, 3), 16, 4), ((5, 5, 3), 1, 1)]:
            pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
            found = self.one("resize", "UINT8", pixels, made="UINT8", rank=3, width=width, height=height)
            np.testing.assert_allclose(found, resized(pixels, height, width), atol=0.51)
            floats = RANDOM.standard_normal(shape).astype(np.float32)
            found = self.one("resize", "FP32", floats, rank=3, width=width, height=height)
            np.testing.assert_allclose(found, resized(floats, height, width), atol=1e-5)
            found = self.one("resize", "UINT8", pixels, made="UINT8", rank=3, width=width, height=height, method="nearest")
            rows = ((np.arange(height) + 0.5) * shape[0] / height).astype(int)
            columns = ((np.arange(width) + 0.5) * shape[1] / width).astype(int)
            np.testing.assert_array_equal(found, pixels[rows][:, columns])

    def test_arrays_are_cut_and_turned(self):
        pixels = RANDOM.integers(0, 256, (8, 10, 3), dtype=np.uint8)
        crop = self.one("crop", "UINT8", pixels, made="UINT8", rank=3, width=4, height=2)
        np.testing.assert_array_equal(crop, pixels[3:5, 3:7])
        crop = self.one("crop", "UINT8", pixels, made="UINT8", rank=3, width=4, height=2, x=6, y=0)
        np.testing.assert_array_equal(crop, pixels[:2, 6:])
        turned = self.one("transpose", "UINT8", pixels, made="UINT8", rank=3, order=[2, 0, 1])
        np.testing.assert_array_equal(turned, pixels.transpose(2, 0, 1))
        numbers = RANDOM.standard_normal((4, 5)).astype(np.float32)
        np.testing.assert_array_equal(self.one("reshape", "FP32", numbers, rank=3, shape=[2, -1, 5]), numbers.reshape(2, 2, 5))
        np.testing.assert_array_equal(self.one("slice", "FP32", numbers, rank=2, axis=1, start=-3, size=2), numbers[:, 2:4])
        np.testing.assert_array_equal(self.one("slice", "FP32", numbers, rank=2, axis=0, start=1), numbers[1:])
        np.testing.assert_array_equal(self.one("pad", "FP32", numbers, rank=2, size=7), np.pad(numbers, ((0, 0), (0, 2))))
        np.testing.assert_array_equal(self.one("pad", "FP32", numbers, rank=2, size=3, axis=0), numbers[:3])
        found = self.one("concat", "FP32", numbers, numbers * 2, rank=2, axis=1)
        np.testing.assert_array_equal(found, np.concatenate([numbers, numbers * 2], axis=1))

    def test_numbers_change_their_type_and_range(self):
        pixels = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        found = self.one("normalise", "UINT8", pixels, rank=3, scale=1 / 255, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4])
        np.testing.assert_allclose(found, (pixels / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4], rtol=1e-5, atol=1e-6)
        wild = np.array([-1e30, -129, -1.9, 0.5, 254.9, 1e30, np.nan], dtype=np.float32)
        np.testing.assert_array_equal(self.one("cast", "FP32", wild, made="UINT8", datatype="UINT8"), [0, 0, 0, 0, 254, 255, 0])
        np.testing.assert_array_equal(self.one("cast", "FP32", wild[:-1], made="INT8", datatype="INT8"),
                                      [-128, -128, -1, 0, 127, 127])
        half = self.one("cast", "FP32", wild[1:4], made="FP16", datatype="FP16")
        np.testing.assert_array_equal(half, wild[1:4].astype(np.float16))
        np.testing.assert_array_equal(self.one("threshold", "FP32", wild, made="BOOL", value=0.5), wild >= 0.5)

    def test_scores_become_answers(self):
        logits = (RANDOM.standard_normal((5, 9)) * 20).astype(np.float32)
        power = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(self.one("softmax", "FP32", logits, rank=2), power / power.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(self.one("sigmoid", "FP32", logits, rank=2), 1 / (1 + np.exp(-logits.astype(float))), rtol=1e-5)
        np.testing.assert_array_equal(self.one("argmax", "FP32", logits, made="INT64"), logits.argmax(axis=1))
        np.testing.assert_array_equal(self.one("top_k", "FP32", logits, rank=2, k=3), -np.sort(-logits, axis=1)[:, :3])
        names = b"shirt\ncoat\r\nbag"
        found = self.one("labels", "INT64", np.array([2, 0]), made="BYTES", files={"names.txt": names}, file="names.txt")
        self.assertEqual(list(found), [b"bag", b"shirt"])
        symbols = "-\na\nb\nc"
        times = np.eye(4, dtype=np.float32)[[1, 1, 0, 1, 2, 2, 0, 0, 3, 3]]
        found = self.one("ctc", "FP32", times, made="BYTES", files={"symbols.txt": symbols.encode()}, file="symbols.txt")
        self.assertEqual(list(found), [b"aabc"])

    def test_boxes_that_overlap_better_ones_go(self):
        corners = RANDOM.uniform(0, 50, (60, 2))
        boxes = np.concatenate([corners, corners + RANDOM.uniform(5, 40, (60, 2))], axis=1).astype(np.float32)
        scores = RANDOM.uniform(0, 1, 60).astype(np.float32)
        kept = []
        area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
        for i in np.argsort(-scores, kind="stable"):
            shared = [max(0, min(boxes[i, 2], boxes[k, 2]) - max(boxes[i, 0], boxes[k, 0]))
                      * max(0, min(boxes[i, 3], boxes[k, 3]) - max(boxes[i, 1], boxes[k, 1])) for k in kept]
            if scores[i] >= 0.2 and all(s / (area(boxes[i]) + area(boxes[k]) - s) <= 0.4 for s, k in zip(shared, kept)):
                kept.append(i)
        found = self.one("nms", "FP32", boxes, scores, rank=2, iou=0.4, score=0.2)
        np.testing.assert_array_equal(found, boxes[kept])
        self.assertLess(len(kept), 40)

    def test_wav_of_every_kind(self):
        samples = RANDOM.uniform(-1, 1, (200, 2))
        mean = samples.mean(axis=1)
        kinds = [(wav(np.round(samples * 127 + 128).astype(np.uint8), 8000), 0.013),
                 (wav(np.round(samples * 32767).astype("<i2"), 8000), 1e-4),
                 (wav(np.round(samples * 2147483520).astype("<i4"), 8000), 1e-6),
                 (wav(samples.astype("<f4"), 8000, tag=3), 1e-6)]
        for content, tolerance in kinds:
            np.testing.assert_allclose(self.one("decode_wav", "BYTES", of_bytes(content)), mean, atol=tolerance)
            right = self.one("decode_wav", "BYTES", of_bytes(content), channel=1)
            np.testing.assert_allclose(right, samples[:, 1], atol=tolerance)

    def test_samples_at_another_rate(self):
        samples = RANDOM.standard_normal(700).astype(np.float32)
        for before, after in [(48000, 16000), (44100, 16000), (8000, 16000), (16000, 11025)]:
            found = self.one("resample", "FP32", samples, **{"from": before, "to": after})
            np.testing.assert_allclose(found, resampled(samples, before, after), atol=2e-5)
        tone = np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000).astype(np.float32)
        found = self.one("resample", "FP32", tone, **{"from": 48000, "to": 16000})
        np.testing.assert_allclose(found[100:-100], np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)[100:-100], atol=2e-3)

    def test_mel_and_mfcc_of_a_recording(self):
        frames = np.frombuffer(RECORDING.read_bytes()[44:], "<i2")[20000:36000].astype(np.float32) / 32768
        for htk, by_area, power, window in [(False, True, 2, 512), (True, False, 1, 400)]:
            want = mel_spectrogram(frames, 48000, 512, 160, window, 40, 20, 8000, htk, by_area, power)
            settings = {"rate": 48000, "fft": 512, "hop": 160, "window": window, "mels": 40, "low_hz": 20, "high_hz": 8000,
                        "scale": "htk" if htk else "slaney", "by_area": by_area, "power": power}
            found = self.one("mel", "FP32", frames, rank=2, **settings)
            np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-6 * want.max())
            decibels = 10 * np.log10(np.maximum(want, 1e-10))
            found = self.one("mel", "FP32", frames, rank=2, log="db", **settings)
            np.testing.assert_allclose(found, decibels, atol=0.01)
            found = self.one("mfcc", "FP32", frames, rank=2, coefficients=13, **settings)
            np.testing.assert_allclose(found, cosine_transform(decibels)[:, :13], atol=0.05)

    def test_text_becomes_tokens_as_in_bert(self):
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "press", "##es", "##ing", "run", "##s", "uber", "hot", ",",
                      "!", "中", "文", "the9", "a", "##b", "##c", "i", "-"]
        text = "\n".join(vocabulary).encode()
        for lower_case in (True, False):
            for sentence in ["The presses run, hot!", "ÜBER\u00a0hot\u0000\u200b pressing", "中文the abc", "x" * 150, "", "press" * 30,
                             "İ a\u0301b \t\n!!", "the9 -the- runs"]:
                found = self.one("wordpiece", "BYTES", of_bytes(sentence.encode()), made="INT64", rank=2, dims=[1],
                                 files={"vocab.txt": text}, file="vocab.txt", length=64, lower_case=lower_case)
                want = bert_tokens(sentence, vocabulary, lower_case)
                np.testing.assert_array_equal(found[0], want + [0] * (64 - len(want)), repr(sentence))

    # --- Whole pipelines ---

    def test_models_between_steps(self):
        """Steps in any order, a value with two takers, a model, and outputs that nothing needs."""
        steps = [{"step": "argmax", "in": "tripled", "out": "best"},
                 {"step": "model", "file": "triple.onnx", "runtime": "onnxruntime", "in": {"x": "row"}, "out": {"y": "tripled"}},
                 {"step": "reshape", "in": "half", "out": "row", "shape": [1, 2]},
                 {"step": "normalise", "in": "x", "out": "half", "scale": 0.5}]
        name = self.serve([tensor("x", "FP32", [2])], steps,
                          [tensor("tripled", "FP32", [1, 2]), tensor("best", "INT64", [1]), tensor("half", "FP32", [2])],
                          {"triple.onnx": ONNX_MODELS["triple.onnx"]})
        x = np.array([4, 10], dtype=np.float32)
        found = self.infer(name, x=x)
        want = triton_affine(ONNX_MODELS, x / 2)
        np.testing.assert_allclose(found["tripled"], want)
        self.assertEqual(list(found["best"]), [int(want.argmax())])
        np.testing.assert_array_equal(found["half"], x / 2)
        self.assertEqual(self.client.get_model_metadata(name)["platform"], "pipeline")

    def test_an_image_is_the_trial(self):
        """A decoder would refuse zeros: the package says what to try it with."""
        steps = [{"step": "decode_image", "in": "file", "out": "pixels", "channels": 1}]
        arguments = ([tensor("file", "BYTES", [1])], steps, [tensor("pixels", "UINT8", [-1, -1, 1])])
        self.assertIn("neither a JPEG nor a PNG", self.refusal(*arguments))
        pixels = RANDOM.integers(0, 256, (4, 4, 1), dtype=np.uint8)
        name = self.serve(*arguments, {"sample.png": png(pixels)}, warmup={"file": {"file": "sample.png"}})
        np.testing.assert_array_equal(self.infer(name, file=of_bytes(png(pixels)))["pixels"], pixels)
        with self.assertRaisesRegex(InferenceServerException, r"steps\[0\] \(decode_image\).*neither") as refused:
            self.infer(name, file=of_bytes(b"GIF89a"))
        self.assertEqual(refused.exception.status(), "400")
        for end in range(8, len(png(pixels)) - 16, 5):
            with self.assertRaisesRegex(InferenceServerException, "damaged"):
                self.infer(name, file=of_bytes(png(pixels)[:end]))

    def test_a_bomb_is_refused_before_memory_is_taken(self):
        bomb = bytearray(png(np.zeros((1, 1, 3), np.uint8)))
        bomb[16:24] = struct.pack(">II", 60000, 60000)
        bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
        with self.assertRaisesRegex(InferenceServerException, "60000 by 60000 pixels"):
            self.one("decode_image", "BYTES", of_bytes(bytes(bomb)), made="UINT8", rank=3)

    def test_what_is_wrong_with_a_file_is_named(self):
        x, y = [tensor("x", "FP32", [-1])], [tensor("y", "FP32", [-1])]
        softmax = {"step": "softmax", "in": "x", "out": "y"}
        for steps, message in [
                ([{"step": "sofmax", "in": "x", "out": "y"}], r"steps[0].step: 'sofmax' is no step; there are: model, argmax"),
                ([softmax | {"axis": 1}], "steps[0].axis: is no setting of this step"),
                ([softmax | {"in": "z"}], "steps[0]: in: nothing makes 'z'"),
                ([softmax, softmax], "steps[1]: out: there is a value 'y' already"),
                ([softmax | {"in": "b"}, {"step": "softmax", "in": "y", "out": "b"}], "the steps go in a circle"),
                ([softmax | {"in": ["x", "x"]}], "steps[0]: in: softmax takes 1 values, not 2"),
                ([{"step": "resize", "in": "x", "out": "y", "width": 4}], "steps[0].height: is missing"),
                ([{"step": "resize", "in": "x", "out": "y", "width": 0, "height": 1}], "steps[0].width: must be 1 to"),
                ([{"step": "labels", "in": "x", "out": "y", "file": "../model.json"}], "the package has no file '../model.json'"),
                ([{"step": "model", "in": {"x": "x"}, "out": {"y": "y"}, "file": "m", "runtime": "pipeline"}],
                 "steps[0].runtime: a pipeline holds no pipelines"),
                ([{"step": "model", "in": {"x": "x"}, "out": {"y": "y"}, "file": "m", "runtime": "litert"}],
                 "deploy skerry.runtime.LiteRt"),
                ([{"step": "model", "in": {"x": "x"}, "out": {"z": "y"}, "file": "double.onnx", "runtime": "onnxruntime"}],
                 "steps[0].out: the model has no 'z', only: y"),
                ([softmax | {"out": "z"}], "outputs: nothing makes 'y'")]:
            with self.subTest(message):
                files = {"double.onnx": ONNX_MODELS["double.onnx"]} if "double" in str(steps) else None
                self.assertIn(message, self.refusal(x, steps, y, files))

    def test_a_promise_that_is_not_kept_is_the_pipelines_failure(self):
        steps = [{"step": "softmax", "in": "x", "out": "y"}]
        refused = self.refusal([tensor("x", "FP32", [-1, 2])], steps, [tensor("y", "FP32", [-1])])
        self.assertIn("output 'y' is FP32[1,2]; the pipeline's file promises FP32[-1]", refused)


def triton_affine(models, row):
    import onnxruntime
    return onnxruntime.InferenceSession(models["triple.onnx"]).run(None, {"x": row.reshape(1, 2)})[0]


if __name__ == "__main__":
    unittest.main()
