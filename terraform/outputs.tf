output "expires_at" {
  description = "When the fleet ends by itself."
  value       = local.fleet.expires_at
}

output "bucket" {
  description = "Where runs and reports are copied to."
  value       = module.storage.bucket
}

output "target" {
  description = "The bundled server, as workers reach it."
  value       = local.target
}

output "cache_endpoint" {
  description = "The cache, if there is one."
  value       = one(module.cache[*].endpoint)
}

output "user_data" {
  description = "What the hosts of each role boot from."
  value       = { for role, hosts in module.role : role => hosts.user_data }
}

output "policies" {
  description = "What the hosts of each role may do."
  value       = { for role, hosts in module.role : role => hosts.policy }
}

locals {
  a_control_plane = join(" ", [
    "$(aws ec2 describe-instances --region ${var.region}",
    "--filters Name=tag:throng:fleet,Values=${var.name} Name=tag:throng:role,Values=control-plane Name=instance-state-name,Values=running",
    "--query 'Reservations[0].Instances[0].InstanceId' --output text)",
  ])
}

output "next" {
  description = "What to type next, in this order."
  value = {
    "1 wait until the workers are there (console)" = join(" ", [
      "aws ssm start-session --region ${var.region} --target ${local.a_control_plane}",
      "--document-name AWS-StartPortForwardingSessionToRemoteHost",
      "--parameters host=${local.names["control-plane"]},portNumber=7780,localPortNumber=7780",
      "   # then open ${local.scheme}://127.0.0.1:7780",
    ])
    "2 open the way to the control plane" = join(" ", [
      "aws ssm start-session --region ${var.region} --target ${local.a_control_plane}",
      "--document-name AWS-StartPortForwardingSessionToRemoteHost",
      "--parameters host=${local.names["control-plane"]},portNumber=7700,localPortNumber=7700",
    ])
    "3 run" = join(" ", [
      "throng run SCENARIO.yaml --control-plane ${local.scheme}://127.0.0.1:7700 --api-key ${var.api_key} --api-secret-file SECRET",
      var.tls_parameters == null ? "--plaintext" : "--tls-ca certs/ca.pem --tls-cert certs/operator.pem --tls-key certs/operator.key",
      var.token_parameter == null ? "" : "--token-file token",
      local.target == null ? "--target wss://YOUR-SERVICE" : "--target ${local.target}",
    ])
    "4 fetch the report" = "aws s3 sync s3://${module.storage.bucket}/runs runs"
    "5 destroy"          = "terraform destroy"
  }
}
