variable "fleet" {
  description = "What all roles of a fleet share."
  type = object({
    name                 = string
    home                 = string
    account              = string
    partition            = string
    bucket_arn           = string
    zone_id              = string
    architecture         = string
    image_parameter      = string
    expires_at           = string
    environment          = map(string)
    permissions_boundary = string
    tags                 = map(string)
  })
}

variable "role" {
  description = "What the hosts do: there is a unit file of that name."
  type        = string

  validation {
    condition     = contains(["control-plane", "data-plane", "origin", "edge", "worker", "probe"], var.role)
    error_message = "A role is control-plane, data-plane, origin, edge, worker or probe."
  }
}

variable "suffix" {
  description = "Added to names, where a role has hosts in several regions."
  type        = string
  default     = ""
}

variable "region" {
  description = "The region of the hosts."
  type        = string
}

variable "subnet_ids" {
  description = "The subnets of the hosts."
  type        = list(string)
}

variable "security_group_id" {
  description = "Who may reach them, and whom they may reach."
  type        = string
}

variable "instances" {
  description = "How many hosts."
  type        = number

  validation {
    condition     = var.instances >= 1 && floor(var.instances) == var.instances
    error_message = "A role has a whole number of hosts, at least 1."
  }
}

variable "instance_type" {
  description = "The kind of host."
  type        = string
}

variable "addresses" {
  description = "Private addresses of each host."
  type        = number
  default     = 1

  validation {
    condition     = var.addresses >= 1 && var.addresses <= 50 && floor(var.addresses) == var.addresses
    error_message = "A host has 1 to 50 addresses; how many its kind takes is in AWS's table of addresses per interface."
  }
}

variable "disk_gib" {
  description = "The disk of each host."
  type        = number
  default     = 16

  validation {
    condition     = var.disk_gib >= 8 && var.disk_gib <= 16384
    error_message = "A disk has 8 to 16,384 GiB."
  }
}

variable "spot" {
  description = "Buy hosts on the spot market: how many are not, and other kinds that will do."
  type = object({
    on_demand_base = number
    also           = list(string)
  })
  default = null
}

variable "target_group_arns" {
  description = "The balancer's groups that they serve in."
  type        = list(string)
  default     = []
}

variable "secrets" {
  description = "What is fetched at boot: file name below /run/throng/secrets to the name of its parameter."
  type        = map(string)
  default     = {}
}

variable "dns_name" {
  description = "The name in the fleet's zone that each host claims, or none."
  type        = string
  default     = ""
}
