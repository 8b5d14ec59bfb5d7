variable "name" {
  description = "The fleet's name."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Its subnets."
  type        = list(string)
}

variable "client_group_ids" {
  description = "Security groups that may reach it, by role."
  type        = map(string)
}

variable "node_type" {
  description = "The kind of node."
  type        = string
}

variable "replicas" {
  description = "Nodes beside the first one."
  type        = number
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
}
