"""DreamGUI in one command, on Linux, macOS and Windows, with nothing but Python installed.

python run.py            make .venv, install what is needed, open the app on the bundled demo model
python run.py --port N   the same with options of the app: --host, --port, --share, --login, --quiet
python run.py setup      only install
python run.py update     fetch the newest version (git), install what changed, say what is new
python run.py test       checks and tests (arguments go to pytest)
python run.py demo       the whole job on the bundled demo, into ./dreamgui-demo
python run.py ANYTHING   python -m dreamgui ANYTHING, for instance: python run.py train --help
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST, NEWEST = (3, 11), (3, 14)
ASK_A_SERVER, TESTS_FAILED = ("tests/e2e/", "tests/threats/", "tests/ui/"), 1
WINDOWS_CUDA_INDEX = "https://download.pytorch.org/whl/cu130"
REQUIREMENTS, FOR_TESTS = "requirements.txt", "requirements-dev.txt"
LOCK, LOCK_FOR_TESTS = "requirements.lock", "requirements-dev.lock"


def main(arguments: list[str]) -> int:
    """Set up if needed, then run what was asked for and return its exit code."""
    if arguments[:1] in (["-h"], ["--help"], ["help"]):
        print(__doc__)
        return 0
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        print(f"DreamGUI needs Python 3.11 to 3.14; this is {sys.version.split()[0]} ({sys.executable}).")
        print("Install one of those from python.org and run this again with it.")
        return 2
    command, rest = divided(arguments)
    if command == "update":
        return update()
    set_up(REQUIREMENTS, *([FOR_TESTS] if command == "test" else []))
    if command == "setup":
        print("Everything is installed. Now: python run.py")
        return 0
    if command == "app":
        return call(str(ROOT / "app.py"), *rest)
    if command == "test":
        return call(str(ROOT / "scripts" / "check.py")) or (call("-m", "pytest", *rest) if rest else tests())
    return call("-m", "dreamgui", command, *rest)


def divided(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the command and its arguments; options alone are the app's, but --home is for all commands."""
    if not arguments or (arguments[0].startswith("-") and arguments[0].partition("=")[0] != "--home"):
        return "app", arguments
    return arguments[0], arguments[1:]


def tests() -> int:
    """All tests, side by side in a few processes; files that ask a running page and fail there once more, alone."""
    # One more than there are cores, as each waits at times.
    count = min(4, (os.cpu_count() or 1) + 1)
    # In the order of tests/conftest.py, which begins with the longest files.
    side_by_side = ["-n", str(count), "--dist", "loadfile", "--no-loadscope-reorder"]
    # One thread each: threads of several processes wait for each other's cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    first = call("-m", "pytest", "-q", *side_by_side)
    again = files_to_repeat() if first == TESTS_FAILED else []
    if not again:
        return first
    print("Only tests that ask a running page failed. Alone they must hold:", *again, flush=True)
    return call("-m", "pytest", "-q", *again)


def files_to_repeat() -> list[str]:
    """Return the files of the failed tests where all of them ask a running page, which busy processes can make late."""
    kept = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
    failed = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    files = sorted({name.partition("::")[0] for name in failed})
    return files if all(name.startswith(ASK_A_SERVER) for name in files) else []


def update() -> int:
    """Fetch the newest version, install what its requirements add, and print what CHANGELOG.md says of it.

    Returns:
        0, or 1 where git can't bring this copy forward; its own message is printed.
    """
    if not shutil.which("git") or not (ROOT / ".git").exists():
        print("This copy of DreamGUI wasn't made by git clone, or git isn't installed: it can't be updated.")
        print("Download the newest version. Your models, datasets and runs lie elsewhere and stay.")
        return 1
    before = git("rev-parse", "HEAD")
    if subprocess.run(["git", "pull", "--ff-only"], cwd=ROOT, check=False).returncode:
        print(
            "Nothing was changed; the lines above say why. Files that you changed yourself can be the reason:"
        )
        print("put them aside with 'git stash', update, and take them back with 'git stash pop'.")
        return 1
    after = git("rev-parse", "HEAD")
    print(whats_new(before, after) if after != before else "This is the newest version.", flush=True)
    # The new version's own file installs, with its own requirements.
    return subprocess.run([sys.executable, str(ROOT / "run.py"), "setup"], cwd=ROOT, check=False).returncode


