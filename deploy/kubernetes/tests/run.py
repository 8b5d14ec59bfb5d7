"""Checks the manifests without a cluster: `run.py WORK`. `kubectl kustomize` builds them, Kubernetes' published schemas judge
them, and what the schemas can't know (selectors, names, flows) is judged here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
MANIFESTS = HERE.parent
OVERLAYS = ["base", "overlays/smoke", "overlays/100k"]
# The oldest in which all that is used is there, one that most clusters run, and the newest with schemas.
VERSIONS = ["1.29", "1.32", "1.37"]
ROLES = {"control-plane", "data-plane", "origin", "edge", "worker", "probe"}
FLOWS = {
    ("worker", "control-plane", 7700),
    ("probe", "control-plane", 7700),
    ("worker", "data-plane", 7701),
    ("probe", "data-plane", 7701),
    ("control-plane", "data-plane", 7701),
    ("worker", "origin", 7800),
    ("probe", "origin", 7800),
    ("worker", "edge", 7800),
    ("probe", "edge", 7800),
    ("edge", "origin", 7801),
}
NAME = "app.kubernetes.io/name"
# What each role may read of the secret that people make.
SECRETS = {"control-plane": {"token"}, "origin": {"api-secret"}, "edge": {"api-secret"}}
WEEK = 7 * 24 * 3600


def broken(manifests, overlay, versions=VERSIONS):
    """What is wrong with one overlay."""
    built = subprocess.run(
        ["kubectl", "kustomize", str(manifests / overlay)], capture_output=True, text=True, timeout=60, check=False
    )
    if built.returncode:
        return [built.stderr.strip()]
    things = [thing for thing in yaml.safe_load_all(built.stdout) if thing]
    return [*schemas(things, versions), *pods(things), *lives(things), *secrets(things), *services(things), *policies(things)]


def schemas(things, versions):
    """What the schemas forbid."""
    for version in versions:
        for thing in things:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                where = f"{thing.get('kind')} {thing['metadata']['name']}"
                path = ".".join(str(p) for p in getattr(error, "path", []))
                yield f"{version}: {where}: {path}: {getattr(error, 'message', error)}"


def templates(things):
    """The pods of each workload."""
    for thing in things:
        if isinstance(thing.get("spec"), dict) and "template" in thing["spec"]:
            yield thing["metadata"]["name"], thing["spec"]["template"]


def pods(things):
    """Pods that know their variables, may do no more than they need, and are all there."""
    settings = {k for t in things if t["kind"] == "ConfigMap" for k in t["data"]}
    names = {name for name, _ in templates(things)}
    if names != ROLES:
        yield f"roles that are missing or unknown: {sorted(names ^ ROLES)}"
    if any(t["kind"] == "Secret" for t in things):
        yield "a secret in the manifests"
    for name, template in templates(things):
        for container in template["spec"]["containers"]:
            known = settings | {e["name"] for e in container.get("env", [])}
            for used in set(re.findall(r"\$\((\w+)\)", " ".join(container["args"]))) - known:
                yield f"{name} uses {used}, which nothing sets"
            own = container.get("securityContext", {})
            needless = own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}
            if needless or not template["spec"]["securityContext"].get("runAsNonRoot"):
                yield f"{name} may do more than it needs"
            mounted = {m["name"] for m in container.get("volumeMounts", [])}
            volumes = {v["name"] for v in template["spec"].get("volumes", [])}
            if mounted != volumes:
                yield f"{name}: mounts and volumes differ in {sorted(mounted ^ volumes)}"


def lives(things):
    """Everything ends by itself at one time, goes on until then, and stays away when it has ended in order."""
    claims = {t["metadata"]["name"] for t in things if t["kind"] == "PersistentVolumeClaim"}
    times, claimed = set(), []
    for thing in (t for t in things if isinstance(t.get("spec"), dict) and "template" in t["spec"]):
        name, spec = thing["metadata"]["name"], thing["spec"]
        if thing["kind"] != "Job":
            yield f"{name} is a {thing['kind']}, which does not end by itself"
            continue
        life = spec.get("activeDeadlineSeconds")
        times.add(life)
        if not isinstance(life, int) or not 0 < life <= WEEK:
            yield f"{name} has no time to live within a week: {life}"
        if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
            yield f"{name} is not started again when it fails, or is when it has ended in order"
        if spec.get("backoffLimit", 6) < 1_000_000:
            yield f"{name} is given up after {spec.get('backoffLimit', 6)} failures"
        if spec.get("podReplacementPolicy") != "Failed":
            yield f"{name} may be there twice"
        if spec.get("completions") != spec.get("parallelism"):
            yield f"{name}: {spec.get('completions')} of it, of which {spec.get('parallelism')} at a time"
        volumes = spec["template"]["spec"].get("volumes", [])
        claimed += [v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v]
    if len(times) > 1:
        yield f"roles end at different times: {sorted(times, key=str)}"
    if sorted(claimed) != sorted(claims):
        yield f"volumes that are claimed ({sorted(claimed)}) and made ({sorted(claims)}) differ"


def secrets(things):
    """Each role reads what it needs of the secret that people make, from files, and knows where."""
    for name, template in templates(things):
        made = [v["secret"] for v in template["spec"].get("volumes", []) if "secret" in v]
        read = {i["path"] for s in made if s["secretName"] == "throng" for i in s.get("items", [{"path": "all"}])}
        if read != SECRETS.get(name, set()):
            yield f"{name} reads of the secret: {sorted(read)}"
        for container in template["spec"]["containers"]:
            sources = [*container.get("env", []), *container.get("envFrom", [])]
            if any("secretRef" in e or "secretKeyRef" in e.get("valueFrom", {}) for e in sources):
                yield f"{name} has a secret in its environment"
            settings = [e.get("value", "") for e in container.get("env", [])]
            words = " ".join([*container["args"], *settings])
            for file in read:
                if f"/run/throng/secrets/{file}" not in words:
                    yield f"{name} is not told of its {file}"


def services(things):
    """Services that lead somewhere."""
    by_name = {template["metadata"]["labels"][NAME]: template for _, template in templates(things)}
    for thing in (t for t in things if t["kind"] == "Service"):
        name = thing["metadata"]["name"]
        template = by_name.get(thing["spec"]["selector"][NAME])
        if template is None:
            yield f"service {name} chooses no pod"
            continue
        ports = {p["name"]: p["containerPort"] for c in template["spec"]["containers"] for p in c.get("ports", [])}
        for port in thing["spec"].get("ports", []):
            if ports.get(port["targetPort"]) != port["port"]:
                yield f"service {name}: port {port['port']} leads to {port['targetPort']}, which isn't it"


def policies(things):
    """Exactly the flows of the contract, allowed at both ends, and nothing else."""
    ends = {"ingress": set(), "egress": set()}
    closed = False
    for policy in (t for t in things if t["kind"] == "NetworkPolicy"):
        spec, name = policy["spec"], policy["metadata"]["name"]
        rules = [(way, rule) for way in ends for rule in spec.get(way, [])]
        if not spec["podSelector"]:
            closed |= set(spec["policyTypes"]) == {"Ingress", "Egress"} and not rules
        if name == "names":
            continue
        for way, rule in rules:
            own = spec["podSelector"]["matchLabels"][NAME]
            for peer in rule["from" if way == "ingress" else "to"]:
                other = peer["podSelector"]["matchLabels"][NAME]
                pair = (other, own) if way == "ingress" else (own, other)
                ends[way] |= {(*pair, port["port"]) for port in rule["ports"]}
    if not closed:
        yield "the namespace isn't closed by default"
    for way, found in ends.items():
        for flow in sorted(FLOWS ^ found):
            word = "missing" if flow in FLOWS else "not in the contract"
            yield f"{way}: {word}: {flow[0]} to {flow[1]}, port {flow[2]}"


def mutant(work, number, mistake):
    """Whether a mistake is found."""
    copy = work / f"mistake-{number}"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(MANIFESTS, copy, ignore=shutil.ignore_patterns("tests"))
    file = copy / mistake["file"]
    text = file.read_text()
    places = text.count(mistake["old"])
    if places != 1 and not mistake.get("first"):
        return f"{mistake['file']} has {places} places with {mistake['old']!r}: mend the mutation"
    file.write_text(text.replace(mistake["old"], mistake["new"], 1))
    overlay = mistake.get("overlay", "overlays/100k")
    found = " ".join(" ".join(broken(copy, overlay, VERSIONS[-1:])).split())
    shutil.rmtree(copy)
    return None if mistake["says"] in found else f"NOT FOUND: {mistake['is']}: {found[:300] or 'nothing'}"


def main(work):
    """Runs everything."""
    work = Path(work)
    problems = [f"{overlay}: {p}" for overlay in OVERLAYS for p in broken(MANIFESTS, overlay)]
    mistakes = yaml.safe_load((HERE / "mutations.yaml").read_text())
    problems += [said for n, m in enumerate(mistakes) if (said := mutant(work, n, m))]
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(f"{len(problems)} problems")
    print(f"{len(OVERLAYS)} overlays hold against the schemas of {', '.join(VERSIONS)}; {len(mistakes)} mistakes found")


if __name__ == "__main__":
    main(*sys.argv[1:])
