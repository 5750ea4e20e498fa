"""The example's signal path on synthesised recordings: resampling, windows, segments, and what the model says.

The model runs in PyPI onnxruntime here, so that nothing of ours but the example is under test.
"""

import os
import struct
import sys
import tempfile
import unittest
import wave
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "examples" / "speech_detector"))

import speech

MODEL = Path(os.environ["SKERRY_CACHE"]) / "silero-vad" / "silero_vad.onnx"


def tone(hertz, rate, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


def probabilities(samples, rate):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(MODEL), options)

    def infer(arrays):
        output, state = session.run(["output", "stateN"], arrays)
        return {"output": output, "stateN": state}

    stream = speech.VadStream(infer)
    return [stream.probability(window) for window in speech.windows(speech.resample(samples, rate))]


class Resampling(unittest.TestCase):
    def middle(self, samples):
        return samples[len(samples) // 4 : -len(samples) // 4]

    def test_a_tone_that_fits_keeps_its_height_and_pitch(self):
        resampled = speech.resample(tone(1_000, 48_000), 48_000)
        self.assertEqual(len(resampled), 16_000)
        spectrum = np.abs(np.fft.rfft(resampled))
        self.assertEqual(int(spectrum.argmax()), 1_000)
        self.assertAlmostEqual(float(np.abs(self.middle(resampled)).max()), 1.0, delta=0.02)

    def test_a_tone_above_half_the_new_rate_is_gone_and_not_folded_back(self):
        for hertz in (9_500, 12_000, 15_000, 20_000):
            resampled = self.middle(speech.resample(tone(hertz, 48_000), 48_000))
            self.assertLess(float(np.abs(resampled).max()), 0.01, hertz)  # -40 dB

    def test_other_rates_say_what_to_do(self):
        with self.assertRaisesRegex(ValueError, "44100 Hz is not a multiple"):
            speech.resample(tone(440, 44_100), 44_100)


class Reading(unittest.TestCase):
    def write(self, folder, width, channels, frames):
        path = Path(folder) / "a.wav"
        with wave.open(str(path), "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(width)
            out.setframerate(48_000)
            out.writeframes(frames)
        return path

    def test_the_first_channel_between_minus_one_and_one(self):
        with tempfile.TemporaryDirectory() as folder:
            path = self.write(folder, 2, 2, struct.pack("<6h", -32768, 1, 16384, 2, 0, 3))
            samples, rate = speech.read_wav(path)
        self.assertEqual(rate, 48_000)
        self.assertEqual(samples.tolist(), [-1.0, 0.5, 0.0])

    def test_eight_bit_samples_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(ValueError, "8-bit"):
                speech.read_wav(self.write(folder, 1, 1, b"\x80\x80"))


class Segments(unittest.TestCase):
    def test_runs_above_the_threshold(self):
        found = speech.segments([0.1, 0.9, 0.8, 0.2, 0.7])
        self.assertEqual([(round(s.start_s, 3), round(s.end_s, 3)) for s in found], [(0.032, 0.096), (0.128, 0.16)])

    def test_short_pauses_are_joined_where_asked(self):
        self.assertEqual(len(speech.segments([0.9, 0.1, 0.9], join_gap_s=0.031)), 2)
        self.assertEqual(len(speech.segments([0.9, 0.1, 0.9], join_gap_s=0.032)), 1)


class Model(unittest.TestCase):
    def test_silence_noise_and_tones_are_not_speech(self):
        noise = np.random.default_rng(1).normal(0, 0.1, 48_000).astype(np.float32)
        for name, samples in (("silence", np.zeros(48_000, np.float32)), ("noise", noise), ("tone", 0.3 * tone(440, 48_000))):
            self.assertLess(max(probabilities(samples, 48_000)), 0.5, name)

    def test_a_spoken_recording_is_speech_and_noise_around_it_is_not(self):
        spoken, rate = speech.read_wav("/usr/share/sounds/alsa/Front_Center.wav")
        quiet = np.random.default_rng(2).normal(0, 0.001, rate).astype(np.float32)
        found = speech.segments(probabilities(np.concatenate([quiet, spoken, quiet]), rate), join_gap_s=0.5)
        self.assertEqual(len(found), 1)
        self.assertGreater(found[0].start_s, 1.0)
        self.assertLess(found[0].end_s, 2.0 + len(spoken) / rate)


if __name__ == "__main__":
    unittest.main()
