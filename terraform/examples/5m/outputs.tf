output "next" {
  description = "What to type next, in this order."
  value       = module.fleet.next
}

output "expires_at" {
  description = "When the fleet ends by itself."
  value       = module.fleet.expires_at
}

output "user_data" {
  description = "What the hosts of each role boot from."
  value       = module.fleet.user_data
  sensitive   = true # Not a secret, only long: terraform output -json user_data
}

output "policies" {
  description = "What the hosts of each role may do."
  value       = module.fleet.policies
  sensitive   = true # Not a secret, only long: terraform output -json policies
}
