"""All objects of an installation, in the order in which they are to be made."""

from deploy_gen.aggregator import deployment, service, service_monitor, volume_claim
from deploy_gen.daemonset import daemon_set, image_list
from deploy_gen.networking import network_policies
from deploy_gen.node_access import node_restriction
from deploy_gen.objects import Object
from deploy_gen.options import Options
from deploy_gen.quota import needs_quota, resource_quota
from deploy_gen.rbac import aggregator_access, fetch_access


def manifests(options: Options) -> list[Object]:
    """The objects. Restrictions come before what they restrict, and the aggregator before who reports to it."""
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
