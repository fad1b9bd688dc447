"""Which user a server runs as. PostgreSQL refuses root, and initdb refuses a user without a name.

Only the guard's freshly forked child calls `assume`, just before it becomes the server.
"""

import contextlib
import ctypes
import enum
import os
import pwd
import signal
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1  # pass by the permissions of files and folders
_PR_SET_CHILD_SUBREAPER = 36


class Identity(enum.StrEnum):
    """How the server's user is chosen."""

    SAME = "same"
    NAMESPACE = "namespace"  # a user namespace in which we are called `nobody`; outside nothing changes
    NOBODY = "nobody"  # really become `nobody`, who must own the data: root only


def candidates() -> list[Identity]:
    """The identities PostgreSQL could accept for the user we are, the best first."""
    if os.geteuid() == 0:
        # In a namespace root's files stay root's, and nothing needs to change its owner.
        return [Identity.NAMESPACE, Identity.NOBODY]
    return [Identity.SAME] if _has_name(os.geteuid()) else [Identity.NAMESPACE]


def nobody() -> tuple[int, int]:
    """User and group id of `nobody`.

    Raises KeyError when the system has no such user.
    """
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def assume(identity: Identity) -> None:
    """Turn the calling process, which must have a single thread, into `identity`.

    Raises OSError when the system refuses, KeyError when there is no user `nobody`.
    """
    if identity is Identity.NAMESPACE:
        _enter_namespace()
    elif identity is Identity.NOBODY:
        _become_nobody()


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """Ask the kernel to signal this process when the process `parent` dies. Linux only, else nothing.

    To be called after `assume`: a change of credentials forgets the request.
    """
    if not sys.platform.startswith("linux"):
        return
    _call("prctl", _PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        raise ProcessLookupError("the parent died first")


def adopt_orphans() -> bool:
    """Become the parent of descendants whose own parent dies; False where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return False
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1)
    return True


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _enter_namespace() -> None:
    if not sys.platform.startswith("linux"):
        raise OSError("this system has no user namespaces")
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    inner_uid, inner_gid = nobody()
    try:
        _call("unshare", _CLONE_NEWUSER)
    except OSError as error:
        raise OSError(f"user namespaces are not allowed here ({error.strerror})") from error
    # The kernel wants setgroups given up before an unprivileged process may map its group.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inner_uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{inner_gid} {outer_gid} 1")


def _become_nobody() -> None:
    """Drop from root to `nobody`; where the system allows, keep the right to pass closed folders.

    Root's checkout and temporary folders are often closed to others, PostgreSQL's programs with them.
    """
    uid, gid = nobody()
    keeps = sys.platform.startswith("linux")
    if keeps:
        _call("prctl", _PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if keeps:
        with contextlib.suppress(PermissionError):  # a container may have taken that right from root
            _keep_passing_folders()


def _keep_passing_folders() -> None:
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)  # 0: this process
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit)  # effective, permitted, inheritable; then the upper halves
    _call("capset", ctypes.addressof(header), ctypes.addressof(sets))
    _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)  # survives exec


def _call(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*(ctypes.c_ulong(value) for value in arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
