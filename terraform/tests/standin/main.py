"""A stand-in for the AWS provider, for tests: `main.py SCHEMAS`, started by Terraform as its plugin. The cloud is
the file that the environment names in STANDIN_CLOUD."""

import json
import os
import sys

import servicer
import tf.provider
import tf.runner


def main(schemas, *flags):
    """Serves Terraform until it says that it is done; with `--dev`, whoever attaches until it is killed. The framework's
    runner speaks the plugins' handshake; what it serves is ours."""
    with open(schemas, encoding="utf-8") as file:
        known = json.load(file)
    tf.provider.ProviderServicer = lambda provider: provider
    tf.runner.run_provider(servicer.StandIn(known, os.environ["STANDIN_CLOUD"]), ["terraform-provider-aws", *flags])


if __name__ == "__main__":
    main(*sys.argv[1:])
