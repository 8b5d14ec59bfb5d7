# The smallest fleet that is one: every role on a host of its own, for a first look. A few thousand users.
module "fleet" {
  source = "../.."

  name          = "throng-smoke"
  region        = var.region
  throng_binary = var.throng_binary
  ttl_hours     = 2
  budget        = { limit_usd = 10, emails = var.budget_emails }

  control_plane        = { instance_type = "c7g.medium" }
  data_plane           = { instance_type = "c7g.medium", disk_gib = 16 }
  origin               = { instance_type = "c7g.medium", disk_gib = 16 }
  edges                = { instances = 1, instance_type = "c7g.medium" }
  workers              = { instances = 2, instance_type = "c7g.medium" }
  probes               = { instances = 1, instance_type = "c7g.medium" }
  api_secret_parameter = "/throng/api-secret"
  tls_parameters       = "/throng/tls"
  token_parameter      = "/throng/token"
  delete_results       = true
}
