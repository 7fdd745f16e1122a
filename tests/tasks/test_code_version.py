"""The version of the code: what differs from the commit changes it, and so does every file that a module can call."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tasks import code_version
from tasks.code_version import describe_checkout, digest_modules, find_modules, get_code_version, identify_code
from tasks.settings import ROOT, get_settings


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository: one module of the code, one use case, and one document."""
    root = tmp_path / "checkout"
    for name, text in {
        "tasks/model.py": "A = 1\n",
        "conf/use_cases/shop.yaml": "name: shop\n",
        "docs/text.md": "text\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / ".gitignore").write_text("var/\n__pycache__/\n")
    for arguments in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    return root


def test_each_uncommitted_state_has_its_own_version(checkout: Path) -> None:
    clean = describe_checkout(checkout)
    assert len(clean) == 12
    (checkout / "tasks/model.py").write_text("A = 2\n")
    first = describe_checkout(checkout)
    (checkout / "tasks/model.py").write_text("A = 3\n")
    second = describe_checkout(checkout)
    assert first.startswith(f"{clean}-dirty-") and second.startswith(f"{clean}-dirty-") and first != second
    (checkout / "tasks/model.py").write_text("A = 2\n")
    assert describe_checkout(checkout) == first, "the same edit is the same version"
    subprocess.run(["git", "add", "."], cwd=checkout, check=True)
    assert describe_checkout(checkout) == first, "whether it is staged decides nothing"


def test_files_that_git_does_not_know_count_where_they_decide(checkout: Path) -> None:
    clean = describe_checkout(checkout)
    use_case = checkout / "conf/use_cases/new.yaml"
    use_case.write_text("name: new\n")
    first = describe_checkout(checkout)
    use_case.write_text("name: new\nseed: 8\n")
    second = describe_checkout(checkout)
    assert len({clean, first, second}) == 3
    use_case.rename(use_case.with_name("newer.yaml"))
    assert describe_checkout(checkout) not in {clean, first, second}
    use_case.with_name("newer.yaml").unlink()
    for name in ("notes.txt", "var/data.parquet", "tasks/__pycache__/model.pyc"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("no code")
    assert describe_checkout(checkout) == clean


def test_outside_a_checkout_the_files_are_the_version(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(checkout / ".git")
    assert describe_checkout(checkout) == ""
    monkeypatch.setattr(code_version, "ROOT", checkout)
    versions = []
    for text in ("A = 1\n", "A = 2\n", "A = 1\n"):
        (checkout / "tasks/model.py").write_text(text)
        get_code_version.cache_clear()
        versions.append(get_code_version())
    assert versions[0] == versions[2] != versions[1] and versions[0].startswith("files-")


def test_a_folder_in_the_checkout_of_another_project_is_no_checkout(checkout: Path) -> None:
    """An installed package lies in the environment of whoever uses it, which may be under version control."""
    installed = checkout / "var" / "site-packages"
    (installed / "tasks").mkdir(parents=True)
    (installed / "tasks" / "model.py").write_text("A = 1\n")
    assert describe_checkout(installed) == ""


def test_lock_and_packages_are_in_the_identity(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_version, "ROOT", checkout)
    monkeypatch.setenv("TITLEHOLDER_CODE_VERSION", "v1")
    get_settings.cache_clear()
    found = []
    for lock, packages in (("numpy==1\n", ["numpy-1"]), ("numpy==2\n", ["numpy-1"]), ("numpy==2\n", ["numpy-2"])):
        (checkout / "requirements.txt").write_text(lock)
        monkeypatch.setattr(code_version, "_list_packages", lambda packages=packages: packages)
        for cached in (get_code_version, identify_code):
            cached.cache_clear()
        assert get_code_version() == "v1"
        found.append(identify_code())
    assert len(set(found)) == 3
    monkeypatch.undo()
    assert any(name.startswith("numpy-") for name in code_version._list_packages())


def test_the_modules_of_a_stage_are_all_that_it_can_call() -> None:
    features = find_modules("tasks.stages.features")
    assert {"tasks.columns", "tasks.io.history", "tasks.problems.ranking", "tasks.io.sums"} <= set(features)
    assert not [name for name in features if name.startswith(("tasks.stages.training", "tasks.jobs", "dags"))]
    assert {path.is_file() for path in features.values()} == {True}


def test_an_edit_of_a_called_module_changes_the_digest_of_its_caller(tmp_path: Path) -> None:
    files = {
        "tasks/__init__.py": "",
        "tasks/stage/__init__.py": "from tasks.stage.inner import f\n",
        "tasks/stage/inner.py": "def f():\n    from tasks.lib import helper\n    import tasks.other\n",
        "tasks/stage/unused.py": "B = 1\n",
        "tasks/lib/__init__.py": "LISTS = 'what is here'\n",
        "tasks/lib/helper.py": "C = 1\n",
        "tasks/other.py": "D = 1\n",
        "tasks/stranger.py": "E = 1\n",
    }

    def digest(changed: str = "") -> str:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text + ("# changed\n" if name == changed else ""))
        digest_modules.cache_clear()
        return digest_modules("tasks.stage", tmp_path)

    plain = digest()
    assert plain == digest()
    deciding = {name for name in files if digest(name) != plain}
    assert deciding == set(files) - {"tasks/__init__.py", "tasks/stranger.py"}
    with pytest.raises(ModuleNotFoundError, match=r"no module tasks\.absent"):
        digest_modules("tasks.absent", tmp_path)
    digest_modules.cache_clear()


def test_the_running_code_has_a_version() -> None:
    assert get_code_version() == get_code_version() != "unknown"
    assert describe_checkout(ROOT) in ("", get_code_version())
