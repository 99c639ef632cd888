"""DreamGUI in one command, on Linux, macOS and Windows, with nothing but Python installed.

python run.py            make .venv, install what is needed, open the app on the bundled demo model
python run.py setup      only the first part
python run.py test       checks and tests (arguments go to pytest)
python run.py demo       the whole job on the bundled demo, into ./dreamgui-demo
python run.py ANYTHING   python -m dreamgui ANYTHING, for instance: python run.py train --help
"""

import hashlib
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
ALONE = ["tests/e2e/test_dataset_corrected.py", "tests/e2e/test_page.py", "tests/ui/test_api.py"]
WINDOWS_CUDA_INDEX = "https://download.pytorch.org/whl/cu130"


def main(arguments: list[str]) -> int:
    """Set up if needed, then run what was asked for and return its exit code."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        print(f"DreamGUI needs Python 3.11 to 3.14; this is {sys.version.split()[0]} ({sys.executable}).")
        print("Install one of those from python.org and run this again with it.")
        return 2
    command, rest = (arguments[0], arguments[1:]) if arguments else ("app", [])
    set_up("requirements.txt", *(["requirements-dev.txt"] if command == "test" else []))
    if command == "setup":
        print("Everything is installed. Now: python run.py")
        return 0
    if command == "app":
        return call(str(ROOT / "app.py"), *rest)
    if command == "test":
        return call(str(ROOT / "scripts" / "check.py")) or (call("-m", "pytest", *rest) if rest else tests())
    return call("-m", "dreamgui", command, *rest)


def tests() -> int:
    """All tests: what drives a browser or holds answers against a clock alone, all others side by side."""
    others = [f"--ignore={name}" for name in ALONE]
    # One more than there are cores, as each waits at times.
    count = min(4, (os.cpu_count() or 1) + 1)
    side_by_side = ["-n", str(count), "--dist", "loadfile", *others]
    # One thread each: threads of several processes wait for each other's cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    first = call("-m", "pytest", "-q", *side_by_side)
    del os.environ["OMP_NUM_THREADS"]
    return call("-m", "pytest", "-q", *ALONE) or first


def set_up(*requirements: str) -> None:
    """Make .venv and install these files, unless just this was installed before."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in requirements)
    stamp = VENV / f"installed-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if stamp.exists() and PYTHON.exists():
        return
    if not PYTHON.exists():
        print("Making .venv ...", flush=True)
        venv.create(VENV, with_pip=True)
    print("Installing (the first time this takes minutes and about 3 GB) ...", flush=True)
    if os.name == "nt" and shutil.which("nvidia-smi"):
        # The package index has no CUDA build for Windows; PyTorch's own does.
        pip("torch", "torchvision", "--index-url", WINDOWS_CUDA_INDEX)
    pip(*(item for name in requirements for item in ("-r", str(ROOT / name))))
    # pip would do it on one core. A package may hold files for another Python: what fails is left as it is.
    library = str(VENV / ("Lib" if os.name == "nt" else "lib"))
    subprocess.run([str(PYTHON), "-m", "compileall", "-qq", "-j", "0", library], check=False)
    stamp.touch()


def pip(*arguments: str) -> None:
    """pip install; on failure say what to do and end."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += arguments
    if subprocess.run(command, check=False).returncode:
        print("The installation failed; the lines above say why. Often it is the network: try again.")
        sys.exit(1)


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
