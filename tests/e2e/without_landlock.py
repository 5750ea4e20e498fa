"""Runs a command as on a kernel without Landlock: its calls are not there.

    without_landlock.py COMMAND…
"""

import ctypes
import errno
import os
import struct
import sys

LANDLOCK_CREATE_RULESET = 444  # on every architecture
PR_SET_SECCOMP, FILTER = 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000

libc = ctypes.CDLL(None, use_errno=True)
# Load the call's number; is it that one? then fail, else allow.
code = (struct.pack("HBBI", 0x20, 0, 0, 0) + struct.pack("HBBI", 0x15, 0, 1, LANDLOCK_CREATE_RULESET)
        + struct.pack("HBBI", 0x06, 0, 0, ERRNO | errno.ENOSYS) + struct.pack("HBBI", 0x06, 0, 0, ALLOW))
buffer = ctypes.create_string_buffer(code, len(code))
# Padding as in struct sock_fprog. As root no no_new_privs is needed, which components would inherit.
program = ctypes.create_string_buffer(struct.pack("H6xP", len(code) // 8, ctypes.addressof(buffer)))
if libc.prctl(PR_SET_SECCOMP, FILTER, program, 0, 0) != 0:
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
