variable "throng_binary" {
  description = "The throng that all hosts run: a file here."
  type        = string
}

variable "region" {
  description = "Where the fleet is."
  type        = string
  default     = "us-east-1"
}

variable "budget_emails" {
  description = "Who is told what it costs."
  type        = list(string)
}
