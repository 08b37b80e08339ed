"""Builds all objects of an installation, in the order of their creation, and notices for the user."""

from deploy_gen.aggregator import deployment, network_policies, service, service_monitor, volume_claim
from deploy_gen.daemonset import daemon_set, image_list
from deploy_gen.objects import Object
from deploy_gen.options import Options
from deploy_gen.quota import needs_quota, resource_quota
from deploy_gen.rbac import aggregator_access, fetch_access, node_restriction

APPLY_LIMIT = 256 << 10
"""Bytes for all annotations of an object; `kubectl apply` stores the whole object in one of them."""


def notices(options: Options) -> list[str]:
    """List what is valid but may surprise the user, one sentence each."""
    found = []
    if options.images is not None and len(options.images.encode()) > APPLY_LIMIT - (4 << 10):
        found.append(
            "the list exceeds the size of the annotation that kubectl apply writes (use kubectl apply --server-side)"
        )
    if options.expose == "LoadBalancer" and "--auth-read" not in options.aggregate_args:
        found.append(
            "anyone who reaches the load balancer can read results (use --aggregate-arg=--auth-read to require a token)"
        )
    if options.network_policy and options.host_network:
        found.append("network policies do not apply to fetch pods, as they use the node's network")
    if options.service_monitor and "--auth-read" in options.aggregate_args:
        found.append("with --auth-read Prometheus needs a token, which this ServiceMonitor does not configure")
    return found


def build_manifests(options: Options) -> list[Object]:
    """Build the objects: restrictions before what they restrict, the aggregator before the pods that report to it."""
    found = fetch_access(options)
    if needs_quota(options):
        found.append(resource_quota(options))
    if options.restrict_node_access:
        found += node_restriction(options)
    if options.network_policy:
        found += network_policies(options)
    if options.images is not None:
        found.append(image_list(options, options.images))
    if options.collect_metrics:
        found += aggregator_access(options)
        if options.persist:
            found.append(volume_claim(options))
        found += [deployment(options), service(options)]
        if options.service_monitor:
            found.append(service_monitor(options))
    return [*found, daemon_set(options)]
