"""The real CLI in a copy of the tree, with the stand-in as its AWS provider."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "6.25.0"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WITHIN = 120


class Failed(Exception):
    """A command ended with an error; its words are the message."""


def prepare(work, wheel):
    """Makes schemas, the provider's mirror and the CLI's configuration below `work`."""
    wanted = sorted(
        {
            ("data:" if kind == "data" else "resource:") + name
            for file in (ROOT / "terraform").rglob("*.tf")
            for kind, name in re.findall(r'^(resource|data) +"(aws_\w+)"', file.read_text(), re.M)
        }
    )
    schemas = work / "schemas.json"
    said = subprocess.run([sys.executable, HERE / "standin/typings.py", wheel, schemas, *wanted], check=False)
    if said.returncode:
        raise Failed("the schemas could not be read out of the typings")
    plugin = work / f"mirror/registry.terraform.io/hashicorp/aws/{VERSION}/linux_amd64/terraform-provider-aws_v{VERSION}"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE}/standin/main.py" "{schemas}"\n')
    plugin.chmod(0o755)
    mirror = f'provider_installation {{\n  filesystem_mirror {{\n    path = "{work}/mirror"\n  }}\n}}\n'
    (work / "terraformrc").write_text(mirror + "disable_checkpoint = true\n")
    (work / "throng").write_text("a binary\n")
    return len(json.loads(schemas.read_text())["resource"])


class Server:
    """One stand-in for many commands, since starting one takes longer than most commands do."""

    def __init__(self, work, number):
        self.cloud = work / f"cloud-{number}.json"
        environment = {**os.environ, "STANDIN_CLOUD": str(self.cloud), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, HERE / "standin/main.py", work / "schemas.json", "--dev"]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        line = next(line for line in self.process.stdout if "TF_REATTACH_PROVIDERS=" in line)
        self.attach = line.split("=", 1)[1].strip().strip("'")

    def stop(self):
        """Ends it."""
        self.process.kill()
        self.process.wait()


class Tree:
    """A copy of what the modules are made of, and commands in one of its directories. Its provider is installed and
    started by the CLI, or a server that is there already."""

    def __init__(self, work, name, example, server=None):
        self.work = work
        self.server = server
        self.root = work / "trees" / name
        shutil.rmtree(self.root, ignore_errors=True)
        ignore = shutil.ignore_patterns(".terraform*", "*.tfstate*", "tests", "__pycache__")
        for part in ("terraform", "deploy"):
            shutil.copytree(ROOT / part, self.root / part, ignore=ignore)
        self.here = self.root / "terraform/examples" / example
        self.cloud = server.cloud if server else self.root / "cloud.json"
        self.cloud.unlink(missing_ok=True)

    def mutate(self, file, old, new):
        """Changes one place of one file; what isn't there exactly once is a mutation that tests nothing."""
        path = self.root / file
        text = path.read_text()
        if text.count(old) != 1:
            raise Failed(f"{file} has {text.count(old)} places with {old!r}: mend the mutation")
        path.write_text(text.replace(old, new))

    def run(self, *arguments):
        """What a command says on stdout, or an exception with what it says on stderr."""
        needs = arguments[0] in ("plan", "destroy") or arguments[:2] == ("apply", "-auto-approve")
        values = [f"-var=throng_binary={self.work}/throng", '-var=budget_emails=["you@example.com"]'] if needs else []
        plain = [] if arguments[0] in ("fmt", "show", "output", "version") else ["-no-color"]
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("TF_", "AWS_"))},
            "TF_CLI_CONFIG_FILE": str(self.work / "terraformrc"),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "STANDIN_CLOUD": str(self.cloud),
            "HOME": str(self.work),
            **({"TF_REATTACH_PROVIDERS": self.server.attach} if self.server else {}),
        }
        command = ["terraform", *arguments, *plain, *values]
        ran = subprocess.run(
            command, cwd=self.here, env=environment, capture_output=True, text=True, timeout=WITHIN, check=False
        )
        if ran.returncode:
            words = re.sub(r"^[│╷╵ ]+", "", ran.stderr + ("" if ran.stderr else ran.stdout), flags=re.M)
            raise Failed(f"terraform {' '.join(arguments)}: {words.strip()}")
        return ran.stdout

    def things(self):
        """What there is in the cloud."""
        return json.loads(self.cloud.read_text() or "[]") if self.cloud.exists() else []
