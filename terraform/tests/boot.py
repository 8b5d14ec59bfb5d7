"""What hosts boot from: rendered by the real CLI, laid out as cloud-init would, and checked by what knows the formats."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import yaml

SIXTEEN_KIB = 16_384
TOP = {"users", "write_files", "runcmd"}
# Scripts and units in which nothing was found.
SOUND = set()
USES = re.compile(r"\$\{?((?:THRONG|FLEET)_[A-Z0-9_]+)")


def broken(user_data, root, sample):
    """Problems in the user data of one fleet, by role; the files are laid out below `root`."""
    names = set(re.findall(r"^([A-Z_0-9]+)=", sample, re.M))
    for role, text in user_data.items():
        where = Path(root) / role
        shutil.rmtree(where, ignore_errors=True)
        for problem in [*rendered(text, where), *environment(where, names), *scripts(where), *units(where)]:
            yield f"{role}: {problem}"


def rendered(text, where):
    """Lays the files out."""
    if not text.startswith("#cloud-config\n"):
        yield "user data that cloud-init won't read"
        return
    packed = len(gzip.compress(text.encode()))
    if packed > SIXTEEN_KIB:
        yield f"{packed} bytes packed, more than {SIXTEEN_KIB}"
    config = yaml.safe_load(text)
    if set(config) != TOP:
        yield f"user data has {sorted(config)}, not {sorted(TOP)}"
    for file in config["write_files"]:
        path = where / file["path"].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"])
        path.chmod(int(file["permissions"], 8))
    started = next(c for c in config["runcmd"] if c[:2] == ["systemctl", "enable"])[4:]
    for unit in started:
        if not (where / "etc/systemd/system" / unit).exists():
            yield f"starts {unit}, which it hasn't got"
    schema = shutil.which("cloud-init")
    if schema:
        (where / "user-data").write_text(text)
        said = call(schema, "schema", "--config-file", where / "user-data")
        if said.returncode:
            yield f"cloud-init: {said.stdout}{said.stderr}"


def environment(where, names):
    """The fleet's variables are those of the sample, no more and no fewer, and whatever is used is there."""
    text = (where / "etc/throng/throng.env").read_text()
    given = set(re.findall(r"^([A-Z_0-9]+)=", text, re.M))
    if given != names:
        yield f"throng.env and deploy/hosts/throng.env differ in {sorted(given ^ names)}"
    own = set(re.findall(r'"?((?:THRONG|FLEET)_[A-Z]+)=', (where / "usr/local/lib/throng/throng-host").read_text()))
    for file in where.rglob("*"):
        if file.is_file() and ("/systemd/" in str(file) or "/lib/throng/" in str(file)):
            for name in set(USES.findall(file.read_text())) - given - own:
                yield f"{file.name} uses {name}, which nothing sets"


def scripts(where):
    """Scripts that a shell understands; what is the same on many hosts is looked at once."""
    for script in sorted((where / "usr/local/lib/throng").iterdir()):
        if script.read_text() in SOUND:
            continue
        good = True
        checks = [("bash", "-n"), ("shellcheck", "--severity=warning")]
        for check in (c for c in checks if shutil.which(c[0])):
            said = call(*check, script)
            if said.returncode:
                good = False
                yield f"{script.name}: {said.stdout.strip()}{said.stderr.strip()}"
        if good:
            SOUND.add(script.read_text())


def units(where):
    """Units that systemd understands: with every program that they start in its place."""
    verify = shutil.which("systemd-analyze")
    directory = where / "etc/systemd/system"
    if not verify:
        return
    whole = "".join(unit.read_text() for unit in sorted(directory.iterdir()))
    if whole in SOUND:
        return
    for unit in directory.iterdir():
        # Programs are looked for where they will be; here, that is another root.
        text = re.sub(r"^(Exec\w+=)(/usr/local/\S+)", r"\1/bin/true", unit.read_text(), flags=re.M)
        (where / "verify").mkdir(exist_ok=True)
        (where / "verify" / unit.name).write_text(text)
    files = sorted((where / "verify").iterdir())
    said = call(verify, "verify", "--man=no", "--recursive-errors=no", *files)
    noise = re.compile(r"^\s*$|User '?throng|Unit systemd-|/lib/systemd/|/etc/systemd/")
    wrong = [line for line in said.stderr.splitlines() if any(f.name in line for f in files) and not noise.search(line)]
    if not wrong:
        SOUND.add(whole)
    for line in wrong:
        yield line.replace(f"{where}/verify/", "")


def call(*command):
    """A program that ends by itself."""
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, check=False)
