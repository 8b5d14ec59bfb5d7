"""Checks terraform/ with the real CLI: `run.py WORK WHEEL`. Prints a line for each thing that isn't right, and one that sums
up at the end."""

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from pathlib import Path

import boot
import costs
import promises
import yaml
from cli import HERE, ROOT, Failed, Server, Tree, prepare

EXAMPLES = ["smoke", "100k", "5m"]
AT_ONCE = 2
WITHIN = 120
SAMPLE = (ROOT / "deploy/hosts/throng.env").read_text()


def example(work, name):
    """From nothing to a fleet and back: everything that can be made is made, twice is once, and nothing is left."""
    tree = Tree(work, name, name)
    tree.run("init")
    tree.run("validate")
    tree.run("plan", "-out=plan")
    tree.run("apply", "plan")
    made = len(tree.things())
    found = [*promised(tree), *costs.broken(name, tree.things(), ROOT)]
    if "No changes." not in tree.run("plan"):
        found.append("a second plan wants to change something")
    tree.run("destroy", "-auto-approve")
    found += [f"left behind by destroy: {t['kind']} {t['id']}" for t in tree.things()]
    return [f"examples/{name}: {f}" for f in found], made


def promised(tree):
    """What isn't as promised of a fleet that was made."""
    user_data = json.loads(tree.run("output", "-json", "user_data"))
    found = [*promises.broken(tree.things()), *boot.broken(user_data, tree.root / "hosts", SAMPLE)]
    state = (tree.here / "terraform.tfstate").read_text()
    return found + (["a value of a secret parameter in the state"] if '"SecureString"' in state else [])


def mutant(work, servers, stage, number, mistake):
    """Whether a mistake is found where it should be."""
    what = f"{stage}: {mistake['is']}"
    if "needs" in mistake and not shutil.which(mistake["needs"]):
        return f"SKIPPED, since there is no {mistake['needs']} here: {what}"
    server = servers.get(timeout=WITHIN)
    try:
        tree = Tree(work, f"{stage}-{number}", mistake.get("example", "smoke"), server)
        tree.mutate(f"terraform/{mistake['file']}", mistake["old"], mistake["new"])
        found = finding(tree, stage)
    except Failed as failed:
        found = str(failed)
    finally:
        servers.put(server)
    shutil.rmtree(work / "trees" / f"{stage}-{number}", ignore_errors=True)
    words = " ".join(found.split())
    if mistake["says"] in words:
        return None
    return f"NOT FOUND: {what}: expected {mistake['says']!r} in: {words[:400] or 'nothing'}"


def finding(tree, stage):
    """What the step finds that must, or an exception with that."""
    if stage == "fmt":
        tree.here = tree.root / "terraform"
        return tree.run("fmt", "-check", "-recursive")
    tree.run("init")
    if stage in ("validate", "plan"):
        tree.run(stage)
        return ""
    tree.run("apply", "-auto-approve")
    return "; ".join(promised(tree)) if stage == "promises" else ""


def guarded(work, *arguments):
    """A check whose own failure is a problem like any other."""
    try:
        return work(*arguments)
    except (Failed, OSError, KeyError, ValueError) as failed:
        return f"{arguments[1:2]}: {failed}"


def main(work, wheel):
    """Runs everything."""
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    kinds = prepare(work, wheel)
    problems = []
    running = [Server(work, n) for n in range(AT_ONCE)]
    servers = Queue()
    for server in running:
        servers.put(server)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        fleets = [pool.submit(guarded, example, work, name) for name in EXAMPLES]
        mistakes = yaml.safe_load((HERE / "mutations.yaml").read_text())
        listed = [(stage, n, m) for stage, some in mistakes.items() for n, m in enumerate(some)]
        mutants = [pool.submit(guarded, mutant, work, servers, *one) for one in listed]
    for server in running:
        server.stop()
    formatted = Tree(work, "fmt", "smoke")
    formatted.here = formatted.root / "terraform"
    untidy = guarded(lambda _: formatted.run("fmt", "-check", "-recursive"), work)
    problems += [untidy] if untidy else []
    made = 0
    for fleet in (f.result() for f in fleets):
        problems += [fleet] if isinstance(fleet, str) else fleet[0]
        made += 0 if isinstance(fleet, str) else fleet[1]
    said = [m.result() for m in mutants if m.result()]
    problems += [s for s in said if not s.startswith("SKIPPED")]
    for line in problems + [s for s in said if s.startswith("SKIPPED")]:
        print(line)
    if problems:
        sys.exit(f"{len(problems)} problems")
    print(f"{len(EXAMPLES)} fleets made of {made} resources of {kinds} kinds and destroyed; {len(mutants)} mistakes found")


if __name__ == "__main__":
    main(*sys.argv[1:])
