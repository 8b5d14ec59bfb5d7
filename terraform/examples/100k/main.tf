# A hundred thousand users in one region, workers from the spot market.
module "fleet" {
  source = "../.."

  name          = "throng-100k"
  region        = var.region
  throng_binary = var.throng_binary
  ttl_hours     = 4
  budget        = { limit_usd = 50, emails = var.budget_emails }

  origin               = { instance_type = "c7g.2xlarge" }
  edges                = { instances = 4, instance_type = "c7g.xlarge" }
  workers              = { instances = 6, instance_type = "c7g.xlarge" }
  workers_spot         = { also = ["c7gn.xlarge", "c6g.xlarge", "m7g.xlarge"] }
  probes               = { instances = 2, instance_type = "c7g.medium" }
  api_secret_parameter = "/throng/api-secret"
  tls_parameters       = "/throng/tls"
  token_parameter      = "/throng/token"
}