def whats_new(before: str, after: str) -> str:
    """Return the lines that CHANGELOG.md got between two commits."""
    lines = git("diff", "--unified=0", before, after, "--", "CHANGELOG.md").splitlines()
    added = [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]
    return "\n".join(["What changed:", *added]) if any(added) else "Small changes only."


def git(*arguments: str) -> str:
    """Return what git prints in the project's folder."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, encoding="utf-8")
    return done.stdout.strip()


def set_up(*requirements: str) -> None:
    """Make .venv and install these files, unless just this was installed before."""
    lock = ROOT / (LOCK_FOR_TESTS if FOR_TESTS in requirements else LOCK)
    files = [ROOT / name for name in requirements] + [lock] * lock.exists()
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    stamp = VENV / f"installed-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if stamp.exists() and PYTHON.exists():
        return
    if not PYTHON.exists():
        make_venv()
    print("Installing (the first time this takes minutes and about 3 GB) ...", flush=True)
    if not install_locked(lock):
        install_newest(requirements)
    # pip would do it on one core. A package may hold files for another Python: what fails is left as it is.
    library = str(VENV / ("Lib" if os.name == "nt" else "lib"))
    subprocess.run([str(PYTHON), "-m", "compileall", "-qq", "-j", "0", library], check=False)
    stamp.touch()


def install_locked(lock: Path) -> bool:
    """Install a lock's versions, each file checked by its hash; return False where that can't be.

    Windows with an NVIDIA GPU needs PyTorch from another index, whose files have other hashes.
    """
    if not lock.exists() or os.environ.get("DREAMGUI_UNLOCKED") or needs_cuda_index():
        return False
    if not subprocess.run([*installers()[0], "--require-hashes", "-r", str(lock)], check=False).returncode:
        return True
    print("The locked versions can't be installed here (see above): trying the newest that fit.", flush=True)
    return False


def install_newest(requirements: tuple[str, ...]) -> None:
    """Install the newest versions that the requirements allow; on failure say what to do and end."""
    if needs_cuda_index():
        install("torch", "torchvision", "--index-url", WINDOWS_CUDA_INDEX)
    install(*(item for name in requirements for item in ("-r", str(ROOT / name))))


def needs_cuda_index() -> bool:
    """Return whether PyTorch comes from its own index: the package index has no CUDA build for Windows."""
    return os.name == "nt" and bool(shutil.which("nvidia-smi"))


def make_venv() -> None:
    """Make .venv with pip in it; where this Python has none to give (Debian), by uv; else say what to do and end."""
    print("Making .venv ...", flush=True)
    try:
        venv.create(VENV, with_pip=True)
        return
    except (OSError, subprocess.CalledProcessError):
        shutil.rmtree(VENV, ignore_errors=True)
    uv = shutil.which("uv")
    if (
        uv
        and not subprocess.run(
            [uv, "venv", "--quiet", "--python", sys.executable, str(VENV)], check=False
        ).returncode
    ):
        return
    print(
        "This Python can't make .venv. On Debian and Ubuntu: apt-get install python3-venv, then run this again."
    )
    sys.exit(1)


def install(*arguments: str) -> None:
    """Install packages by uv where it is there, as it is faster, else by pip; on failure say what to do and end."""
    if any(not subprocess.run([*way, *arguments], check=False).returncode for way in installers()):
        return
    print("The installation failed; the lines above say why. Often it is the network: try again.")
    sys.exit(1)


def installers() -> list[list[str]]:
    """Return the beginnings of the commands that install into .venv, the first choice first."""
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    uv = shutil.which("uv")
    return [[uv, "pip", "install", "--quiet", "--python", str(PYTHON)], pip] if uv else [pip]


def call(*arguments: str) -> int:
    """Run .venv's Python in the project's folder; Ctrl-C is the child's to handle."""
    process = subprocess.Popen([str(PYTHON), *arguments], env={**os.environ, "PYTHONPATH": str(ROOT)})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
