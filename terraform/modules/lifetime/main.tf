# What ends at the fleet's end beside the hosts, whose groups have schedules of their own: the balancer and the cache, which
# cost something while nobody uses them. What is left after that (network, bucket, zone) costs next to nothing.

locals {
  ends = merge(
    var.balancer == null ? {} : { balancer = {
      action    = "elasticloadbalancing:DeleteLoadBalancer"
      call      = "elasticloadbalancingv2:deleteLoadBalancer"
      resource  = var.balancer.arn
      arguments = { LoadBalancerArn = var.balancer.arn }
    } },
    var.cache == null ? {} : { cache = {
      action    = "elasticache:DeleteReplicationGroup"
      call      = "elasticache:deleteReplicationGroup"
      resource  = var.cache.arn
      arguments = { ReplicationGroupId = var.cache.id }
    } },
  )
}

resource "aws_iam_role" "scheduler" {
  name                 = "${var.name}-end"
  description          = "Ends what throng fleet ${var.name} leaves behind"
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "end"
  role = aws_iam_role.scheduler.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for what, end in local.ends : {
      Sid      = title(what)
      Effect   = "Allow"
      Action   = [end.action]
      Resource = what == "cache" ? [end.resource, "arn:*:elasticache:${var.region}:${var.account}:cluster:*"] : [end.resource]
    }]
  })
}

resource "aws_scheduler_schedule" "end" {
  for_each = local.ends

  region                       = var.region
  name                         = "${var.name}-end-${each.key}"
  description                  = "throng fleet ${var.name}: end of the ${each.key}"
  schedule_expression          = "at(${formatdate("YYYY-MM-DD'T'hh:mm:ss", var.expires_at)})"
  schedule_expression_timezone = "UTC"
  action_after_completion      = "DELETE"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "arn:aws:scheduler:::aws-sdk:${each.value.call}"
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode(each.value.arguments)

    retry_policy {
      maximum_retry_attempts       = 20
      maximum_event_age_in_seconds = 3600
    }
  }

  depends_on = [aws_iam_role_policy.scheduler]
}
