"""Callers of the inference services of many devices that never stop: one connection to each device, in a thread of
their own. They know which version answered, and count every request that was not answered.

A request that fails is not tried again: it counts as lost.
"""

import asyncio
import json
import threading
import time

TIMEOUT_S = 20.0


class Caller:
    """One device's. `inputs()` is the next request's inputs."""

    def __init__(self, thing, socket_path, model, inputs, interval_s):
        self.thing = thing
        self.sent = self.answered = 0
        self.versions = []  # (time.time(), version): when another version began to answer
        self.errors = []
        self._path = str(socket_path)
        self._model = model
        self._inputs = inputs
        self._interval_s = interval_s

    @property
    def version(self):
        return self.versions[-1][1] if self.versions else None

    async def run(self, stopping):
        reader = writer = None
        next_at = time.monotonic()
        while not stopping.is_set():
            self.sent += 1
            try:
                if writer is None:
                    reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(self._path), TIMEOUT_S)
                await asyncio.wait_for(self._ask(reader, writer), TIMEOUT_S)
                self.answered += 1
            except (OSError, ValueError, KeyError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                self.errors.append(f"{self.thing}: {type(error).__name__}: {error}")
                if writer is not None:
                    writer.close()  # what is still on its way must not become the next answer
                writer = None
            next_at = max(next_at + self._interval_s, time.monotonic())
            await asyncio.sleep(next_at - time.monotonic())
        if writer is not None:
            writer.close()

    async def _ask(self, reader, writer):
        body = json.dumps({"inputs": self._inputs()}).encode()
        writer.write(f"POST /v2/models/{self._model}/infer HTTP/1.1\r\nHost: device\r\n"
                     f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        answer = await reader.readexactly(int(fields["content-length"]))
        if head[0].split()[1] != "200":
            raise ValueError(f"{head[0]}: {answer.decode(errors='replace')}")
        version = json.loads(answer)["model_version"]
        if version != self.version:
            self.versions.append((time.time(), version))


class Callers:
    def __init__(self, callers):
        self.callers = callers
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()

    def _run(self):
        async def all_of_them():
            await asyncio.gather(*(caller.run(self._stopping) for caller in self.callers))

        self._loop.run_until_complete(all_of_them())
        self._loop.close()

    def stop(self):
        """Lets the requests under way have their answers."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(TIMEOUT_S * 2)

    def check_alive(self):
        if not self._thread.is_alive():
            raise RuntimeError("the callers have ended")

    @property
    def requests(self):
        return sum(caller.sent for caller in self.callers)

    @property
    def lost(self):
        """What was not answered. Once stopped only: a request under way counts as well."""
        return sum(caller.sent - caller.answered for caller in self.callers)

    @property
    def errors(self):
        return [error for caller in self.callers for error in caller.errors]

    def answering(self):
        """{version: how many devices answer with it now}."""
        counts = {}
        for caller in self.callers:
            counts[caller.version] = counts.get(caller.version, 0) + 1
        return counts

    def things_that_answered(self, version):
        return {caller.thing for caller in self.callers if version in (each for _, each in caller.versions)}
