"""SIGKILL of skerryd in the middle of deployments and roll-backs: it comes back to the old or the new state.

    crash_test.py BIN_DIR

Twice over: at moments drawn by a seed, and, with strace, right before every file operation that a
deployment or a roll-back makes, each distinct call site at least once. The operations under power
cuts, all of them, are the simulator's (`sim/`); here it is the real process on the real kernel.
"""

import base64
import collections
import functools
import hashlib
import io
import json
import os
import random
import re
import shutil
import ssl
import subprocess
import time
import unittest
import urllib.request
import zipfile

import e2e
import testbed
from e2e import NAME

SEED = int(os.environ.get("SKERRY_CRASH_SEED", "1"))
RANDOM_KILLS = 10
OPERATIONS = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "renameat", "renameat2", "unlink",
              "unlinkat", "rmdir", "mkdir", "chmod", "fchmod", "chown", "lchown", "fchown")
GOOD = "echo version {version}; exec sleep infinity"
BROKEN = "exit 9"


class Crash(e2e.EndToEnd):
    def setUp(self):
        super().setUp()
        self.start_device()
        # A thing without a device: devices are told of what their deployments lead to only, and the
        # tests want to know a package's name before the device has it.
        self.reader = self.bed.directory / "reader"
        self.fleet.cli("device", "provision", "reader", "--out", self.reader)
        self.count = 0  # of the versions published, 1.0.COUNT
        self.running = self.new_version(GOOD)
        self.must_deploy({NAME: self.running})

    def new_version(self, run):
        self.count += 1
        version = f"1.0.{self.count}"
        self.publish(NAME, version, run.format(version=version),
                     {"files.zip": archive_of(version)})
        self.fleet.cli("deploy", "--thing", "reader", "--component", f"{NAME}={version}")
        self.package_of(version)
        return version

    def check_after_the_kill(self, deployment, version, is_good):
        """Back up, the job is closed, and what runs is whole: the old version or the new one."""
        self.assertNotEqual(self.device.process.wait(), 0)
        self.start_device()
        status, reason = self.wait_for_end(deployment)
        self.assertEqual(status, "SUCCEEDED" if is_good else "FAILED", reason)
        if is_good:
            self.running = version
        self.wait_for_components({NAME: (self.running, "RUNNING")})
        [package] = (self.device.root / "packages" / NAME).glob(self.running + "@*")
        archive = package / "artifacts/files.zip"
        unpacked = package / "unarchived/files/data"
        self.assertEqual(archive.read_bytes(), archive_of(self.running))
        self.assertEqual(unpacked.read_bytes(), content_of(self.running))
        self.assertEqual(self.device.component_log(NAME).read_text().split()[-1], self.running)

    def test_at_random_moments(self):
        rng = random.Random(SEED)
        for _ in range(RANDOM_KILLS):
            is_good = rng.random() < 0.5
            version = self.new_version(GOOD if is_good else BROKEN)
            log_start = self.device.log_size()
            deployment = self.begin_deployment({NAME: version})
            self.device.wait_for_log("jobs", "deployment", log_start)
            time.sleep(rng.uniform(0, 0.7))  # where it is then is what the test varies
            with self.subTest(seed=SEED, version=version, is_good=is_good):
                self.device.process.kill()
                self.check_after_the_kill(deployment, version, is_good)

    # --- At each call site ----------------------------------------------------------------------

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_before_each_file_operation(self):
        for run in (GOOD, BROKEN):
            version = self.new_version(run)
            sites = self.trace(version)
            if run == GOOD:
                self.running = version
            else:  # up to the switch, a deployment that will be rolled back is one like any other
                sites = sites[next(i for i, (operation, file, _) in enumerate(sites)
                                   if operation == "fsync" and "journal" in file) + 1:]
            self.assertGreater(len(sites), 10)
            print(f"{len(sites)} call sites of a {'deployment' if run == GOOD else 'roll-back'}", flush=True)
            for site in sites:
                with self.subTest(site=site):
                    self.kill_at(site, run)

    def trace(self, version):
        """The call sites of a whole deployment, in their order: (operation, file, how often before and now)."""
        output = self.bed.directory / "trace"
        strace = self.attach("-y", "-e", "trace=" + ",".join(OPERATIONS), "-o", output)
        self.deploy({NAME: version})
        strace.terminate()
        strace.wait()
        counts = collections.Counter()
        sites = []
        for line in output.read_text().splitlines():
            call = re.match(r"\d+ +(\w+)\((.*)", line)
            file = call and self.pattern_of(re.findall(r'[<"](/[^>"]*)[>"]', call.group(2)))
            if not file:
                continue
            counts[call.group(1), file] += 1
            # Each record of the journal is written by other code; other files are written in one place.
            if "journal" in file or counts[call.group(1), file] == 1:
                sites.append((call.group(1), file, counts[call.group(1), file]))
        return sites

    def kill_at(self, site, run):
        operation, pattern, number = site
        version = self.new_version(run)
        strace = self.attach("-P", self.file_of(pattern, version), "-e", f"trace={operation}",
                             "-e", f"inject={operation}:signal=KILL:when={number}")
        deployment = self.begin_deployment({NAME: version})
        try:
            self.device.process.wait(30)
        except subprocess.TimeoutExpired:
            self.fail("the deployment does not come by here")
        finally:
            strace.kill()
            strace.wait()
        self.check_after_the_kill(deployment, version, run == GOOD)

    def attach(self, *options):
        """strace on the running nucleus; it sees everything from when this returns."""
        log = self.bed.directory / "strace.log"
        with open(log, "wb") as file:
            strace = subprocess.Popen(["strace", "-f", "-p", str(self.device.pid), *map(str, options)],
                                      stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        self.addCleanup(strace.wait)
        self.addCleanup(strace.kill)

        def attached():
            if strace.poll() is not None:
                self.fail(f"strace: {log.read_text()}")
            return f"Process {self.device.pid} attached" in log.read_text()

        testbed.wait_for("strace is attached", attached)
        return strace

    # Files by what they are to the deployment: those of its version and those of the one that runs.

    def pattern_of(self, paths):
        root = f"{self.device.root}/"
        file = next((path.removeprefix(root) for path in paths if path.startswith(root)), "logs/")
        if file.startswith("logs/"):
            return None
        newest = f"1.0.{self.count}"
        for text, name in self.names_of(newest):
            file = file.replace(text, name)
        return file

    def file_of(self, pattern, version):
        for text, name in self.names_of(version):
            pattern = pattern.replace(name, text)
        return self.device.root / pattern

    def names_of(self, version):
        return [(digest_of(version), "DIGEST"), (self.package_of(version), "NEWEST"),
                (self.package_of(self.running), "RUNNING")]

    @functools.cache
    def package_of(self, version):
        """VERSION@DIGEST: the digest is that of the recipe as devices get it."""
        directory = self.reader
        context = ssl.create_default_context(cafile=directory / "ca.pem")
        context.load_cert_chain(directory / "device.pem", directory / "device.key")
        wanted = {"componentCandidates": [{"componentName": NAME, "versionRequirements": {"test": f"={version}"}}],
                  "platform": {"name": "linux", "attributes": {"os": "linux"}}}
        url = json.loads((self.fleet.directory / "fleet.json").read_text())["data_plane_url"]
        with urllib.request.urlopen(f"{url}/greengrass/v2/resolveComponentCandidates",
                                    json.dumps(wanted).encode(), context=context) as answer:
            [found] = json.load(answer)["resolvedComponentVersions"]
        return f"{version}@{hashlib.sha256(base64.b64decode(found['recipe'])).hexdigest()[:32]}"


def content_of(version):
    return f"the data of version {version}".encode()


def archive_of(version):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("data"), content_of(version))
    return packed.getvalue()


def digest_of(version):
    return hashlib.sha256(archive_of(version)).hexdigest()


if __name__ == "__main__":
    e2e.main()
