# A Redis-like cache for a server tier of your own that wants one; the bundled chat server doesn't. Reached by the origin
# and the edges only, encrypted on the way and at rest.

resource "aws_elasticache_subnet_group" "this" {
  region     = var.region
  name       = "${var.name}-cache"
  subnet_ids = var.subnet_ids
  tags       = var.tags
}

resource "aws_security_group" "this" {
  region      = var.region
  name        = "${var.name}-cache"
  description = "throng fleet ${var.name}: cache"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.client_group_ids

  region                       = var.region
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  description                  = each.key
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = var.client_group_ids

  region                       = var.region
  security_group_id            = each.value
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  description                  = "cache"
  tags                         = var.tags
}

resource "aws_elasticache_replication_group" "this" {
  region                     = var.region
  replication_group_id       = "${var.name}-cache"
  description                = "throng fleet ${var.name}"
  engine                     = "valkey"
  node_type                  = var.node_type
  num_cache_clusters         = 1 + var.replicas
  automatic_failover_enabled = var.replicas > 0
  port                       = 6379
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  snapshot_retention_limit   = 0
  tags                       = var.tags
}
