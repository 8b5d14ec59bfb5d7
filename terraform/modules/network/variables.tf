variable "name" {
  description = "The fleet's name."
  type        = string
}

variable "region" {
  description = "The region of the network."
  type        = string
}

variable "cidr" {
  description = "The network's addresses. A quarter of them is one zone's."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr)) && try(tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "The network must be in IPv4 CIDR notation and at least a /22, such as 10.10.0.0/16."
  }
}

variable "zones" {
  description = "In how many availability zones hosts are."
  type        = number

  validation {
    condition     = var.zones >= 1 && var.zones <= 3
    error_message = "Hosts are in 1 to 3 availability zones."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
}
