# One address for all edges. It works below HTTP, so that it never looks into a connection, and passes users on under
# their own addresses: nothing on the way can run out of ports.

resource "aws_lb" "this" {
  region                           = var.region
  name                             = "${var.name}-edges"
  load_balancer_type               = "network"
  internal                         = true
  subnets                          = var.subnet_ids
  security_groups                  = [var.security_group_id]
  enable_cross_zone_load_balancing = true
  tags                             = var.tags
}

resource "aws_lb_target_group" "edges" {
  region               = var.region
  name                 = "${var.name}-edges"
  port                 = 7800
  protocol             = "TCP"
  target_type          = "instance"
  vpc_id               = var.vpc_id
  preserve_client_ip   = "true"
  deregistration_delay = "0"
  tags                 = var.tags

  # A user's calls name the connection that they are about, and only the edge that holds it knows it: what comes from one
  # address goes to one edge.
  stickiness {
    enabled = true
    type    = "source_ip"
  }

  health_check {
    protocol            = "HTTP"
    path                = "/stats"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "users" {
  region            = var.region
  load_balancer_arn = aws_lb.this.arn
  port              = 7800
  protocol          = "TCP"
  # Users of a quiet room say nothing for minutes.
  tcp_idle_timeout_seconds = 6000
  tags                     = var.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.edges.arn
  }
}
