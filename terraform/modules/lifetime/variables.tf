variable "name" {
  description = "The fleet's name."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "account" {
  description = "The account."
  type        = string
}

variable "expires_at" {
  description = "When the fleet ends: an instant such as 2026-11-24T18:00:00Z."
  type        = string
}

variable "balancer" {
  description = "The balancer, if there is one."
  type        = object({ arn = string })
}

variable "cache" {
  description = "The cache, if there is one."
  type        = object({ arn = string, id = string })
}

variable "permissions_boundary" {
  description = "The ARN of the policy that bounds every role made here, or null."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
}
