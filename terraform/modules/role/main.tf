# The hosts of one role in one region: a launch template, a group that keeps their number, what they may do, and when they
# end. They boot from user data that writes the files of `deploy/` and starts the role's unit.

locals {
  full_name = "${var.fleet.name}-${var.role}${var.suffix}"
  tags      = merge(var.fleet.tags, { "throng:fleet" = var.fleet.name, "throng:role" = var.role })

  units = concat(
    ["throng-host.service", "throng-expire.service", "throng-expire.timer", "throng-${var.role}.service"],
    var.role == "data-plane" ? ["throng-results.service", "throng-results.timer"] : [],
  )
  started = [for unit in local.units : unit if !contains(["throng-expire.service", "throng-results.service"], unit)]
  scripts = concat(["throng-host", "throng-expire"], var.role == "data-plane" ? ["throng-results"] : [])

  environment = merge(var.fleet.environment, {
    FLEET            = var.fleet.name
    FLEET_ROLE       = var.role
    FLEET_REGION     = var.region
    FLEET_GROUP      = local.full_name
    FLEET_DNS_NAME   = var.dns_name
    FLEET_SECRETS    = join(" ", [for name, parameter in var.secrets : "${name}=${parameter}"])
    FLEET_EXPIRES_AT = var.fleet.expires_at
  })

  deploy = "${path.module}/../../../deploy"
  files = concat(
    [{
      path        = "/etc/throng/throng.env"
      permissions = "0644"
      content     = join("", [for name, value in local.environment : "${name}=${value}\n"])
    }],
    [for unit in local.units : {
      path        = "/etc/systemd/system/${unit}"
      permissions = "0644"
      content     = file("${local.deploy}/units/${unit}")
    }],
    [for script in local.scripts : {
      path        = "/usr/local/lib/throng/${script}"
      permissions = "0755"
      content     = file("${local.deploy}/hosts/${script}")
    }],
    [
      { path = "/etc/sysctl.d/90-throng.conf", permissions = "0644", content = file("${local.deploy}/hosts/sysctl.conf") },
      { path = "/etc/chrony.conf", permissions = "0644", content = file("${local.deploy}/hosts/chrony.conf") },
    ],
  )
  user_data = join("\n", ["#cloud-config", yamlencode({
    users       = ["default", { name = "throng", system = true, no_create_home = true, shell = "/sbin/nologin" }]
    write_files = local.files
    runcmd = [
      ["install", "-d", "-m", "0755", "/var/lib/throng", "/etc/chrony.d"],
      ["sysctl", "--system"],
      ["systemctl", "restart", "chronyd"],
      ["systemctl", "daemon-reload"],
      # Not awaited: a host that can't fetch its binary yet tries again, and the other units must start meanwhile.
      concat(["systemctl", "enable", "--now", "--no-block"], local.started),
    ]
  })])

  # What every host does: be reached by operators through Session Manager, and end itself. The role's own comes on top.
  statements = concat([
    {
      Sid    = "Sessions"
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"]
    },
    {
      Sid      = "Binary"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${var.fleet.bucket_arn}/bin/*"]
    },
    {
      Sid      = "EndItself"
      Effect   = "Allow"
      Action   = ["autoscaling:UpdateAutoScalingGroup"]
      Resource = ["arn:${var.fleet.partition}:autoscaling:${var.region}:${var.fleet.account}:autoScalingGroup:*:autoScalingGroupName/${local.full_name}"]
    },
    ],
    length(var.secrets) == 0 ? [] : [{
      Sid    = "Secrets"
      Effect = "Allow"
      Action = ["ssm:GetParameter"]
      Resource = [
        for parameter in values(var.secrets) :
        "arn:${var.fleet.partition}:ssm:${var.fleet.home}:${var.fleet.account}:parameter${parameter}"
      ]
    }],
    var.dns_name == "" ? [] : [{
      Sid      = "Name"
      Effect   = "Allow"
      Action   = ["route53:ChangeResourceRecordSets"]
      Resource = ["arn:${var.fleet.partition}:route53:::hostedzone/${var.fleet.zone_id}"]
      Condition = {
        "ForAllValues:StringEquals" = {
          "route53:ChangeResourceRecordSetsNormalizedRecordNames" = [var.dns_name]
          "route53:ChangeResourceRecordSetsRecordTypes"           = ["A"]
        }
      }
    }],
    var.role != "data-plane" ? [] : [
      { Sid = "Results", Effect = "Allow", Action = ["s3:PutObject", "s3:GetObject"], Resource = ["${var.fleet.bucket_arn}/runs/*"] },
      { Sid = "ListResults", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.fleet.bucket_arn] },
  ])
}

data "aws_ssm_parameter" "image" {
  region = var.region
  name   = replace(var.fleet.image_parameter, "{arch}", var.fleet.architecture)
}

resource "aws_iam_role" "host" {
  name                 = "${local.full_name}-${var.region}"
  description          = "Hosts of throng fleet ${var.fleet.name}: ${var.role}"
  permissions_boundary = var.fleet.permissions_boundary
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "host" {
  name   = "throng"
  role   = aws_iam_role.host.name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_iam_instance_profile" "host" {
  name = aws_iam_role.host.name
  role = aws_iam_role.host.name
  tags = local.tags

  # A host that boots before it may do anything would only wait.
  depends_on = [aws_iam_role_policy.host]
}

resource "aws_launch_template" "host" {
  region                               = var.region
  name                                 = local.full_name
  description                          = "throng ${var.role}"
  update_default_version               = true
  image_id                             = data.aws_ssm_parameter.image.insecure_value
  instance_type                        = var.instance_type
  instance_initiated_shutdown_behavior = "terminate"
  user_data                            = base64gzip(local.user_data)
  tags                                 = local.tags

  iam_instance_profile {
    arn = aws_iam_instance_profile.host.arn
  }

  # Only by token, and from the host itself.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  network_interfaces {
    device_index                = 0
    associate_public_ip_address = true
    security_groups             = [var.security_group_id]
    # Beside the first one: each address has 64,511 local ports of its own towards a target.
    ipv4_address_count    = var.addresses > 1 ? var.addresses - 1 : null
    delete_on_termination = true
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = false
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])

    content {
      resource_type = tag_specifications.value
      tags          = merge(local.tags, { Name = local.full_name })
    }
  }
}

resource "aws_autoscaling_group" "host" {
  region                    = var.region
  name                      = local.full_name
  min_size                  = var.instances
  desired_capacity          = var.instances
  max_size                  = var.instances
  vpc_zone_identifier       = var.subnet_ids
  health_check_type         = "EC2"
  health_check_grace_period = 120
  target_group_arns         = var.target_group_arns
  # A fleet that comes up piece by piece is of use piece by piece; a spot market may not have all of it.
  wait_for_capacity_timeout = "0"
  max_instance_lifetime     = 0
  # Spreading hosts evenly again would end some in the middle of a run.
  suspended_processes = ["AZRebalance"]

  # Either plain, or of several types bought on the spot market.
  dynamic "launch_template" {
    for_each = var.spot == null ? [1] : []

    content {
      id      = aws_launch_template.host.id
      version = aws_launch_template.host.latest_version
    }
  }

  dynamic "mixed_instances_policy" {
    for_each = var.spot == null ? [] : [var.spot]

    content {
      instances_distribution {
        on_demand_base_capacity                  = mixed_instances_policy.value.on_demand_base
        on_demand_percentage_above_base_capacity = 0
        spot_allocation_strategy                 = "price-capacity-optimized"
      }

      launch_template {
        launch_template_specification {
          launch_template_id = aws_launch_template.host.id
          version            = aws_launch_template.host.latest_version
        }

        dynamic "override" {
          for_each = distinct(concat([var.instance_type], mixed_instances_policy.value.also))

          content {
            instance_type = override.value
          }
        }
      }
    }
  }

  dynamic "tag" {
    for_each = local.tags

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = false
    }
  }

  # The schedule below empties the group; the next apply must not fill it again by itself.
  lifecycle {
    create_before_destroy = false
  }
}

# The fleet's time to live: at that instant the group becomes empty, whoever has forgotten it.
resource "aws_autoscaling_schedule" "end" {
  region                 = var.region
  scheduled_action_name  = "end-of-fleet"
  autoscaling_group_name = aws_autoscaling_group.host.name
  start_time             = var.fleet.expires_at
  min_size               = 0
  max_size               = 0
  desired_capacity       = 0
}
