"""systemd as the first process of namespaces of its own, over a copy of this machine's files.

The kernel gives it processes, mounts and control groups that nobody else sees; what it writes goes
to a layer in memory, and it may set nothing of the kernel. The network is this machine's, so that
units reach servers on loopback.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "infra/systemd"
PROGRAM = "/lib/systemd/systemd"
_STARTS_S = 120.0
_BOOT = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --rbind /sys sys
mount -o remount,bind,ro sys
ln -s /dev/null etc/systemd/system/timers.target
mount --rbind /dev dev
mkdir -p opt/source opt/packages
mount --bind "$2" opt/source
mount --bind "$3" opt/packages
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir old
pivot_root . old  # no chroot: there the units could have no users of their own
umount -l /old
exec %s --system --unit=basic.target
"""


class Machine:
    """A running systemd; ``run`` runs a command beside it, as root of its files.

    Args:
        pid: its number among this machine's processes.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid

    @property
    def files(self) -> Path:
        """The folder that is its root."""
        return Path(f"/proc/{self._pid}/root")

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in its namespaces."""
        inside = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--root", "--wd"]
        done = subprocess.run([*inside, *words], capture_output=True, text=True, timeout=300)
        if check:
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}{self.log()}"
        return done

    def shown(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def log(self) -> str:
        """The end of what all units said."""
        return self.run("journalctl", "--no-pager", "-n", "60", check=False).stdout


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """A machine with the user, the program and the units of ``docs/install.md``, not started yet.

    Skips, with a reason, where this machine has no systemd or does not allow it namespaces.
    """
    if not Path(PROGRAM).is_file():
        pytest.skip("no systemd on this machine")
    if os.geteuid() != 0:
        pytest.skip("only root may make the namespaces")
    base = Path(sys.base_prefix).resolve()
    if base.is_relative_to("/home") or base.is_relative_to("/root"):
        pytest.skip(f"Python is in {base}, which the units may not see")
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    apart = ("--fork", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child")
    script = ["sh", "-c", _BOOT % PROGRAM, "boot", str(folder / "layer"), str(ROOT), str(packages)]
    (folder / "layer").mkdir()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", *apart, *script],
            env={"PATH": os.environ["PATH"], "container": "lxc"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield _installed(_started(process, folder / "log"))
    finally:
        process.kill()
        process.wait(30)


def _started(process: "subprocess.Popen[bytes]", log: Path) -> Machine:
    deadline = time.monotonic() + _STARTS_S
    while time.monotonic() < deadline and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            machine = Machine(int(children[0]))
            if (machine.files / "run/systemd/private").exists():
                machine.run("systemctl", "start", "basic.target")  # waits until all of it is up
                return machine
        time.sleep(0.2)
    pytest.skip(f"systemd does not start in namespaces here: {log.read_text()[-300:]}")


def _installed(machine: Machine) -> Machine:
    """Do what the page on installing says, with the packages of this environment."""
    machine.run("useradd", "--system", "--user-group", "--home-dir", "/var/lib/andon", "andon")
    program = machine.files / "opt/andon/bin/andon"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\nPYTHONPATH=/opt/source:/opt/packages PYTHONDONTWRITEBYTECODE=1 "
        f'exec {Path(sys.base_prefix) / "bin/python3"} -m andon "$@"\n'
    )
    program.chmod(0o755)
    shutil.copytree(UNITS, machine.files / "etc/systemd/system", dirs_exist_ok=True)
    machine.run("install", "-d", "-m", "0750", "-g", "andon", "/etc/andon")
    machine.run("systemctl", "daemon-reload")
    return machine
