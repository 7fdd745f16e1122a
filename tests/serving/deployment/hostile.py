"""Exported models that run code or fill the memory if a careless loader reads them. Run as a process of its own.

Each export has a valid manifest and digest, as an attacker with write access to the registry could make it: the loader must
refuse it, not the digest. An audit hook records what is unpickled, compiled or executed meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models import SERVED
from tasks.models.base import MANIFEST, load_model, save_model
from tasks.models.prior import PriorModel

TERMS = ScoringTerms(use_case="shop", task=TaskKind.CLASSIFICATION, row_columns=("x",))
WATCHED = ("pickle.find_class", "os.system", "os.exec", "subprocess.Popen", "exec", "ctypes.dlopen")
INSTALLED = (sys.base_prefix, sys.prefix, str(Path(np.__file__).parents[1]), "<frozen ")


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def stored(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def compressed_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("weights.npy", "w") as member:
        member.write(npy(np.zeros(1))[:-8].replace(b"(1,)  ", b"(9**9,)"))
        for _ in range(2000):
            member.write(bytes(2**20))
    return buffer.getvalue()


def lying_header() -> bytes:
    header = npy(np.zeros(1)).replace(b"'shape': (1,)", b"'shape': (9999999999999,)", 1)
    return stored(**{"weights.npy": header})


def write(folder: Path, name: str, mark: Path) -> None:  # noqa: C901, PLR0912  # one branch for each way to be hostile
    """Turn an export into a hostile one."""
    payload = pickle.dumps(Payload(mark))
    document = json.loads((folder / "model.json").read_text())
    array, model = folder / "arrays.npz", folder / "model.json"
    match name:
        case "a pickle for the arrays":
            array.write_bytes(payload)
        case "a pickled object inside the arrays":
            array.write_bytes(stored(**{"weights.npy": npy(np.array([Payload(mark)], dtype=object))}))
        case "cloudpickle beside them":
            (folder / "python_model.pkl").write_bytes(payload)
        case "joblib for the arrays":
            array.write_bytes(b"\x80\x04" + payload)
        case "a loader_module with code":
            (folder / "MLmodel").write_text("flavors: {python_function: {loader_module: evil}}")
            (folder / "evil.py").write_text(f"import os; os.system('touch {mark}')")
        case "pickled_model: ../":
            (folder.parent / "outside.pkl").write_bytes(payload)
            model.write_text(json.dumps({**document, "pickled_model": "../outside.pkl", "kind": "../outside"}))
        case "a symlink out of the folder":
            (folder.parent / "outside.npz").write_bytes(array.read_bytes())
            array.unlink()
            array.symlink_to(folder.parent / "outside.npz")
        case "zip-slip":
            array.write_bytes(stored(**{"../../slipped.npy": npy(np.zeros(1)), "x.npy": payload}))
        case "YAML tags":
            model.write_text(f"!!python/object/apply:os.system ['touch {mark}']")
        case "ONNX with its data outside":
            (folder / "model.onnx").write_bytes(b"\x08\x07location../../etc/passwd")
            model.write_text(json.dumps({**document, "kind": "onnx", "settings": {"external_data": "../../../etc/passwd"}}))
        case "a compressed bomb":
            array.write_bytes(compressed_bomb())
        case "a header that lies about its size":
            array.write_bytes(lying_header())
        case "JSON without end":
            model.write_text('{"kind": ' + "[" * 200_000)
        case "code as a kind":
            model.write_text(json.dumps({**document, "kind": f"__import__('os').system('touch {mark}')"}))
        case "a state that is no number":
            model.write_text(json.dumps({**document, "settings": {"share": {"__class__": "os.system"}}}))


NAMES = (
    "a pickle for the arrays",
    "a pickled object inside the arrays",
    "cloudpickle beside them",
    "joblib for the arrays",
    "a loader_module with code",
    "pickled_model: ../",
    "a symlink out of the folder",
    "zip-slip",
    "YAML tags",
    "ONNX with its data outside",
    "a compressed bomb",
    "a header that lies about its size",
    "JSON without end",
    "code as a kind",
    "a state that is no number",
)
DIGESTED_OUTSIDE = {"cloudpickle beside them"}  # beside the manifest, not in it


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(root: Path) -> None:
    """Load each export and print as JSON: refused or loaded, files that payloads created, recorded events, peak memory."""
    import resource

    seen: list[str] = []
    watching = [False]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching[0] and event in WATCHED:
            file = getattr(arguments[0], "co_filename", "") if arguments else ""
            if not file.startswith(INSTALLED):  # a late import of an installed library is harmless
                seen.append(f"{event} {arguments[:1]!r:.200}")

    sys.addaudithook(hook)
    save_model(PriorModel(0.5), root / "warm", TERMS)
    load_model(root / "warm", digest(root / "warm" / MANIFEST), SERVED)  # imports what a valid load imports
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
    outcomes: dict[str, str] = {}
    for place, name in enumerate(NAMES):
        folder = root / str(place) / "native"
        folder.parent.mkdir()
        save_model(PriorModel(0.5), folder, TERMS)
        write(folder, name, root / "MARK")
        files = {path.name: digest(path) for path in folder.iterdir() if path.name != MANIFEST}
        if name in DIGESTED_OUTSIDE:
            files.pop("python_model.pkl")
        (folder / MANIFEST).write_text(json.dumps({"files": files}))
        watching[0] = True
        for mapped in (True, False):
            try:
                load_model(folder, digest(folder / MANIFEST), SERVED, mapped=mapped)
                outcomes[name] = "loaded"
            except Exception as error:
                outcomes.setdefault(name, type(error).__name__)
        watching[0] = False
    watching[0] = True
    pickle.loads(pickle.dumps(Path()))  # noqa: S301  proves that the hook works
    watching[0] = False
    noticed = [event for event in seen if "pickle.find_class" in event]
    found = {
        "outcomes": outcomes,
        "seen": [event for event in seen if event not in noticed[-1:]],
        "hook_works": bool(noticed),
        "marks": [path.name for path in root.rglob("MARK")] + [path.name for path in root.parent.glob("slipped*")],
        "peak_mb": peak_mb(),
    }
    sys.stdout.write(json.dumps(found))


def peak_mb() -> float:
    """Peak memory of this process. `getrusage` would include that of its parent before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
