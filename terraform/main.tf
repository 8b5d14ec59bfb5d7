# A throng fleet: the same processes and flags as `throng run` on a laptop, on hosts of their own.

data "aws_caller_identity" "me" {}

data "aws_partition" "here" {}

locals {
  tags = merge(var.tags, { throng = var.name })
  zone = "${var.name}.internal"

  # What there is of each role in the home region.
  hosts = { for role, hosts in {
    "control-plane" = merge(var.control_plane, { instances = 1, addresses = 1 })
    "data-plane"    = merge(var.data_plane, { instances = 1, addresses = 1 })
    "origin"        = merge(var.origin, { instances = var.origin == null ? 0 : 1, addresses = 1 })
    "edge"          = merge(var.edges, { disk_gib = 16, addresses = 1 })
    "worker"        = merge(var.workers, { disk_gib = 16 })
    "probe"         = merge(var.probes, { disk_gib = 16, addresses = 1 })
  } : role => hosts if hosts.instances > 0 }

  balanced = var.load_balancer && contains(keys(local.hosts), "edge")

  names = {
    "control-plane" = "control-plane.${local.zone}"
    "data-plane"    = "data-plane.${local.zone}"
    "origin"        = "origin.${local.zone}"
    "edge"          = local.balanced ? "" : "edges.${local.zone}"
  }

  # Where users connect to, if the service is this fleet's.
  target = (
    local.balanced ? "ws://edges.${local.zone}:7800" :
    contains(keys(local.hosts), "edge") ? "ws://${local.names["edge"]}:7800" :
    contains(keys(local.hosts), "origin") ? "ws://${local.names["origin"]}:7800" : null
  )

  scheme = var.tls_parameters == null ? "http" : "https"
  secrets = {
    for role in ["control-plane", "data-plane", "origin", "edge", "worker", "probe"] : role => merge(
      contains(["origin", "edge"], role) ? { "api-secret" = var.api_secret_parameter } : {},
      role == "control-plane" && var.token_parameter != null ? { "token" = var.token_parameter } : {},
      # Of the server under test these are for the links between edges and origin: users come as its URL says.
      var.tls_parameters == null ? {} : {
        "tls-ca"   = "${var.tls_parameters}/ca"
        "tls-cert" = "${var.tls_parameters}/${role}/cert"
        "tls-key"  = "${var.tls_parameters}/${role}/key"
      },
    )
  }

  fleet = {
    name            = var.name
    home            = var.region
    account         = data.aws_caller_identity.me.account_id
    partition       = data.aws_partition.here.partition
    bucket_arn      = module.storage.bucket_arn
    zone_id         = aws_route53_zone.this.zone_id
    architecture    = var.architecture
    image_parameter = var.image_parameter
    # Fixed when the fleet is made; a longer time to live counts from then, too.
    expires_at           = timeadd(terraform_data.born.output, "${var.ttl_hours}h")
    permissions_boundary = var.permissions_boundary
    tags                 = local.tags
    environment = {
      FLEET_CONTROL_PLANE = "${local.scheme}://${local.names["control-plane"]}:7700"
      FLEET_DATA_PLANE    = "${local.scheme}://${local.names["data-plane"]}:7701"
      FLEET_ORIGIN        = "${local.names["origin"]}:7801"
      FLEET_API_KEY       = var.api_key
      THRONG_LOG          = var.log
      FLEET_PLAINTEXT     = var.plaintext ? "1" : ""
      FLEET_HOME          = var.region
      FLEET_BINARY        = module.storage.binary_url
      FLEET_BINARY_SHA256 = module.storage.binary_sha256
      FLEET_BUCKET        = module.storage.bucket
      FLEET_ZONE          = aws_route53_zone.this.zone_id
    }
  }
}

# When the fleet was made: kept, so that a later apply doesn't make it live longer.
resource "terraform_data" "born" {
  input = plantimestamp()

  lifecycle {
    ignore_changes = [input]
  }
}

module "network" {
  source = "./modules/network"

  name   = var.name
  region = var.region
  cidr   = var.cidr
  zones  = var.zones
  tags   = local.tags
}

module "firewall" {
  source = "./modules/firewall"

  name           = var.name
  region         = var.region
  vpc_id         = module.network.vpc_id
  roles          = concat(keys(local.hosts), local.balanced ? ["balancer"] : [])
  operator_cidrs = var.operator_cidrs
  remote_cidrs   = [for remote in var.worker_regions : remote.cidr]
  target_cidrs   = var.target_cidrs
  target_ports   = var.target_ports
  tags           = local.tags
}

module "storage" {
  source = "./modules/storage"

  region         = var.region
  bucket         = "${var.name}-${data.aws_caller_identity.me.account_id}-${var.region}"
  delete_results = var.delete_results
  binary         = var.throng_binary
  tags           = local.tags
}

