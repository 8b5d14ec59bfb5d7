"""What a fleet costs an hour by `prices.json`, and whether the README says the same."""

import json


def of(things, prices):
    """Hosts, and US dollars an hour at the list price, public addresses included."""
    templates = {t["state"]["id"]: t["state"] for t in things if t["kind"] == "aws_launch_template"}
    hosts, dollars = 0, 0.0
    for group in (t["state"] for t in things if t["kind"] == "aws_autoscaling_group"):
        if group["launch_template"]:
            template = group["launch_template"][0]["id"]
        else:
            policy = group["mixed_instances_policy"][0]["launch_template"][0]
            template = policy["launch_template_specification"][0]["launch_template_id"]
        price = prices["instances"][templates[template]["instance_type"]]["usd_per_hour"]
        hosts += int(group["desired_capacity"])
        dollars += group["desired_capacity"] * (price + prices["other"]["public_ipv4_usd_per_hour"])
    balancers = sum(t["kind"] == "aws_lb" for t in things)
    return hosts, dollars + balancers * prices["other"]["network_load_balancer_usd_per_hour"]


def broken(name, things, root):
    """Kinds of hosts without a price, and a README that says something else."""
    prices = json.loads((root / "terraform/prices.json").read_text())
    offered = [o["instance_type"] for t in things for o in overrides(t)]
    for kind in sorted(set(offered) - set(prices["instances"])):
        yield f"prices.json has no {kind}"
    hosts, dollars = of(things, prices)
    row = f"| `examples/{name}` | {hosts} | ${dollars:.2f} |"
    if row not in (root / "terraform/README.md").read_text():
        yield f"terraform/README.md doesn't say what it costs: {row}"


def overrides(thing):
    """The kinds of hosts that a group may take instead."""
    if thing["kind"] != "aws_autoscaling_group" or not thing["state"]["mixed_instances_policy"]:
        return []
    return thing["state"]["mixed_instances_policy"][0]["launch_template"][0]["override"]
