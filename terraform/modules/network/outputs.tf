output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "Its subnets, one a zone."
  value       = [for zone in local.zones : aws_subnet.this[zone].id]
}

output "route_table_id" {
  description = "Where routes to other regions go."
  value       = aws_route_table.this.id
}

output "cidr" {
  description = "Its addresses."
  value       = aws_vpc.this.cidr_block
}
