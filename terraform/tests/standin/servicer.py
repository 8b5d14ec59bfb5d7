"""Terraform's plugin protocol for resources of any schema, over a cloud that is a file.

Planning fills in what AWS would, as unknown; applying makes it up; everything else is kept as it was given. A real AWS
does more, and refuses more: what is checked beyond the schema is in `laws.py`.
"""

import functools
import json
import traceback

import laws
from cloud import ACCOUNT, Cloud, arn
from schema import computed, empty, full, of_block
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.types import Unknown
from tf.utils import read_dynamic_value, to_dynamic_value

ZONES = "abc"
HOME = "us-east-1"


def problem(summary, detail=""):
    """An error that Terraform shows."""
    return pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=summary, detail=detail)


def answers(call):
    """A bug of the stand-in is an error that says where, instead of a connection that breaks."""

    @functools.wraps(call)
    def safe(self, request, context):
        try:
            return call(self, request, context)
        except Exception:
            response = getattr(pb, call.__name__).Response
            return response(diagnostics=[problem(f"the stand-in failed in {call.__name__}", traceback.format_exc())])

    return safe


class StandIn(rpc.ProviderServicer):
    """The provider."""

    def __init__(self, schemas, cloud):
        self.schemas = schemas
        self.cloud = cloud
        self.region = HOME
        self.default_tags = {}

    def full_name(self):
        """What modules call it."""
        return "registry.terraform.io/hashicorp/aws"

    @answers
    def GetProviderSchema(self, request, context):
        def of(kinds):
            return {name: pb.Schema(version=0, block=of_block(name, block)) for name, block in kinds.items()}

        provider = pb.Schema(version=0, block=of_block("provider", self.schemas["provider"]["aws"], False))
        return pb.GetProviderSchema.Response(
            provider=provider,
            resource_schemas=of(self.schemas.get("resource", {})),
            data_source_schemas=of(self.schemas.get("data", {})),
            server_capabilities=pb.ServerCapabilities(plan_destroy=False, get_provider_schema_optional=False),
        )

    @answers
    def ValidateProviderConfig(self, request, context):
        return pb.ValidateProviderConfig.Response()

    @answers
    def ValidateResourceConfig(self, request, context):
        config = read_dynamic_value(request.config)
        found = laws.impossible(request.type_name, config)
        for name, attribute in self.schemas["resource"][request.type_name]["attributes"].items():
            if attribute.get("read_only") and config.get(name) is not None:
                found.append(f"{request.type_name}.{name} can't be configured: it is only ever read")
        return pb.ValidateResourceConfig.Response(diagnostics=[problem(f) for f in found])

    @answers
    def ValidateDataResourceConfig(self, request, context):
        return pb.ValidateDataResourceConfig.Response()

    @answers
    def UpgradeResourceState(self, request, context):
        block = self.schemas["resource"][request.type_name]
        state = full(block, json.loads(request.raw_state.json))
        return pb.UpgradeResourceState.Response(upgraded_state=to_dynamic_value(state))

    @answers
    def ConfigureProvider(self, request, context):
        config = read_dynamic_value(request.config)
        self.region = config.get("region") or HOME
        self.default_tags = {}
        for block in config.get("default_tags") or []:
            self.default_tags = block.get("tags") or {}
        return pb.ConfigureProvider.Response()

    @answers
    def ReadResource(self, request, context):
        state = read_dynamic_value(request.current_state)
        with Cloud(self.cloud) as cloud:
            there = cloud.find(request.type_name, state["id"])
        return pb.ReadResource.Response(new_state=to_dynamic_value(state if there else None))

    @answers
    def PlanResourceChange(self, request, context):
        kind = request.type_name
        proposed = read_dynamic_value(request.proposed_new_state)
        prior = read_dynamic_value(request.prior_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        for name, attribute in self.schemas["resource"][kind]["attributes"].items():
            if prior is None and proposed.get(name) is None and computed(kind, name, attribute):
                proposed[name] = Unknown
        if "tags_all" in proposed and proposed.get("tags") is not Unknown:
            proposed["tags_all"] = {**self.default_tags, **(proposed.get("tags") or {})}
        return pb.PlanResourceChange.Response(planned_state=to_dynamic_value(proposed))

    @answers
    def ApplyResourceChange(self, request, context):
        kind = request.type_name
        planned = read_dynamic_value(request.planned_state)
        prior = read_dynamic_value(request.prior_state)
        region = (planned or prior).get("region")
        region = self.region if region in (None, Unknown) else region
        with Cloud(self.cloud) as cloud:
            if planned is None:
                found, new = cloud.unmake(kind, prior["id"]), None
            elif prior is None:
                found, new = self.create(cloud, kind, planned, region)
            else:
                found, new = cloud.change(kind, planned, region), planned
        state = prior if found and prior is not None else (None if found else new)
        diagnostics = [problem(f"{kind}: {f}") for f in found]
        return pb.ApplyResourceChange.Response(new_state=to_dynamic_value(state), diagnostics=diagnostics)

    def create(self, cloud, kind, planned, region):
        """Makes a thing, and up what AWS would say of it."""
        attributes = self.schemas["resource"][kind]["attributes"]
        unknown = [name for name, value in planned.items() if value is Unknown]
        state = {name: None if name in unknown else value for name, value in planned.items()}
        found = cloud.make(kind, state, region)
        if found:
            return found, None
        for name in unknown:
            if name == "region":
                state[name] = region
            elif name == "arn":
                state[name] = arn(kind, state["id"], region)
            elif name == "tags_all":
                state[name] = {**self.default_tags, **(state.get("tags") or {})}
            elif name != "id":
                made_up = empty(attributes[name]["type"])
                state[name] = f"{state['id']}.{name.replace('_', '-')}" if made_up is None else made_up
        return [], state

    @answers
    def ReadDataSource(self, request, context):
        kind = request.type_name
        config = full(self.schemas["data"][kind], read_dynamic_value(request.config))
        region = config.get("region") or self.region
        zones = [f"{region}{zone}" for zone in ZONES]
        answer = {
            "aws_availability_zones": {"names": zones, "zone_ids": zones, "group_names": [region], "id": region},
            "aws_caller_identity": {"account_id": ACCOUNT, "id": ACCOUNT, "user_id": "A", "arn": "arn:aws:iam::1:u/a"},
            "aws_partition": {"partition": "aws", "dns_suffix": "amazonaws.com", "id": "aws"},
            "aws_region": {"name": region, "id": region},
            "aws_ssm_parameter": {"value": "ami-0123456789abcdef0", "insecure_value": "ami-0123456789abcdef0"},
        }.get(kind)
        if answer is None:
            found = [problem(f"the stand-in knows no answer for the data source {kind}")]
            return pb.ReadDataSource.Response(diagnostics=found)
        state = {**config, **answer}
        if "region" in state:
            state["region"] = region
        return pb.ReadDataSource.Response(state=to_dynamic_value(state))

    @answers
    def GetFunctions(self, request, context):
        return pb.GetFunctions.Response()

    @answers
    def StopProvider(self, request, context):
        return pb.StopProvider.Response()
