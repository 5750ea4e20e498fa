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


def jpeg(blocks):
    """A grey baseline JPEG whose squares of 8x8 pixels are the [height, width] bytes: their mean is all that is coded."""
    segment = lambda code, body: bytes([0xFF, code]) + struct.pack(">H", 2 + len(body)) + body
    height, width = blocks.shape
    # Categories 0 to 11 of differences, by lengths 2 to 9; the end of a block in one bit.
    lengths = [2, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9]
    counts = bytes(lengths.count(n) for n in range(1, 17))
    codes, code = [], 0
    for i, length in enumerate(lengths):
        code = (code + 1) << (length - lengths[i - 1]) if i else 0
        codes.append(format(code, f"0{length}b"))
    bits, last = "", 0
    for value in blocks.ravel():
        level = 8 * (int(value) - 128)
        difference, last = level - last, level
        size = abs(difference).bit_length()
        bits += codes[size] + (format(difference if difference > 0 else difference + (1 << size) - 1, f"0{size}b") if size else "") + "0"
    bits += "1" * (-len(bits) % 8)
    data = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    return (b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC0, struct.pack(">BHHB", 8, 8 * height, 8 * width, 1) + b"\1\x11\0")
            + segment(0xC4, b"\0" + counts + bytes(range(12))) + segment(0xC4, b"\x10" + b"\1" + bytes(15) + b"\0")
            + segment(0xDA, b"\1\1\0\0\x3f\0") + data + b"\xff\xd9")


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
