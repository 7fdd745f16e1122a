"""Check whether this machine can run Titleholder. One message per problem, with its remedy, before anything starts.

Standard library only, and no syntax newer than Python 3.6: it must run on an old Python to report that it is too old.

    python3 titleholder/preflight.py --ports 8080,5000,8000 --memory-gb 6 --disk-gb 6
"""

import argparse
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Iterable, List, Mapping, Optional, Tuple

OLDEST_PYTHON, FIRST_UNTESTED_PYTHON = (3, 11), (3, 14)  # what requirements.txt was resolved for
OLDEST_JAVA = 17  # what Spark 4 runs on
INSTALL_JAVA = "Install it (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME."
GIB = 1024.0**3


def check(
    ports: Iterable[int] = (),
    memory_gb: float = 0.0,
    disk_gb: float = 0.0,
    folder: Optional[Path] = None,
    environment: Optional[Mapping[str, str]] = None,
) -> List[str]:
    """All problems of this machine as messages; empty if it can run Titleholder.

    Parameters
    ----------
    ports : ports that must be free on loopback.
    memory_gb, disk_gb : GiB that must be available; of the disk that holds `folder` (default: this project).
    environment : the source of JAVA_HOME and PATH (default: the environment of this process).
    """
    faults = check_python() + check_java(os.environ if environment is None else environment)
    faults += check_memory(memory_gb) + check_disk(disk_gb, folder or Path(__file__).resolve().parent)
    for port in ports:
        faults += check_port(port)
    return faults


def check_python(version: Tuple[int, ...] = sys.version_info[:3]) -> List[str]:
    """Whether requirements.txt was resolved for the interpreter, and it can create virtual environments."""
    allowed = "Python {}.{} to {}.{}".format(*OLDEST_PYTHON, FIRST_UNTESTED_PYTHON[0], FIRST_UNTESTED_PYTHON[1] - 1)
    if not OLDEST_PYTHON <= tuple(version[:2]) < FIRST_UNTESTED_PYTHON:
        found = ".".join(str(part) for part in version[:3])
        return [
            f"{allowed} is required; this is {found} ({sys.executable}). "
            "Install one (Debian 12: apt-get install python3.11 python3.11-venv) and name it: make setup PYTHON=python3.11."
        ]
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        package = "python{}.{}-venv".format(*version[:2])
        return [f"{sys.executable} has no {' and no '.join(missing)}. Install it (Debian: apt-get install {package})."]
    return []


def check_java(environment: Mapping[str, str]) -> List[str]:
    """Whether Java is 17 or newer where Spark searches for it: JAVA_HOME first, then the PATH."""
    home = environment.get("JAVA_HOME", "")
    if home:
        java = str(Path(home) / "bin" / "java")
        where = f"JAVA_HOME={home}"
        if not os.access(java, os.X_OK):
            return [
                f"Java {OLDEST_JAVA} or newer is required for Spark; {where} has no bin/java. Correct JAVA_HOME or unset it."
            ]
    else:
        java = shutil.which("java", path=environment.get("PATH", "")) or ""
        where = java
        if not java:
            return [f"Java {OLDEST_JAVA} or newer is required for Spark; found none. {INSTALL_JAVA}"]
    try:
        answer = subprocess.run([java, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
        text = answer.stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        text = str(error)
    version = parse_java_version(text)
    if version is None:
        output = (text.strip().splitlines() or ["nothing"])[0]
        return [f"Java {OLDEST_JAVA} or newer is required for Spark; {where} printed no version but: {output}. {INSTALL_JAVA}"]
    if version < OLDEST_JAVA:
        return [f"Java {OLDEST_JAVA} or newer is required for Spark; {where} is Java {version}. {INSTALL_JAVA}"]
    return []


def parse_java_version(text: str) -> Optional[int]:
    """The major version in what `java -version` prints: 8 for "1.8.0_392", 17 for "17.0.15"; None if there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def check_memory(wanted_gb: float) -> List[str]:
    """Whether processes can get so much memory. A machine that does not report its memory passes."""
    available = _available_memory()
    if available is not None and available < wanted_gb * GIB:
        return [
            f"{wanted_gb:g} GiB of free memory are required; {available / GIB:.1f} GiB are available. "
            "End other programs, or run on a larger machine."
        ]
    return []


def _available_memory() -> Optional[float]:
    amounts = []
    try:
        meminfo = Path("/proc/meminfo").read_text()
        amounts.append(float(meminfo.split("MemAvailable:")[1].split()[0]) * 1024)
    except (OSError, IndexError):
        try:
            amounts.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))  # macOS reports only its total
        except (OSError, ValueError, AttributeError):
            return None
    try:  # a container may have a lower limit than the machine
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            amounts.append(float(limit) - float((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return min(amounts)


def check_disk(wanted_gb: float, folder: Path) -> List[str]:
    """Whether the disk that holds a folder, or will hold it, has so much free space."""
    folder = folder.resolve()
    there = next(place for place in [folder, *folder.parents] if place.exists())
    free = shutil.disk_usage(str(there)).free
    if free < wanted_gb * GIB:
        return [
            f"{wanted_gb:g} GiB of free disk are required at {there}; {free / GIB:.1f} GiB are free. Free some space there."
        ]
    return []


def check_port(port: int) -> List[str]:
    """Whether a loopback port is free, and this user may listen on it."""
    remedy = (
        f"Stop the program that listens there (`make down` if it is an earlier run; `ss -ltnp 'sport = :{port}'` shows it)."
    )
    with socket.socket() as client:
        client.settimeout(1.0)
        if client.connect_ex(("127.0.0.1", port)) == 0:
            return [f"Port {port} on 127.0.0.1 is in use. {remedy}"]
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a lingering connection is no listener
        try:
            server.bind(("127.0.0.1", port))
        except OSError as error:
            return [f"Port {port} on 127.0.0.1 cannot be used ({error.strerror}). {remedy}"]
    return []


def _ports(text: str) -> List[int]:
    try:
        ports = [int(part) for part in text.split(",") if part]
    except ValueError:
        ports = [0]
    if any(not 0 < port < 65536 for port in ports):
        raise argparse.ArgumentTypeError(f"expected ports from 1 to 65535, joined by commas, got {text!r}")
    return ports


def main(arguments: Optional[List[str]] = None) -> int:
    """The command. Returns 0 without output if all checks pass, else 1 with one line per problem on standard error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ports", type=_ports, default=[], help="ports that must be free on loopback, e.g. 8080,5000,8000")
    parser.add_argument("--memory-gb", type=float, default=0.0, help="GiB of memory that must be available")
    parser.add_argument("--disk-gb", type=float, default=0.0, help="GiB that must be free on the disk of the project")
    options = parser.parse_args(arguments)
    faults = check(options.ports, options.memory_gb, options.disk_gb)
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
