"""A Linux kernel of its own in QEMU, with nothing in it but what a test puts there: an initial RAM disk made file by
file. Emulated, so that it runs where there is no /dev/kvm, or one that does not work: boots in some 4 s.

    vm = Machine(kernel)
    vm.add_program("/usr/bin/python3")
    result = vm.run("echo hello; exit 3", timeout_s=60)     # (3, "hello\n")
"""

import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

MARK = "VM-EXIT-CODE"
COMMANDS = ("sh", "cat", "chmod", "chown", "cp", "echo", "env", "grep", "head", "id", "kill", "ln", "ls", "mkdir", "mv",
            "nohup", "rm", "sed", "setpriv", "setsid", "sleep", "tail", "test", "touch", "true", "wc")
INIT = f"""#!/bin/busybox sh
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs dev /dev
busybox mkdir -p /dev/shm /dev/pts
busybox mount -t tmpfs -o mode=1777 tmp /tmp
busybox mount -t tmpfs -o mode=1777 shm /dev/shm
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
busybox ifconfig lo 127.0.0.1 up
busybox hostname vm
busybox ln -s /proc/self/fd /dev/fd
/bin/sh /script
code=$?
echo
echo {MARK} $code
busybox sync
busybox poweroff -f
"""


class Machine:
    def __init__(self, kernel, busybox="/bin/busybox"):
        self.kernel = kernel
        self.files = {}  # path in the machine → bytes, or the path of a file of ours, or ("link", target)
        self.add_file("/bin/busybox", busybox)
        for name in COMMANDS:  # as they are here: a busybox is called busybox, whatever it is asked to be
            self.add_program(shutil.which(name), f"/usr/bin/{name}")
            self.files[f"/bin/{name}"] = ("link", f"/usr/bin/{name}")
        self.files["/etc/passwd"] = (b"root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n"
                                     b"nobody:x:65534:65534::/:/bin/sh\n")
        self.files["/etc/group"] = b"root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n"
        self.files["/etc/hosts"] = b"127.0.0.1 localhost vm\n"
        self.files["/init"] = INIT.encode()

    def add_file(self, path, source):
        self.files[path] = Path(source)

    def add_program(self, source, path=None):
        """With the libraries that it needs, at the places where they are here."""
        path = path or str(source)
        self.add_file(path, os.path.realpath(source))
        self.add_libraries(source)

    def add_libraries(self, source):
        needed = subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", needed):
            self.add_file(library, os.path.realpath(library))

    def add_tree(self, source, path=None, keep=lambda file: True):
        for file in Path(source).rglob("*"):
            if file.is_file() and keep(file):
                self.add_file(str(Path(path or source) / file.relative_to(source)), file)

    def run(self, script, timeout_s, memory_mb=1024):
        """(exit code, what was printed). None as code: it did not get to its end."""
        self.files["/script"] = script.encode()
        with tempfile.TemporaryDirectory(prefix="skerry-vm-") as folder:
            image = Path(folder) / "initramfs"
            with open(image, "wb") as out:
                self._write(out)
            command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                       "-serial", "stdio", "-smp", "2", "-m", str(memory_mb + 2 * image.stat().st_size // (1 << 20)),
                       "-accel", "tcg", "-cpu", "max", "-kernel", str(self.kernel), "-initrd", str(image),
                       "-append", "console=ttyS0 quiet panic=-1 loglevel=3 rdinit=/init"]
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s,
                                      check=False)
                output = done.stdout + done.stderr
            except subprocess.TimeoutExpired as expired:
                output = expired.stdout or b""
        text = output.decode(errors="replace").replace("\r", "")
        ended = re.search(rf"^{MARK} (\d+)$", text, re.MULTILINE)
        return int(ended[1]) if ended else None, text[:ended.start()] if ended else text

    def _write(self, out):
        """The archive format of the kernel's initramfs, "newc" of cpio(5)."""
        folders = {str(parent) for path in self.files for parent in Path(path).parents}
        folders |= {"/proc", "/sys", "/dev", "/tmp", "/root", "/run", "/var/lib", "/var"}
        number = 0

        def entry(path, mode, content=b"", size=None):
            nonlocal number
            number += 1
            name = path.lstrip("/").encode() or b"."
            size = len(content) if size is None else size
            fields = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name) + 1, 0)
            head = b"070701" + b"".join(b"%08x" % field for field in fields) + name + b"\0"
            out.write(head + b"\0" * (-len(head) % 4) + content)

        for folder in sorted(folders):
            entry(folder, stat.S_IFDIR | 0o755)
        for path, content in sorted(self.files.items()):
            if isinstance(content, tuple):
                entry(path, stat.S_IFLNK | 0o777, content[1].encode())
            elif isinstance(content, bytes):
                entry(path, stat.S_IFREG | (0o755 if path == "/init" else 0o644), content)
            else:
                info = content.stat()
                entry(path, stat.S_IFREG | stat.S_IMODE(info.st_mode), size=info.st_size)
                with open(content, "rb") as file:
                    shutil.copyfileobj(file, out)
            out.write(b"\0" * (-out.tell() % 4))
        entry("TRAILER!!!", 0)
        out.write(b"\0" * (-out.tell() % 4))
