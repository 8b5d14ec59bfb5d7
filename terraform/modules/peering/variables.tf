variable "home" {
  description = "The network with control plane, data plane and server."
  type = object({
    region         = string
    vpc_id         = string
    route_table_id = string
    cidr           = string
  })
}

variable "remote" {
  description = "The network with more workers."
  type = object({
    region         = string
    vpc_id         = string
    route_table_id = string
    cidr           = string
  })
}

variable "zone_id" {
  description = "The fleet's private zone."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
}
