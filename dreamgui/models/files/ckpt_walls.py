"""Walls around the child process that reads a pickled checkpoint: it starts nothing, sends nothing, opens nothing else.

Standard library only, as the child has nothing more. Linux: no_new_privs and a limit of processes (prctl and setrlimit), a seccomp
filter that refuses new processes and sockets (linux/seccomp.h, linux/filter.h), and Landlock, which leaves one file
to be read (linux/landlock.h). Each holds where the system has it; :func:`raise_walls` says which.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _READ_FILE = 1, 1, 1 << 2
# Rights over files that each version of Landlock knows: 13, and one more in the 2nd, 3rd and 5th.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK, _SCOPES = 0b11, 0b11
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050001
_FOREIGN_CALLS = 0x40000000
# Architecture's mark, then: clone, fork, vfork, execve, execveat, clone3, socket, socketpair, connect, bind, ptrace,
# kill, io_uring_setup, as far as it has them.
_CALLS = {
    "x86_64": (0xC000003E, (56, 57, 58, 59, 322, 435, 41, 53, 42, 49, 101, 62, 425)),
    "aarch64": (0xC00000B7, (220, 221, 281, 435, 198, 199, 203, 200, 117, 129, 425)),
}


def raise_walls(allowed: Path) -> set[str]:
    """Shut this process in for the rest of its life. It may read one file from then on.

    Args:
        allowed: the file.

    Returns:
        The walls that stand, of "privileges", "processes", "calls" and "files".
    """
    if not sys.platform.startswith("linux"):
        return set()
    # Modules can't be imported behind the walls; names in zip files are in this encoding.
    "".encode("cp437")
    libc = ctypes.CDLL(None, use_errno=True)
    walls = {"privileges": libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "processes": _no_processes()}
    walls["files"] = _only(libc, allowed)
    walls["calls"] = _no_calls(libc)
    return {name for name, stands in walls.items() if stands}


def _no_processes() -> bool:
    """No further process of this user. The administrator isn't held to it."""
    import resource

    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return True


def _only(libc: ctypes.CDLL, allowed: Path) -> bool:
    """Leave one file to be read, by Landlock. Allow no TCP, and no signals or sockets to processes outside."""
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return False
    rights = (1 << _RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", rights, _NETWORK, _SCOPES)[
        : 8 if version < 4 else 16 if version < 6 else 24
    ]
    rules = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return False
    file = os.open(allowed, os.O_PATH)
    rule = struct.pack("=Qi", _READ_FILE, file)
    ready = libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0) == 0
    stands = ready and libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    os.close(file)
    os.close(rules)
    return stands


def _no_calls(libc: ctypes.CDLL) -> bool:
    """Refuse new processes, programs, sockets and signals, by a seccomp filter. The administrator is held to it too."""
    architecture, calls = _CALLS.get(platform.machine(), (0, ()))
    if not calls:
        return False
    refuse = len(calls) + 1
    steps = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, refuse, 0, _FOREIGN_CALLS),
        *((_EQUAL, refuse - 1 - place, 0, call) for place, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    return libc.prctl(_SET_SECCOMP, _FILTER, program, 0, 0) == 0
