"""Control groups of version 2, all of it, on a kernel that has nothing else: containment, limits and delegation as the
unit tests and whole devices have them. Machines with both versions keep memory, cpu and pids in the first one, so that
nothing else ever sees them in the second.

    kernel_test.py BIN_DIR SKERRY_CACHE SOURCE_DIR
"""

import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import vm

SOURCE, CACHE, BIN = (Path(sys.argv.pop()) for _ in range(3))
KERNEL = CACHE / "kernel/vmlinuz"
SKIPPED = 77


class Kernel(unittest.TestCase):
    def test_what_a_group_may_take_is_enforced_and_handed_down(self):
        machine = vm.Machine(KERNEL)
        machine.add_program(BIN / "io_test", "/usr/bin/io_test")
        code, output = machine.run("""
            cat /sys/fs/cgroup/cgroup.controllers
            export SKERRY_TEST_MUST_CONTAIN=1
            exec /usr/bin/io_test --gtest_color=no --gtest_filter='ContainmentTest.*:DelegationTest.*'
            """, 600)
        self.assertEqual(code, 0, output)
        for controller in ("memory", "cpu", "pids"):
            self.assertIn(controller, output.split())
        passed = re.search(r"\[  PASSED  \] (\d+) tests", output)
        self.assertGreaterEqual(int(passed[1]), 15, output)
        # None of those for the want of something that is here.
        self.assertNotIn("SKIPPED", output)

    def test_a_device_holds_its_components_to_their_limits(self):
        machine = vm.Machine(KERNEL)
        for program in ("skerry", "skerryd", "skerry-fleet"):
            machine.add_program(BIN / program, f"/opt/bin/{program}")
        machine.add_program(BIN / "skerry_broker_plugin.so", "/opt/bin/skerry_broker_plugin.so")
        machine.add_program(shutil.which("mosquitto") or "/usr/sbin/mosquitto")
        machine.add_program("/usr/bin/python3")
        library = Path(os.__file__).parent
        if library.parent.name != "lib" or not str(library).startswith("/usr/lib/"):
            library = next(Path("/usr/lib").glob("python3.[0-9]*"))
        machine.add_tree(library, keep=lambda file: "test" not in file.parts and "__pycache__" not in file.parts)
        for module in library.glob("lib-dynload/*.so"):
            machine.add_libraries(module)
        for folder in ("tools", "tests/e2e"):
            machine.add_tree(SOURCE / folder, f"/src/{folder}", keep=lambda file: file.suffix == ".py")
        code, output = machine.run("""
            cd /src/tests/e2e
            exec python3 hostile_test.py /opt/bin
            """, 900, memory_mb=2048)
        self.assertEqual(code, 0, output)
        self.assertRegex(output, r"test_a_memory_hog_is_ended_at_its_limit_and_the_reason_is_reported .* ok")


if __name__ == "__main__":
    if not KERNEL.exists() or shutil.which("qemu-system-x86_64") is None:
        print("no kernel to run: ./dev setup kernel")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
