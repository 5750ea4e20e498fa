"""Shares a file in /dev/shm with the inference service: region.py SOCKET NAME MODE. Ends with 0 where the service takes it."""

import http.client
import json
import os
import socket
import sys
from pathlib import Path

path, name, mode = sys.argv[1:]
memory = Path("/dev/shm") / name
os.umask(0)
with open(memory, "wb", opener=lambda file, flags: os.open(file, flags | os.O_EXCL, int(mode, 8))) as file:
    file.write(bytes(8))
service = http.client.HTTPConnection("localhost", timeout=60)
service.sock = socket.socket(socket.AF_UNIX)
service.sock.connect(path)


def ask(action, **document):
    service.request("POST", f"/v2/systemsharedmemory/region/{name}/{action}", json.dumps(document))
    answer = service.getresponse()
    print(answer.read().decode(), file=sys.stderr)
    return answer.status == 200


took = ask("register", key=f"/{name}", offset=0, byte_size=8)
if took:
    took = ask("unregister")
memory.unlink()
sys.exit(0 if took else 1)
