"""Builds all objects of an installation, in the order of their creation, and notices for the user."""

from deploy_gen.aggregator import deployment, limits, network_policies, service, service_monitor, volume_claim
from deploy_gen.alerts import prometheus_rule
from deploy_gen.daemonset import daemon_set, image_list
from deploy_gen.dashboard import dashboard
from deploy_gen.new_nodes import list_data, readiness_rule
from deploy_gen.node_policy import node_restriction
from deploy_gen.objects import Object
from deploy_gen.options import IMPERSONATE, Options
from deploy_gen.quota import needs_quota, resource_quota
from deploy_gen.rbac import aggregator_access, fetch_access
from deploy_gen.readers import reader_access

APPLY_LIMIT = 256 << 10
"""Bytes for all annotations of an object; `kubectl apply` stores the whole object in one of them."""


def notices(options: Options) -> list[str]:
    """List what is valid but may surprise the user, one sentence each."""
    texts = []
    lists = list_data(options, options.images) if options.images is not None else {}
    if sum(len(text.encode()) for text in lists.values()) > APPLY_LIMIT - (4 << 10):
        texts.append(
            "the list exceeds the size of the annotation that kubectl apply writes (use kubectl apply --server-side)"
        )
    if options.expose == "LoadBalancer" and "--auth-read" not in options.aggregate_args:
        texts.append(
            "anyone who reaches the load balancer can read results (use --aggregate-arg=--auth-read to require a token)"
        )
    if options.restrict_node_access and options.node_access == IMPERSONATE:
        texts.append(
            "with --node-access impersonate, the policy of --restrict-node-access applies to all pods of the cluster"
            " that act as their node: it rejects what other software writes in that way"
        )
    if options.network_policy and options.host_network:
        texts.append("network policies do not apply to fetch pods, as they use the node's network")
    if options.reader_role and options.collect_metrics and options.network_policy and options.expose == "ClusterIP":
        texts.append(
            "network policies also apply to the API server, through which readers reach the aggregator: add its"
            " addresses to the policy where it does not connect from pods in kube-system"
        )
    if options.reader_role and "--auth-read" in options.aggregate_args:
        texts.append(
            "with --auth-read, readers do not reach the aggregator through the API server, which passes on no token"
        )
    if options.service_monitor and "--auth-read" in options.aggregate_args:
        texts.append("with --auth-read Prometheus needs a token, which this ServiceMonitor does not configure")
    if options.readiness_rule:
        texts.append(
            "the Node Readiness Controller closes existing nodes that lack their images once it has this rule (apply it"
            " when their condition is True)"
        )
    return texts


def build_manifests(options: Options) -> list[Object]:
    """Build the objects: restrictions before what they restrict, the aggregator before the pods that report to it."""
    objects = fetch_access(options)
    if options.reader_role:
        objects += reader_access(options)
    if needs_quota(options):
        objects.append(resource_quota(options))
    if options.restrict_node_access:
        objects += node_restriction(options)
    if options.network_policy:
        objects += network_policies(options)
    if options.images is not None:
        objects.append(image_list(options, options.images))
    if options.collect_metrics:
        objects += aggregator_access(options)
        if options.persist:
            objects.append(volume_claim(options))
        if options.pulling_nodes is not None:
            objects.append(limits(options))
        objects += [deployment(options), service(options)]
        if options.service_monitor:
            objects += [service_monitor(options), prometheus_rule(options)]
        if options.grafana_dashboard:
            objects.append(dashboard(options))
    objects.append(daemon_set(options))
    if options.readiness_rule:
        objects.append(readiness_rule(options))  # last: where its kind is unknown, everything else is applied
    return objects
