# The way from the home region's network to another region's and back.

resource "aws_vpc_peering_connection" "this" {
  region      = var.home.region
  vpc_id      = var.home.vpc_id
  peer_vpc_id = var.remote.vpc_id
  peer_region = var.remote.region
  tags        = var.tags
}

resource "aws_vpc_peering_connection_accepter" "this" {
  region                    = var.remote.region
  vpc_peering_connection_id = aws_vpc_peering_connection.this.id
  auto_accept               = true
  tags                      = var.tags
}

resource "aws_route" "out" {
  region                    = var.home.region
  route_table_id            = var.home.route_table_id
  destination_cidr_block    = var.remote.cidr
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.this.vpc_peering_connection_id
}

resource "aws_route" "back" {
  region                    = var.remote.region
  route_table_id            = var.remote.route_table_id
  destination_cidr_block    = var.home.cidr
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.this.vpc_peering_connection_id
}

# The fleet's names, over there too.
resource "aws_route53_zone_association" "this" {
  zone_id    = var.zone_id
  vpc_id     = var.remote.vpc_id
  vpc_region = var.remote.region
}
