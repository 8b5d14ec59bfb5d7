"""What the README promises of a fleet, held against everything that was really made."""

import json

# Actions that AWS knows no narrower resource for.
EVERYWHERE = {
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
# ARCHITECTURE.md's flows: who may dial whom, where.
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
BALANCED = {("worker", "balancer", 7800), ("probe", "balancer", 7800), ("balancer", "edge", 7800)}
UNTAGGED = {
    "aws_route",
    "aws_route53_record",
    "aws_route53_zone_association",
    "aws_route_table_association",
    "aws_iam_role_policy",
    "aws_autoscaling_schedule",
    "aws_scheduler_schedule",
}


def broken(things):
    """What isn't as promised."""
    of = {}
    for thing in things:
        of.setdefault(thing["kind"], []).append(thing["state"])
    return [*reach(of), *sticks(of), *hosts(of), *ends(of), *rights(of), *tags(things)]


def reach(of):
    """Closed by default: exactly the flows of the contract, and nothing from everywhere."""
    names = {g["id"]: g["description"].rsplit(": ")[-1] for g in of["aws_security_group"]}
    found = set()
    for rule in of["aws_vpc_security_group_ingress_rule"]:
        at = f"ingress to {names[rule['security_group_id']]}, ports {rule['from_port']}-{rule['to_port']}"
        if rule["cidr_ipv4"] and not rule["cidr_ipv4"].startswith("10."):
            yield f"{at}: open to {rule['cidr_ipv4']}, which nobody asked for"
        if rule["cidr_ipv6"] or rule["prefix_list_id"] or rule["from_port"] != rule["to_port"]:
            yield f"{at}: wider than one port of one group"
        if rule["referenced_security_group_id"]:
            found.add((names[rule["referenced_security_group_id"]], names[rule["security_group_id"]], rule["to_port"]))
    wanted = FLOWS | (BALANCED if "balancer" in names.values() else set())
    for flow in sorted(wanted ^ found):
        yield f"{'missing' if flow in wanted else 'not in the contract'}: {flow[0]} to {flow[1]}, port {flow[2]}"
    out = {
        (names[r["security_group_id"]], names[r["referenced_security_group_id"]], r["to_port"])
        for r in of["aws_vpc_security_group_egress_rule"]
        if r["referenced_security_group_id"]
    }
    for flow in sorted(wanted ^ out):
        yield f"egress {flow[0]} to {flow[1]}, port {flow[2]}: on one side only"
    for rule in of["aws_vpc_security_group_egress_rule"]:
        if rule["cidr_ipv4"] == "0.0.0.0/0" and rule["to_port"] != 443:
            yield f"egress to everybody at port {rule['to_port']}"


def sticks(of):
    """Calls about a connection reach the edge that holds it."""
    for group in of.get("aws_lb_target_group", []):
        if [(s["enabled"], s["type"]) for s in group["stickiness"] or []] != [(True, "source_ip")]:
            yield f"{group['name']}: a user's calls go to edges that don't know its connection"


def hosts(of):
    """Hosts are as safe as a template can make them."""
    for template in of["aws_launch_template"]:
        name = template["name"]
        if [m["http_tokens"] for m in template["metadata_options"]] != ["required"]:
            yield f"{name}: metadata without a token"
        if not all(d["ebs"][0]["encrypted"] == "true" for d in template["block_device_mappings"]):
            yield f"{name}: a disk that isn't encrypted"
        if template["instance_initiated_shutdown_behavior"] != "terminate":
            yield f"{name}: a host that powers off goes on costing"


def ends(of):
    """Every group becomes empty, all at one instant."""
    empty = {
        s["autoscaling_group_name"]: s["start_time"]
        for s in of["aws_autoscaling_schedule"]
        if (s["min_size"], s["max_size"], s["desired_capacity"]) == (0, 0, 0)
    }
    for group in of["aws_autoscaling_group"]:
        if group["name"] not in empty:
            yield f"{group['name']}: lives for ever"
    if len(set(empty.values())) > 1:
        yield f"groups end at different instants: {sorted(set(empty.values()))}"
    ending = {s["name"].rsplit("-")[-1] for s in of.get("aws_scheduler_schedule", [])}
    wanted = {"balancer"} if "aws_lb" in of else set()
    wanted |= {"cache"} if "aws_elasticache_replication_group" in of else set()
    if wanted - ending:
        yield f"lives for ever: {', '.join(sorted(wanted - ending))}"


def rights(of):
    """Nobody may do more than it does."""
    for policy in of["aws_iam_role_policy"]:
        for statement in json.loads(policy["policy"])["Statement"]:
            wide = "*" in statement["Resource"] or statement["Resource"] == "*"
            if wide and not set(statement["Action"]) <= EVERYWHERE:
                yield f"{policy['role']}: {', '.join(statement['Action'])} on everything"


def tags(things):
    """Everything that can carry a tag says whose it is."""
    for thing in things:
        if thing["kind"] in UNTAGGED or "tags" not in thing["state"]:
            continue
        if "throng" not in (thing["state"]["tags"] or {}):
            yield f"{thing['kind']} {thing['id']}: has no tag `throng`"
