"""What the tests of pipelines and streams share: images and recordings as files, a resampler by its definition, packages."""

import hashlib
import json
import math
import struct
import zlib

import numpy as np


def png(pixels):
    """A PNG file of [height, width, channels] bytes: filter 0 in every line."""
    height, width, channels = pixels.shape
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def wav(frames, rate, tag=1):
    """A WAV file of [n, channels] numbers as they are."""
    body = frames.tobytes()
    size = frames.dtype.itemsize
    head = struct.pack("<HHIIHH", tag, frames.shape[1], rate, rate * frames.shape[1] * size, frames.shape[1] * size, 8 * size)
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"LIST\x03\0\0\0odd\0" + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def resampled(samples, before, after):
    """By the definition: each new sample is a Hann-windowed sinc over the old ones."""
    cutoff = 0.94 * min(1, after / before)
    reach = math.ceil(16 / cutoff)
    padded = np.concatenate([np.zeros(reach + 1), samples, np.zeros(reach + 1)])
    result = []
    for i in range(math.ceil(len(samples) * after / before)):
        time = i * before / after
        at = np.arange(math.floor(time) - reach + 1, math.floor(time) + reach + 1)
        weights = np.sinc(cutoff * (at - time)) * np.cos(np.pi * (at - time) / (2 * reach)) ** 2
        result.append(padded[at + reach + 1] @ weights / weights.sum())
    return np.array(result)


def pipeline_package(directory, name, inputs, steps, outputs, files=None, **more):
    """A package of a pipeline; `files`: bytes by name."""
    directory.mkdir(parents=True)
    text = json.dumps({"pipeline": 1, "inputs": inputs, "steps": steps, "outputs": outputs}).encode()
    files = files or {}
    for file, content in {"pipeline.json": text, **files}.items():
        (directory / file).write_bytes(content)
    sha256 = lambda content: hashlib.sha256(content).hexdigest()
    manifest = {"format": 1, "name": name, "version": "1", "runtime": "pipeline", "file": "pipeline.json",
                "sha256": sha256(text), "files": {file: sha256(content) for file, content in files.items()},
                "inputs": inputs, "outputs": outputs, **more}
    (directory / "model.json").write_text(json.dumps(manifest))
    return directory
