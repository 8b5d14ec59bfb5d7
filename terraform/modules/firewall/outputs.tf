output "group_ids" {
  description = "The security group of each role."
  value       = { for role, group in aws_security_group.role : role => group.id }
}
