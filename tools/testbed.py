"""A fleet and devices of their own in a scratch folder, for the demo, the end-to-end tests and the benches.

    with Testbed() as bed:
        bed.fleet.start()
        device = bed.device("press-7")
        device.provision()
        device.start()

Everything runs on free loopback ports. When the block is left, however it is left, every process is
ended and the folder removed; what a test wants to read it reads before.
"""

import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("SKERRY_CACHE") or Path.home() / ".cache/skerry")
POLL_S = 0.02


class Failure(Exception):
    """Something did not happen as it should; the message says what, and what the programs logged."""


def wait_for(what, condition, timeout_s=60.0, alive=()):
    """The first true value of `condition()`. Fails at once when a process of `alive` has ended."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        for program in alive:
            program.check_alive()
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(POLL_S)


def free_port():
    """A port nobody listens on now. For programs that must be told theirs by someone else."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def time_ms(record):
    """When a log record was written, in milliseconds since 1970."""
    return datetime.datetime.fromisoformat(record["time"]).timestamp() * 1000


def tail(path, lines=15):
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"


# --- Processes ----------------------------------------------------------------------------------


def process_tree(pid):
    """`pid` and everything below it."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, pending = [], [pid]
    while pending:
        found.append(pending.pop())
        pending += children.get(found[-1], [])
    return found


def program_of(pid):
    with contextlib.suppress(OSError):
        return Path(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")).name
    return ""


def memory_mb(pid, *programs):
    """What those processes at and below `pid` that run one of `programs` have in memory: proportional (pss: shared
    pages count in parts), private, resident (rss), anonymous (heaps and stacks)."""
    fields = {"Pss": "pss", "Private_Clean": "private", "Private_Dirty": "private", "Rss": "rss", "Anonymous": "anonymous"}
    kb = dict.fromkeys(fields.values(), 0)
    for each in process_tree(pid):
        if program_of(each) not in programs:
            continue
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                key = line.partition(":")[0]
                if key in fields:
                    kb[fields[key]] += int(line.split()[1])
    return {name: round(value / 1024, 2) for name, value in kb.items()}


def pss_mb(pid, *programs):
    return memory_mb(pid, *programs)["pss"]


def processes_with(text):
    """Processes, of any user, whose command line or environment contains `text`; never this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if text.encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def machine():
    """The line that belongs to every measured number."""
    names = re.findall(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return (f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, "
            f"load {os.getloadavg()[0]:.1f}")


class Program:
    """A program in the background, its output in a file."""

    def __init__(self, name, log_path):
        self.name = name
        self.log_path = Path(log_path)
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def launch(self, command, **options):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, **options)  # Ctrl-C is not for it

    def check_alive(self):
        if self.process is not None and self.process.poll() is not None:
            raise Failure(f"{self.name} ended with {self.process.returncode}:\n{tail(self.log_path)}")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout_s=30.0):
        """SIGTERM, and its exit code; SIGKILL and a failure where it does not end."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not end within {timeout_s:.0f} s of SIGTERM:\n{tail(self.log_path)}")
        self.process = None
        return code

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


# --- The fleet ----------------------------------------------------------------------------------


class Fleet:
    """The control plane, through the `skerry` command line."""

    def __init__(self, bed):
        self.bed = bed
        self.directory = bed.directory / "fleet"
        self.log_path = self.directory / "skerry-fleet.log"
        self.info = {}

    def start(self, *options):
        """On free ports the first time, on the same ones again after that."""
        port = lambda url: str(int(url.rpartition(":")[2].strip("/") or 0))
        self.info = self.cli("up", "--api-port", port(self.info.get("api_url", "")),
                             "--data-plane-port", port(self.info.get("data_plane_url", "")),
                             "--broker-port", str(self.info.get("broker_port", 0)), *options)
        return self.info

    def open_to_subscribers(self, topic):
        """Things see their own topics only; this lets every one subscribe to `topic` too, within a second."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "topics", "a") as topics:
            topics.write(f"subscribe {topic}\n")

    @property
    def pid(self):
        return self.info["pid"]

    def running(self):
        return bool(self.info) and program_of(self.pid) == "skerry-fleet"

    def stop(self):
        if self.info:
            self.cli("down")

    def kill(self):
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
            wait_for("the killed fleet is gone", lambda: not self.running())

    def kill_and_wait(self):
        """Killed; whoever started it starts it again."""
        was = self.pid
        self.kill()

        def there():
            with contextlib.suppress(OSError, ValueError):
                self.info = json.loads((self.directory / "fleet.json").read_text())
            return self.pid != was and self.running()

        wait_for("the killed fleet is started again", there)

    def cli(self, *arguments, timeout_s=120.0):
        """`skerry … --json` against this fleet: what it printed, parsed."""
        done = self._run(arguments, timeout_s)
        if done.returncode:
            raise Failure(f"skerry {' '.join(map(str, arguments))}: exit {done.returncode}: {error_of(done.stderr)}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def deploy(self, group, components, config=None, timeout_s=120.0):
        """Components {name: version} to a group, besides what it has already; configuration {name: {…}} to merge.
        Waits, and returns [(thing, status, reason)], also where it failed."""
        arguments = ["deploy", "--group", group, "--keep", "--wait", "--timeout", int(timeout_s)]
        for name, version in components.items():
            arguments += ["--component", f"{name}={version}"]
        for name, update in (config or {}).items():
            arguments += ["--config", f"{name}={json.dumps(update)}"]
        done = self._run(arguments, timeout_s + 30)
        if not done.stdout.strip():
            raise Failure(f"the deployment of {components}: exit {done.returncode}: {error_of(done.stderr)}")
        devices = json.loads(done.stdout)["devices"]
        return [(each["thing"], each["status"], each.get("reason", "")) for each in devices]

    def _run(self, arguments, timeout_s):
        """Fails at once when a device ends meanwhile."""
        command = [self.bed.program("skerry"), "--dir", self.directory, "--json", *map(str, arguments)]
        devices = [device for device in self.bed.devices.values() if device.running()]
        deadline = time.monotonic() + timeout_s
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    stdout, stderr = process.communicate(timeout=0.5)
                    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
                for device in devices:
                    device.check_alive()
                if time.monotonic() > deadline:
                    raise Failure(f"{' '.join(map(str, command))} did not end within {timeout_s:.0f} s")
        except BaseException:  # Ctrl-C as well
            process.kill()
            process.communicate()
            raise


def error_of(stderr):
    try:
        return json.loads(stderr.strip().splitlines()[-1])["error"]["message"]
    except (ValueError, LookupError, TypeError):
        return stderr.strip()


# --- Devices ------------------------------------------------------------------------------------


class Device(Program):
    def __init__(self, bed, thing):
        super().__init__(f"skerryd of {thing}", bed.directory / f"{thing}.log")
        self.bed = bed
        self.thing = thing
        self.directory = bed.directory / thing
        self.root = self.directory / "root"

    @property
    def config_path(self):
        return self.directory / "config.yaml"

    def provision(self, *options):
        return self.bed.fleet.cli("device", "provision", self.thing, "--out", self.directory, *options)

    def command(self):
        return [self.bed.program("skerryd"), "--config", self.config_path, "--log-json"]

    def start(self, before=(), **options):
        """`before`: words in front of the command, such as strace or setpriv with their options."""
        self.launch([*before, *self.command()], **options)

    def log(self, start=0):
        """The log's records from byte `start` on; lines of other origin as their message."""
        records = []
        with contextlib.suppress(FileNotFoundError):
            for line in self.log_path.read_bytes()[start:].decode(errors="replace").splitlines():
                try:
                    records.append(json.loads(line))
                except ValueError:
                    records.append({"time": "", "level": "", "module": "", "message": line})
        return records

    def log_size(self):
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def wait_for_log(self, module, message, start=0, timeout_s=60.0, **fields):
        def find():
            return next((record for record in self.log(start) if record["module"] == module
                         and record["message"] == message
                         and all(record.get(key) == value for key, value in fields.items())), None)

        return wait_for(f"{self.name} logs '{module}: {message}' {fields or ''}", find, timeout_s, alive=[self])

    def phases(self, log_start, started_s):
        """Seconds of each phase of the deployment logged since then, and of all of it; `started_s`: since 1970."""
        records = self.log(log_start)
        last = lambda module, messages: max(time_ms(each) / 1000 for each in records
                                            if each["module"] == module and each["message"] in messages)
        steps = [started_s, last("jobs", ["deployment"]), last("deployment", ["planned"]),
                 last("deployment", ["fetched"]), last("deployment", ["switched"]),
                 last("component", ["RUNNING", "FINISHED"]), last("deployment", ["succeeded"])]
        names = ("job", "plan", "fetch", "switch", "start", "watch")
        return {name: after - before for name, before, after in zip(names, steps, steps[1:])} | {
            "deployment": steps[-1] - started_s}

    def component_log(self, component):
        return self.root / "logs" / f"{component}.log"

    def components(self):
        """{name: (version, status)} of what the fleet knows of this device."""
        status = self.bed.fleet.cli("status", "--device", self.thing)
        return {each["name"]: (each["version"], each["status"]) for each in status["components"]}


# --- The scratch folder -------------------------------------------------------------------------


class Testbed:
    def __init__(self, name="testbed", bin_dir=None):
        self.bin_dir = Path(bin_dir or os.environ.get("SKERRY_BIN_DIR") or ROOT / "build/release/bin").resolve()
        # Open to all, as components run as users of their own.
        self.directory = Path(tempfile.mkdtemp(prefix=f"skerry-{name}-"))
        self.directory.chmod(0o755)
        self.fleet = Fleet(self)
        self.devices = {}
        self._more = contextlib.ExitStack()

    def program(self, name):
        path = self.bin_dir / name
        if not path.exists():
            raise Failure(f"{path} is not there: run ./dev build")
        return path

    def device(self, thing):
        return self.devices.setdefault(thing, Device(self, thing))

    def at_exit(self, callback):
        """Runs before the fleet and the devices are stopped."""
        self._more.callback(callback)

    def close(self):
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            stack.callback(self._kill_rest)
            stack.callback(self.fleet.kill)
            for device in self.devices.values():
                stack.callback(device.kill)
            for program in [self.fleet, *self.devices.values()]:  # stopped in reverse
                if program.running():
                    stack.callback(program.stop)
            stack.push(self._more.pop_all())

    def _kill_rest(self):
        """What was started and never came under our hands, such as a fleet that was just coming up."""
        def gone():
            rest = processes_with(str(self.directory))
            for pid in rest:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not rest

        wait_for("all processes have ended", gone)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Failure):
            print(self.report(), file=sys.stderr)
        self.close()

    def report(self):
        """What has ended, and the ends of all logs, for a failure's message."""
        ended = [f"{device.name} has ended with {device.process.poll()}\n" for device in self.devices.values()
                 if device.process is not None and device.process.poll() is not None]
        logs = [self.fleet.log_path]
        logs += [device.log_path for device in self.devices.values()]
        logs += [log for device in self.devices.values() for log in sorted((device.root / "logs").glob("*.log"))]
        return "".join(ended) + "\n".join(f"--- {log.relative_to(self.directory)}\n{tail(log)}" for log in logs
                         if log.exists() and log.stat().st_size)
