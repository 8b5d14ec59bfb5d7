terraform {
  # 1.9 and later let a variable's validation look at other variables.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 6 and later take a region for each resource: one provider serves all regions of a fleet.
      version = ">= 6.9, < 7.0"
    }
  }
}
