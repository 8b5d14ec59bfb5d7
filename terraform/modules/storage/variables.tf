variable "region" {
  description = "The region of the bucket."
  type        = string
}

variable "bucket" {
  description = "Its name, unique among all buckets of all people."
  type        = string
}

variable "delete_results" {
  description = "Whether `terraform destroy` may delete runs that are still in it."
  type        = bool
}

variable "binary" {
  description = "The throng that hosts run: a file here."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
}
