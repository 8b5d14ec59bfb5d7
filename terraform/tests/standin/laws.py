"""What AWS refuses although the schema allows it, as far as the modules could run into it: written from AWS's
documentation, and by no means all of it."""

import base64
import gzip
import ipaddress
import json
import re

from tf.types import Unknown

# An id of something that was made here.
OURS = re.compile(r"^(vpc|subnet|sg|rtb|igw|pcx|lt|vpce|lb_target_group)-[0-9a-f]{17}$")
# Names that are unique in a region, or everywhere.
UNIQUE = {
    "aws_autoscaling_group": "name",
    "aws_lb": "name",
    "aws_lb_target_group": "name",
    "aws_iam_role": "name",
    "aws_iam_instance_profile": "name",
    "aws_s3_bucket": "bucket",
    "aws_launch_template": "name",
}
LONGEST = {"aws_lb": 32, "aws_lb_target_group": 32, "aws_iam_role": 64, "aws_s3_bucket": 63, "aws_autoscaling_group": 255}
USER_DATA_MOST = 16_384
POLICY_KEYS = {"Sid", "Effect", "Action", "Resource", "Principal", "Condition"}
POLICIES = {"policy", "assume_role_policy", "inline_policy"}


def impossible(kind, config):
    """What is wrong with a configuration by itself; unknown values pass."""
    found = []
    for name, value in walk(config):
        if not isinstance(value, str):
            continue
        if "cidr" in name and not is_network(value):
            found.append(f"{kind}.{name}: {value!r} is no network in CIDR notation")
        if name in POLICIES:
            found += [f"{kind}.{name}: {p}" for p in policy(value)]
        if name == "user_data" and len(unpacked(value)[0]) > USER_DATA_MOST:
            found.append(f"{kind}: user data of {len(unpacked(value)[0])} bytes, more than {USER_DATA_MOST}")
    name = config.get(UNIQUE.get(kind, ""))
    if isinstance(name, str) and len(name) > LONGEST.get(kind, 255):
        found.append(f"{kind}: the name {name!r} is longer than {LONGEST[kind]}")
    lo, hi = config.get("from_port"), config.get("to_port")
    if isinstance(lo, (int, float)) and isinstance(hi, (int, float)) and not -1 <= lo <= hi <= 65_535:
        found.append(f"{kind}: no range of ports: {lo}-{hi}")
    if kind == "aws_autoscaling_group":
        sizes = [config.get(s) for s in ("min_size", "desired_capacity", "max_size")]
        sizes = [s for s in sizes if isinstance(s, (int, float))]
        if sizes != sorted(sizes):
            found.append(f"{kind}: sizes must grow from min over desired to max: {sizes}")
    return found


def broken(kind, state, region, things):
    """What forbids that a thing is made or changed among the others."""
    found = impossible(kind, state)
    for name, value in walk(state):
        if isinstance(value, str) and OURS.match(value):
            there = next((t for t in things if t["id"] == value), None)
            if there is None:
                found.append(f"{name}: {value} does not exist")
            elif there["region"] != region and not crosses(kind, name):
                found.append(f"{name}: {value} is in {there['region']}, not in {region}")
    unique = UNIQUE.get(kind)
    for other in (t for t in things if unique and t["kind"] == kind):
        if other["state"].get(unique) == state.get(unique) and other["region"] == region:
            found.append(f"{state[unique]!r} exists already")
    if kind == "aws_subnet":
        found += subnet(state, things)
    return found


def crosses(kind, name):
    """Whether this argument may name something of another region."""
    return name in ("peer_vpc_id", "vpc_peering_connection_id") or kind.startswith("aws_route53_")


def subnet(state, things):
    """A subnet lies in its network, and in no other subnet."""
    own = ipaddress.ip_network(state["cidr_block"])
    vpc = next((t["state"] for t in things if t["id"] == state["vpc_id"]), None)
    if vpc and not own.subnet_of(ipaddress.ip_network(vpc["cidr_block"])):
        yield f"{own} is not within {vpc['cidr_block']}"
    for other in things:
        same = other["kind"] == "aws_subnet" and other["state"]["vpc_id"] == state["vpc_id"]
        if same and own.overlaps(ipaddress.ip_network(other["state"]["cidr_block"])):
            yield f"{own} overlaps {other['state']['cidr_block']}"


def policy(text):
    """What is wrong with an IAM policy."""
    try:
        document = json.loads(text)
    except ValueError:
        return ["is not JSON"]
    if document.get("Version") != "2012-10-17":
        return ["has no Version 2012-10-17"]
    found = []
    for statement in document.get("Statement", []):
        unknown = set(statement) - POLICY_KEYS
        found += [f"a statement says {', '.join(sorted(unknown))}"] if unknown else []
        found += [] if statement.get("Effect") in ("Allow", "Deny") else ["a statement has no Effect"]
        actions = statement.get("Action", [])
        for action in [actions] if isinstance(actions, str) else actions:
            all_of = statement.get("Effect") == "Deny" and re.fullmatch(r"[a-z0-9-]+:\*", action)
            if not all_of and not re.fullmatch(r"[a-z0-9-]+:[A-Z][A-Za-z]+", action):
                found.append(f"{action!r} is not one action of a service")
    return found if document.get("Statement") else ["has no statement"]


def mentions(value, own):
    """Whether a value names an id."""
    return f'"{own}"' in json.dumps(value)


def walk(value, name=""):
    """All values with the names that they have, down to the leaves."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, key)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from walk(inner, name)
    elif value is not Unknown and value is not None:
        yield name, value


def is_network(text):
    """Whether it is a network with no host bits."""
    try:
        return bool(ipaddress.ip_network(text))
    except ValueError:
        return False


def unpacked(user_data):
    """User data as it is sent, and as the host reads it."""
    sent = base64.b64decode(user_data)
    return sent, gzip.decompress(sent) if sent[:2] == b"\x1f\x8b" else sent
