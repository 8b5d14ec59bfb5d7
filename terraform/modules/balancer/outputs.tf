output "arn" {
  description = "The balancer."
  value       = aws_lb.this.arn
}

output "dns_name" {
  description = "Its name."
  value       = aws_lb.this.dns_name
}

output "target_group_arn" {
  description = "Where edges sign in."
  value       = aws_lb_target_group.edges.arn
}