# The names that hosts claim for themselves when they boot, so that one that replaces another is found where that was.
resource "aws_route53_zone" "this" {
  name          = local.zone
  comment       = "throng fleet ${var.name}"
  force_destroy = true
  tags          = local.tags

  vpc {
    vpc_id     = module.network.vpc_id
    vpc_region = var.region
  }

  # Networks of other regions are added by their peering.
  lifecycle {
    ignore_changes = [vpc]
  }
}

module "balancer" {
  source = "./modules/balancer"
  count  = local.balanced ? 1 : 0

  name              = var.name
  region            = var.region
  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.subnet_ids
  security_group_id = module.firewall.group_ids["balancer"]
  tags              = local.tags
}

resource "aws_route53_record" "edges" {
  count = local.balanced ? 1 : 0

  zone_id = aws_route53_zone.this.zone_id
  name    = "edges.${local.zone}"
  type    = "CNAME"
  ttl     = 60
  records = [module.balancer[0].dns_name]
}

module "cache" {
  source = "./modules/cache"
  count  = var.cache == null ? 0 : 1

  name       = var.name
  region     = var.region
  vpc_id     = module.network.vpc_id
  subnet_ids = module.network.subnet_ids
  node_type  = var.cache.node_type
  replicas   = var.cache.replicas
  tags       = local.tags

  client_group_ids = {
    for role in ["origin", "edge"] : role => module.firewall.group_ids[role] if contains(keys(local.hosts), role)
  }
}

module "role" {
  source   = "./modules/role"
  for_each = local.hosts

  fleet             = local.fleet
  role              = each.key
  region            = var.region
  subnet_ids        = module.network.subnet_ids
  security_group_id = module.firewall.group_ids[each.key]
  instances         = each.value.instances
  instance_type     = each.value.instance_type
  disk_gib          = each.value.disk_gib
  addresses         = each.value.addresses
  spot              = each.key == "worker" ? var.workers_spot : null
  target_group_arns = each.key == "edge" ? module.balancer[*].target_group_arn : []
  secrets           = local.secrets[each.key]
  dns_name          = lookup(local.names, each.key, "")
}

# More workers elsewhere in the world, whose users are as far away as people are.
module "remote_network" {
  source   = "./modules/network"
  for_each = var.worker_regions

  name   = var.name
  region = each.key
  cidr   = each.value.cidr
  zones  = var.zones
  tags   = local.tags
}

module "remote_firewall" {
  source   = "./modules/firewall"
  for_each = var.worker_regions

  name         = var.name
  region       = each.key
  vpc_id       = module.remote_network[each.key].vpc_id
  roles        = ["worker"]
  home_cidr    = var.cidr
  target_cidrs = var.target_cidrs
  target_ports = var.target_ports
  tags         = local.tags
}

module "peering" {
  source   = "./modules/peering"
  for_each = var.worker_regions

  zone_id = aws_route53_zone.this.zone_id
  tags    = local.tags

  home = {
    region         = var.region
    vpc_id         = module.network.vpc_id
    route_table_id = module.network.route_table_id
    cidr           = module.network.cidr
  }
  remote = {
    region         = each.key
    vpc_id         = module.remote_network[each.key].vpc_id
    route_table_id = module.remote_network[each.key].route_table_id
    cidr           = module.remote_network[each.key].cidr
  }
}

module "remote_worker" {
  source   = "./modules/role"
  for_each = var.worker_regions

  fleet             = local.fleet
  role              = "worker"
  suffix            = "-${each.key}"
  region            = each.key
  subnet_ids        = module.remote_network[each.key].subnet_ids
  security_group_id = module.remote_firewall[each.key].group_ids["worker"]
  instances         = each.value.instances
  instance_type     = coalesce(each.value.instance_type, var.workers.instance_type)
  addresses         = var.workers.addresses
  spot              = var.workers_spot
  secrets           = local.secrets["worker"]

  depends_on = [module.peering]
}

module "lifetime" {
  source = "./modules/lifetime"
  count  = local.balanced || var.cache != null ? 1 : 0

  name                 = var.name
  region               = var.region
  account              = data.aws_caller_identity.me.account_id
  expires_at           = local.fleet.expires_at
  balancer             = one([for b in module.balancer : { arn = b.arn }])
  cache                = one([for c in module.cache : { arn = c.arn, id = c.id }])
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

# Says by mail what the fleet costs before it has cost that much. AWS counts by the tag `throng`, once it is activated as a
# cost allocation tag, and some hours late: the time to live is what really ends spending.
resource "aws_budgets_budget" "this" {
  count = var.budget == null ? 0 : 1

  name         = "throng-${var.name}"
  budget_type  = "COST"
  limit_amount = tostring(var.budget.limit_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  tags         = local.tags

  cost_filter {
    name   = "TagKeyValue"
    values = ["user:throng$${var.name}"]
  }

  dynamic "notification" {
    for_each = { "50" = "ACTUAL", "80" = "ACTUAL", "100" = "FORECASTED" }

    content {
      comparison_operator        = "GREATER_THAN"
      threshold                  = tonumber(notification.key)
      threshold_type             = "PERCENTAGE"
      notification_type          = notification.value
      subscriber_email_addresses = var.budget.emails
    }
  }
}
