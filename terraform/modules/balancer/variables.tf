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

variable "security_group_id" {
  description = "Who may reach it."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
}
