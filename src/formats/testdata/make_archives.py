#!/usr/bin/env python3
"""Makes the archives beside it, for zip_test.cc and the nucleus's unarchive_test.cc. The result is always the same bytes."""
import pathlib
import stat
import zipfile

HERE = pathlib.Path(__file__).parent


def archive(file, entries):
    """entries: (name, bytes, Unix mode with file type)"""
    with zipfile.ZipFile(HERE / file, "w") as out:
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = mode << 16
            info.create_system = 3
            out.writestr(info, data, zipfile.ZIP_DEFLATED)


FILE, PROGRAM = stat.S_IFREG | 0o600, stat.S_IFREG | 0o755
archive("nested.zip", [
    ("top.txt", b"top\n", FILE),
    ("empty/", b"", stat.S_IFDIR | 0o755),
    ("a/b/run.sh", b"#!/bin/sh\n", PROGRAM),
    ("a/b/größe.txt", b"data\n", FILE),
])
archive("traversal.zip", [("ok.txt", b"ok", FILE), ("a/../../evil.txt", b"evil", FILE)])
archive("absolute.zip", [("/tmp/evil.txt", b"evil", FILE)])
archive("backslash.zip", [("a\\..\\evil.txt", b"evil", FILE)])
archive("symlink.zip", [
    ("link", b"/etc", stat.S_IFLNK | 0o777),
    ("link/passwd", b"evil", FILE),
])
archive("twice.zip", [("a", b"1", FILE), ("./a", b"2", FILE)])
archive("below_file.zip", [("a", b"1", FILE), ("a/b", b"2", FILE)])
archive("file_and_folder.zip", [("a/b", b"1", FILE), ("a", b"2", FILE)])
archive("long_name.zip", [("x" * 256, b"1", FILE)])
archive("secret.zip", [("secret.txt", b"secret", FILE)])
encrypted = bytearray((HERE / "secret.zip").read_bytes())  # says so; what stands there does not matter
for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
    encrypted[encrypted.index(start) + flags] |= 1
(HERE / "encrypted.zip").write_bytes(encrypted)
(HERE / "secret.zip").unlink()
archive("newline.zip", [("a\nb", b"evil", FILE)])
archive("harmless.zip", [
    ("./", b"", stat.S_IFDIR | 0o755),
    ("./x.txt", b"x\n", FILE),
    ("a//b.txt", b"b\n", FILE),
    ("c/./d.txt", b"d\n", FILE),
])
archive("empty.zip", [])
archive("many.zip", [(f"{number}", b"", FILE) for number in range(20)])
archive("bomb.zip", [("zeros", bytes(2 << 20), FILE)])
(HERE / "truncated.zip").write_bytes((HERE / "bomb.zip").read_bytes()[:-40])
damaged = bytearray((HERE / "nested.zip").read_bytes())
damaged[damaged.index(b"top.txt") + len("top.txt") + 2] ^= 0x55  # inside the first file's data
(HERE / "damaged.zip").write_bytes(damaged)
