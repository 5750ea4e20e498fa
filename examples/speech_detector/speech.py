"""From a recording to speech segments: resampling, the windows of Silero VAD, and thresholds.

Silero VAD hears 512 new samples at 16 kHz at a time, with the last 64 of the window before, and hands
a state tensor from one window to the next.
"""

import wave
from dataclasses import dataclass

import numpy as np

RATE = 16_000
WINDOW = 512
CONTEXT = 64
WINDOW_S = WINDOW / RATE


def read_wav(path):
    """The first channel of a 16-bit WAV file as float32 in [-1, 1), and its sample rate."""
    with wave.open(str(path), "rb") as recording:
        if recording.getsampwidth() != 2:
            raise ValueError(f"{path}: {8 * recording.getsampwidth()}-bit samples; only 16-bit WAV is read")
        frames = recording.readframes(recording.getnframes())
        samples = np.frombuffer(frames, dtype="<i2").reshape(-1, recording.getnchannels())[:, 0]
        return samples.astype(np.float32) / 32768.0, recording.getframerate()


def resample(samples, rate):
    """To 16 kHz: a windowed-sinc low-pass, then every n-th sample. Rates must be a multiple of 16 kHz."""
    if rate == RATE:
        return samples
    if rate % RATE:
        raise ValueError(f"{rate} Hz is not a multiple of {RATE} Hz; convert the recording first (sox, ffmpeg)")
    factor = rate // RATE
    taps = 21 * factor
    position = np.arange(taps) - (taps - 1) / 2
    cutoff = 0.45 / factor  # of the input's rate: a little below the new Nyquist frequency
    kernel = np.sinc(2 * cutoff * position) * np.hanning(taps + 2)[1:-1]
    kernel /= kernel.sum()
    return np.convolve(samples, kernel, mode="same")[::factor].astype(np.float32)


class VadStream:
    """Speech probabilities of consecutive windows. `infer(inputs)` maps named arrays to named arrays."""

    def __init__(self, infer):
        self._infer = infer
        self._context = np.zeros(CONTEXT, dtype=np.float32)
        self._state = np.zeros((2, 1, 128), dtype=np.float32)

    def probability(self, window):
        outputs = self._infer(
            {
                "input": np.concatenate([self._context, window]).reshape(1, -1),
                "state": self._state,
                "sr": np.array(RATE, dtype=np.int64),
            }
        )
        self._context = window[-CONTEXT:]
        self._state = outputs["stateN"]
        return float(outputs["output"].reshape(-1)[0])


def windows(samples):
    for start in range(0, len(samples) - WINDOW + 1, WINDOW):
        yield samples[start : start + WINDOW]


@dataclass
class Segment:
    start_s: float
    end_s: float


def segments(probabilities, threshold=0.5, join_gap_s=0.0):
    """Runs of windows above the threshold; runs with at most `join_gap_s` between them are one."""
    found = []
    for index, probability in enumerate(probabilities):
        if probability <= threshold:
            continue
        start, end = index * WINDOW_S, (index + 1) * WINDOW_S
        if found and start - found[-1].end_s <= join_gap_s + 1e-9:
            found[-1].end_s = end
        else:
            found.append(Segment(start, end))
    return found


def timeline(probabilities, threshold=0.5):
    """One character a window: '#' speech, '-' doubtful, '.' nothing."""
    return "".join("#" if p > threshold else "-" if p > threshold / 2 else "." for p in probabilities)
