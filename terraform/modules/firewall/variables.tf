variable "name" {
  description = "The fleet's name."
  type        = string
}

variable "region" {
  description = "The region of the groups."
  type        = string
}

variable "vpc_id" {
  description = "The network that they are in."
  type        = string
}

variable "roles" {
  description = "Roles that have hosts here, and `balancer` where there is one."
  type        = set(string)

  validation {
    condition     = alltrue([for r in var.roles : contains(["control-plane", "data-plane", "origin", "edge", "worker", "probe", "balancer"], r)])
    error_message = "A role is control-plane, data-plane, origin, edge, worker, probe or balancer."
  }
}

variable "operator_cidrs" {
  description = "Networks from which people may open the console and submit runs."
  type        = list(string)
  default     = []
}

variable "remote_cidrs" {
  description = "Networks of other regions with workers."
  type        = list(string)
  default     = []
}

variable "home_cidr" {
  description = "The home region's network, from a region that has workers only."
  type        = string
  default     = null
}

variable "target_cidrs" {
  description = "Networks of a service under test that isn't this fleet's."
  type        = list(string)
  default     = []
}

variable "target_ports" {
  description = "Its ports."
  type        = list(number)
  default     = []
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
}
