variable "name" {
  description = "The fleet's name: in the names and tags of everything, and in its zone, NAME.internal."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "A fleet's name is 3 to 20 of a-z, 0-9 and -, beginning with a letter, such as match-night."
  }
}

variable "region" {
  description = "Where control plane, data plane and server are."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region is written like us-east-1."
  }
}

variable "throng_binary" {
  description = "The throng that all hosts run: a file here, built for Linux, `architecture` and the image's C library."
  type        = string

  validation {
    condition     = fileexists(var.throng_binary)
    error_message = "There is no such file; build it first: cargo build --release -p throng."
  }
}

variable "architecture" {
  description = "Of the binary, the image and the hosts."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "The architecture is arm64 or x86_64."
  }
}

variable "image_parameter" {
  description = "The public parameter that names the hosts' image. It must have systemd, cloud-init, chrony, the AWS CLI and the Session Manager's agent, as Amazon Linux 2023 does."
  type        = string
  default     = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}"

  validation {
    condition     = startswith(var.image_parameter, "/")
    error_message = "A parameter's name begins with a slash; {arch} in it becomes the architecture."
  }
}

variable "ttl_hours" {
  description = "How long the fleet lives from its making on, whatever happens: then all groups become empty."
  type        = number

  validation {
    condition     = var.ttl_hours >= 1 && var.ttl_hours <= 168 && floor(var.ttl_hours) == var.ttl_hours
    error_message = "A fleet lives for 1 to 168 whole hours."
  }
}

variable "budget" {
  description = "Mails are sent when the fleet has cost half, four fifths, and is about to cost all of so many US dollars this month. null: none."
  type = object({
    limit_usd = number
    emails    = list(string)
  })

  validation {
    condition = (var.budget == null ? true :
      var.budget.limit_usd > 0 && length(var.budget.emails) > 0 && length(var.budget.emails) <= 10 &&
      alltrue([for mail in var.budget.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", mail))])
    )
    error_message = "A budget has a positive limit_usd and 1 to 10 addresses in emails."
  }
}

variable "cidr" {
  description = "The home network's addresses."
  type        = string
  default     = "10.80.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.cidr)) && try(tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "The network must be in IPv4 CIDR notation and at least a /22, such as 10.80.0.0/16."
  }
}

variable "zones" {
  description = "In how many availability zones hosts are. Traffic between zones is slower and costs money: one is right for most measurements."
  type        = number
  default     = 1

  validation {
    condition     = var.zones >= 1 && var.zones <= 3
    error_message = "Hosts are in 1 to 3 availability zones."
  }
}

variable "operator_cidrs" {
  description = "Networks from which people may open the console and submit runs. None: through Session Manager only, which needs no open port."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.operator_cidrs : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "Operators' networks are in IPv4 CIDR notation, and never everybody's (/0)."
  }
}

variable "control_plane" {
  description = "The control plane's host."
  type = object({
    instance_type = optional(string, "c7g.large")
    disk_gib      = optional(number, 16)
  })
  default = {}
}

variable "data_plane" {
  description = "The data plane's host. Its disk holds journals and reports."
  type = object({
    instance_type = optional(string, "c7g.xlarge")
    disk_gib      = optional(number, 64)
  })
  default = {}
}

variable "origin" {
  description = "The bundled server's origin, with channels and messages. null: the service under test is another one."
  type = object({
    instance_type = optional(string, "c7g.xlarge")
    disk_gib      = optional(number, 64)
  })
  default = {}
}

variable "edges" {
  description = "The bundled server's edges, which hold users' connections."
  type = object({
    instances     = optional(number, 0)
    instance_type = optional(string, "c7g.2xlarge")
  })
  default = {}

  validation {
    condition     = var.edges.instances >= 0 && floor(var.edges.instances) == var.edges.instances
    error_message = "Edges are a whole number of hosts."
  }

  validation {
    condition     = var.edges.instances == 0 || var.origin != null
    error_message = "Edges need an origin: give one, or no edges."
  }

  validation {
    condition     = var.edges.instances <= 8 || var.load_balancer
    error_message = "More than 8 edges need load_balancer = true: a name's answer holds no more than 8 addresses."
  }
}

variable "workers" {
  description = "Hosts that make load. Each address beyond the first gives another 64,511 connections towards a target."
  type = object({
    instances     = number
    instance_type = optional(string, "c7g.large")
    addresses     = optional(number, 1)
  })

  validation {
    condition     = !var.load_balancer || var.workers.addresses == 1
    error_message = "Behind a load balancer workers have addresses = 1: it keeps what comes from one address with one edge, and a user's calls come from its host's first."
  }

  validation {
    condition     = var.workers.instances >= 1 && floor(var.workers.instances) == var.workers.instances
    error_message = "There is at least one worker, and no half ones."
  }
}

