# One security group a role, and of traffic between hosts only the flows that ARCHITECTURE.md names: agents dial the
# control plane and the data plane, the control plane dials the data plane, edges dial the origin, load goes to the server.
# Nothing listens for the internet; people reach the console from `operator_cidrs` only.

locals {
  control = { port = 7700, why = "agents join the control plane" }
  data    = { port = 7701, why = "measurements" }
  server  = { port = 7800, why = "users of the service, and its /stats" }
  link    = { port = 7801, why = "edges attach to the origin" }

  all_flows = concat(
    [for from in ["worker", "probe"] : merge(local.control, { from = from, to = "control-plane" })],
    [for from in ["worker", "probe", "control-plane"] : merge(local.data, { from = from, to = "data-plane" })],
    [for pair in setproduct(["worker", "probe"], ["origin", "edge"]) : merge(local.server, { from = pair[0], to = pair[1] })],
    [merge(local.link, { from = "edge", to = "origin" })],
    # The balancer passes users on under their own addresses, and asks for /stats under its own.
    [for from in ["worker", "probe"] : merge(local.server, { from = from, to = "balancer" })],
    [merge(local.server, { from = "balancer", to = "edge" })],
  )
  flows = {
    for f in local.all_flows : "${f.from} to ${f.to}" => f
    if contains(var.roles, f.from) && contains(var.roles, f.to)
  }

  # Groups of another region can't be named here; its network can.
  remote_flows = {
    for pair in setproduct(var.remote_cidrs, [
      merge(local.control, { to = "control-plane" }),
      merge(local.data, { to = "data-plane" }),
      merge(local.server, { to = "origin" }),
      merge(local.server, { to = "edge" }),
      merge(local.server, { to = "balancer" }),
    ]) : "${pair[0]} to ${pair[1].to}" => merge(pair[1], { cidr = pair[0] }) if contains(var.roles, pair[1].to)
  }

  operator_flows = {
    for pair in setproduct(var.operator_cidrs, [
      { port = 7780, why = "the console" },
      { port = 7700, why = "throng run --control-plane" },
    ]) : "${pair[0]} to ${pair[1].port}" => merge(pair[1], { cidr = pair[0] }) if contains(var.roles, "control-plane")
  }

  # To the home region's network, from a region that has agents only.
  home_flows = {
    for pair in setproduct(var.home_cidr == null ? [] : [var.home_cidr], ["worker", "probe"], [local.control, local.data, local.server]) :
    "${pair[1]} to ${pair[2].port}" => merge(pair[2], { cidr = pair[0], from = pair[1] }) if contains(var.roles, pair[1])
  }

  target_flows = {
    for pair in setproduct(var.target_cidrs, var.target_ports, ["worker", "probe"]) :
    "${pair[2]} to ${pair[0]} ${pair[1]}" => { cidr = pair[0], port = pair[1], from = pair[2] } if contains(var.roles, pair[2])
  }
}

resource "aws_security_group" "role" {
  for_each = var.roles

  region                 = var.region
  name                   = "${var.name}-${each.key}"
  description            = "throng fleet ${var.name}: ${each.key}"
  vpc_id                 = var.vpc_id
  revoke_rules_on_delete = true
  tags                   = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpc_security_group_ingress_rule" "flow" {
  for_each = local.flows

  region                       = var.region
  security_group_id            = aws_security_group.role[each.value.to].id
  referenced_security_group_id = aws_security_group.role[each.value.from].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = "${each.value.from}: ${each.value.why}"
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "flow" {
  for_each = local.flows

  region                       = var.region
  security_group_id            = aws_security_group.role[each.value.from].id
  referenced_security_group_id = aws_security_group.role[each.value.to].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = "${each.value.to}: ${each.value.why}"
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "remote" {
  for_each = local.remote_flows

  region            = var.region
  security_group_id = aws_security_group.role[each.value.to].id
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  description       = "another region: ${each.value.why}"
  tags              = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "operator" {
  for_each = local.operator_flows

  region            = var.region
  security_group_id = aws_security_group.role["control-plane"].id
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  description       = "operators: ${each.value.why}"
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "home" {
  for_each = local.home_flows

  region            = var.region
  security_group_id = aws_security_group.role[each.value.from].id
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  description       = "home region: ${each.value.why}"
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "target" {
  for_each = local.target_flows

  region            = var.region
  security_group_id = aws_security_group.role[each.value.from].id
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  description       = "the service under test"
  tags              = var.tags
}

# AWS's own services: the binary, secrets, names, sessions of operators.
resource "aws_vpc_security_group_egress_rule" "aws" {
  for_each = setsubtract(var.roles, ["balancer"])

  region            = var.region
  security_group_id = aws_security_group.role[each.key].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "AWS services"
  tags              = var.tags
}
