# Five million users from three regions. Rehearse the scenario first (`throng rehearse`): this costs more than a hundred dollars
# an hour, see terraform/README.md. 50,000 users a worker, as in the rehearsal, which leaves its address 14,511 of its ports.
# The balancer keeps a worker with one edge: with two workers for each edge some have none, and the fullest six or so.
module "fleet" {
  source = "../.."

  name          = "throng-5m"
  region        = var.region
  throng_binary = var.throng_binary
  ttl_hours     = 4
  budget        = { limit_usd = 2000, emails = var.budget_emails }
  cidr          = "10.80.0.0/16"

  control_plane = { instance_type = "c7g.xlarge" }
  data_plane    = { instance_type = "c7g.4xlarge", disk_gib = 256 }
  origin        = { instance_type = "c7gn.16xlarge", disk_gib = 256 }
  edges         = { instances = 50, instance_type = "c7gn.4xlarge" }
  workers       = { instances = 70, instance_type = "c7gn.2xlarge" }
  workers_spot  = { on_demand_base = 10, also = ["c7g.4xlarge", "c6gn.2xlarge", "m7g.4xlarge"] }
  probes        = { instances = 4, instance_type = "c7g.xlarge" }
  load_balancer = true

  worker_regions = {
    "eu-central-1"   = { cidr = "10.81.0.0/16", instances = 20 }
    "ap-southeast-1" = { cidr = "10.82.0.0/16", instances = 10 }
  }

  api_secret_parameter = "/throng/api-secret"
  tls_parameters       = "/throng/tls"
  token_parameter      = "/throng/token"
}
