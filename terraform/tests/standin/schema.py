"""From the schemas in JSON to what Terraform's plugin protocol speaks, and values of their types."""

import json

from tf.gen import tfplugin_pb2 as pb
from tf.types import Unknown

NESTING = {
    "single": pb.Schema.NestedBlock.SINGLE,
    "list": pb.Schema.NestedBlock.LIST,
    "set": pb.Schema.NestedBlock.SET,
}

# Arguments that AWS fills in when they are left out. The typings don't tell these from those that stay empty; what is on
# no list stays empty here, so that a module that reads it fails.
FILLED_IN = {"id", "arn", "region", "tags_all"}
FILLED_IN_OF = {
    "aws_vpc_peering_connection": {"peer_owner_id"},
    "aws_vpc_endpoint": {"policy"},
    "aws_iam_role": {"name", "unique_id"},
    "aws_route53_zone": {"zone_id"},
    "aws_subnet": {"availability_zone_id"},
    "aws_s3_bucket": {"bucket_domain_name"},
    "aws_lb": {"ip_address_type"},
}


def computed(kind, name, attribute):
    """Whether AWS may say what the configuration doesn't."""
    return attribute.get("computed", False) or name in FILLED_IN or name in FILLED_IN_OF.get(kind, ())


def of_block(kind, block, top=True):
    """A block's schema in the protocol's messages."""
    attributes = []
    for name, attribute in block["attributes"].items():
        required = attribute["required"]
        fills = computed(kind, name, attribute) if top else attribute.get("computed", False)
        attributes.append(
            pb.Schema.Attribute(
                name=name,
                type=json.dumps(attribute["type"]).encode(),
                required=required,
                optional=not required and not attribute.get("read_only", False),
                computed=fills and not required,
            )
        )
    blocks = [
        pb.Schema.NestedBlock(
            type_name=name,
            nesting=NESTING[nested["nesting"]],
            min_items=nested["min"],
            max_items=nested["max"],
            block=of_block(kind, nested["block"], False),
        )
        for name, nested in block["blocks"].items()
    ]
    return pb.Schema.Block(attributes=attributes, block_types=blocks)


def full(block, given):
    """A configuration with everything that it leaves out, as null or as no block."""
    whole = {name: given.get(name) for name in block["attributes"]}
    for name, nested in block["blocks"].items():
        value = given.get(name)
        if nested["nesting"] == "single" or value is Unknown:
            whole[name] = value
        else:
            whole[name] = [full(nested["block"], v) for v in value or []]
    return whole


def empty(kind):
    """A value of a type that says nothing."""
    if isinstance(kind, list):
        return {f: empty(t) for f, t in kind[1].items()} if kind[0] == "object" else {} if kind[0] == "map" else []
    return {"number": 1, "bool": False}.get(kind)
