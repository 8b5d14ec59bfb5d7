output "group_name" {
  description = "The autoscaling group."
  value       = aws_autoscaling_group.host.name
}

output "user_data" {
  description = "What the hosts boot from, as they read it: for a look, and for the tests."
  value       = local.user_data
}

output "policy" {
  description = "What the hosts may do."
  value       = aws_iam_role_policy.host.policy
}
