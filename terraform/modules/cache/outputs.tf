output "id" {
  description = "The cache's name."
  value       = aws_elasticache_replication_group.this.id
}

output "arn" {
  description = "The cache."
  value       = aws_elasticache_replication_group.this.arn
}

output "endpoint" {
  description = "Where it answers."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}
