"""A cloud that is a file: what was made, with which arguments, and in which region. It outlives the provider's process,
since every command of Terraform's starts a new one."""

import fcntl
import hashlib
import json
import os

import laws

ACCOUNT = "123456789012"
# How AWS's ids of these begin; what isn't here is known by its name or its ARN.
PREFIXES = {
    "aws_vpc": "vpc",
    "aws_subnet": "subnet",
    "aws_security_group": "sg",
    "aws_vpc_security_group_ingress_rule": "sgr",
    "aws_vpc_security_group_egress_rule": "sgr",
    "aws_route_table": "rtb",
    "aws_internet_gateway": "igw",
    "aws_vpc_peering_connection": "pcx",
    "aws_launch_template": "lt",
    "aws_vpc_endpoint": "vpce",
}
# What the ids of these are, beside a name of their own.
NAMED_BY = {
    "aws_s3_bucket": "bucket",
    "aws_iam_role": "name",
    "aws_iam_instance_profile": "name",
    "aws_autoscaling_group": "name",
    "aws_elasticache_replication_group": "replication_group_id",
    "aws_elasticache_subnet_group": "name",
}


class Cloud:
    """What there is, in a file that one process at a time may change."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = open(self.path, "a+", encoding="utf-8")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.file.seek(0)
        self.things = json.loads(self.file.read() or "[]")
        return self

    def __exit__(self, *_):
        self.file.seek(0)
        self.file.truncate()
        self.file.write(json.dumps(self.things))
        self.file.close()

    def make(self, kind, state, region):
        """Makes a thing and gives it its id, or says which law of AWS's forbids it."""
        problems = laws.broken(kind, state, region, self.things)
        if problems:
            return problems
        seed = hashlib.sha256(f"{kind}{len(self.things)}{os.urandom(8)}".encode()).hexdigest()
        if kind in NAMED_BY:
            own = state[NAMED_BY[kind]]
        else:
            own = f"{PREFIXES.get(kind, kind.removeprefix('aws_'))}-{seed[:17]}"
        state["id"] = own
        self.things.append({"kind": kind, "id": own, "region": region, "state": state})
        return []

    def change(self, kind, state, region):
        """Changes what is there already."""
        others = [t for t in self.things if (t["kind"], t["id"]) != (kind, state["id"])]
        problems = laws.broken(kind, state, region, others)
        for thing in self.things:
            if (thing["kind"], thing["id"]) == (kind, state["id"]) and not problems:
                thing["state"] = state
        return problems

    def unmake(self, kind, own):
        """Takes a thing away, unless another still needs it."""
        users = [t for t in self.things if t["id"] != own and laws.mentions(t["state"], own)]
        if users and kind not in NAMED_BY:
            return [f"DependencyViolation: {own} is still used by {users[0]['kind']} {users[0]['id']}"]
        self.things = [t for t in self.things if (t["kind"], t["id"]) != (kind, own)]
        return []

    def find(self, kind, own):
        """Whether it is there."""
        return any((t["kind"], t["id"]) == (kind, own) for t in self.things)


def arn(kind, own, region):
    """An ARN as AWS would make it, as far as the modules look into it."""
    service, path = {
        "aws_s3_bucket": ("s3", own),
        "aws_iam_role": ("iam", f"role/{own}"),
        "aws_iam_instance_profile": ("iam", f"instance-profile/{own}"),
        "aws_autoscaling_group": ("autoscaling", f"autoScalingGroup:0:autoScalingGroupName/{own}"),
        "aws_lb": ("elasticloadbalancing", f"loadbalancer/net/{own}"),
        "aws_lb_target_group": ("elasticloadbalancing", f"targetgroup/{own}"),
        "aws_lb_listener": ("elasticloadbalancing", f"listener/{own}"),
        "aws_route53_zone": ("route53", f"hostedzone/{own}"),
        "aws_elasticache_replication_group": ("elasticache", f"replicationgroup:{own}"),
    }.get(kind, ("ec2", f"{kind.removeprefix('aws_')}/{own}"))
    place = "" if service in ("s3", "iam", "route53") else region
    account = "" if service in ("s3", "route53") else ACCOUNT
    return f"arn:aws:{service}:{place}:{account}:{path}"