variable "workers_spot" {
  description = "Buy workers on the spot market: how many are not, and other kinds of host that will do. A worker that is taken away is a lost worker, and the scenario says what that means. null: none."
  type = object({
    on_demand_base = optional(number, 0)
    also           = optional(list(string), [])
  })
  default = null
}

variable "worker_regions" {
  description = "More workers in other regions, by region. Their networks must overlap no other."
  type = map(object({
    cidr          = string
    instances     = number
    instance_type = optional(string)
  }))
  default = {}

  validation {
    condition     = !contains(keys(var.worker_regions), var.region)
    error_message = "Workers of the home region are `workers`."
  }

  validation {
    condition     = length(distinct(concat([var.cidr], [for r in var.worker_regions : r.cidr]))) == 1 + length(var.worker_regions)
    error_message = "Each region's network needs addresses of its own."
  }
}

variable "probes" {
  description = "Hosts that look at the server's nodes and run the canaries."
  type = object({
    instances     = optional(number, 1)
    instance_type = optional(string, "c7g.large")
  })
  default = {}
}

variable "target_cidrs" {
  description = "Networks of the service under test, if it isn't this fleet's; only these and the fleet's own server are ever dialled."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.target_cidrs : can(cidrnetmask(cidr))])
    error_message = "The target's networks are in IPv4 CIDR notation, such as 203.0.113.7/32."
  }
}

variable "target_ports" {
  description = "Its ports."
  type        = list(number)
  default     = [443]

  validation {
    condition     = alltrue([for port in var.target_ports : port >= 1 && port <= 65535])
    error_message = "A port is 1 to 65535."
  }
}

variable "load_balancer" {
  description = "One address for all edges. What comes from one worker goes to one edge, so the fullest edge may have a few times its share."
  type        = bool
  default     = false
}

variable "cache" {
  description = "A Redis-like cache for a server tier of your own. null: none; the bundled server wants none."
  type = object({
    node_type = string
    replicas  = optional(number, 0)
  })
  default = null
}

variable "api_key" {
  description = "The service's API key. It is no secret: clients send it in the open."
  type        = string
  default     = "throng"
}

variable "api_secret_parameter" {
  description = "The name of the SecureString parameter with the server's API secret. Hosts fetch it; it is in no state and in no user data."
  type        = string
  default     = null

  validation {
    condition     = var.api_secret_parameter == null ? true : can(regex("^/[A-Za-z0-9_./-]+$", var.api_secret_parameter))
    error_message = "A parameter's name begins with a slash, such as /throng/api-secret. It is the name, not the secret."
  }

  validation {
    condition     = var.origin == null || var.api_secret_parameter != null
    error_message = "The bundled server needs an API secret: put one into the Parameter Store and give its name."
  }
}

variable "tls_parameters" {
  description = "Where the Parameter Store has the certificates that `throng certs` made: PREFIX/ca, and PREFIX/ROLE/cert and PREFIX/ROLE/key for control-plane, data-plane, origin, edge, worker and probe."
  type        = string
  default     = null

  validation {
    condition     = var.tls_parameters == null ? true : can(regex("^/[A-Za-z0-9_./-]+[^/]$", var.tls_parameters))
    error_message = "A prefix of parameters begins with a slash and ends without one, such as /throng/tls."
  }

  validation {
    condition     = (var.tls_parameters == null) == var.plaintext
    error_message = "Give tls_parameters, the prefix of the fleet's certificates; or say plaintext = true, and none."
  }
}

variable "token_parameter" {
  description = "The name of the SecureString parameter with the token that people show to the control plane. null: the console answers nobody."
  type        = string
  default     = null

  validation {
    condition     = var.token_parameter == null ? true : can(regex("^/[A-Za-z0-9_./-]+$", var.token_parameter))
    error_message = "A parameter's name begins with a slash, such as /throng/token. It is the name, not the token."
  }
}

variable "plaintext" {
  description = "Let the fleet's processes speak plaintext, guarded by the security groups alone."
  type        = bool
  default     = false
}

variable "delete_results" {
  description = "Whether destroy may delete runs that are still in the bucket."
  type        = bool
  default     = false
}

variable "permissions_boundary" {
  description = "The ARN of the policy that bounds every role made here, where your account wants one."
  type        = string
  default     = null
}

variable "log" {
  description = "What the roles log."
  type        = string
  default     = "info"
}

variable "tags" {
  description = "More tags of everything."
  type        = map(string)
  default     = {}
}
