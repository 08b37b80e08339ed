"""`--network-policy`: who may connect to the pods. Where they connect to is not limited: registries are anywhere."""

from deploy_gen.objects import AGGREGATOR, FETCH, Object, metrics_name, new_object, selector
from deploy_gen.options import Options
from deploy_gen.ports import READING, SUBMISSION


def network_policies(options: Options) -> list[Object]:
    """The policies. They do not hold for pods in their node's network, so such fetch pods get none."""
    found = []
    if not options.host_network:
        found.append(_policy(options.name, options, FETCH, []))
    if options.collect_metrics:
        found.append(_policy(metrics_name(options), options, AGGREGATOR, _to_aggregator(options)))
    return found


def _to_aggregator(options: Options) -> list[Object]:
    submission: Object = {"ports": [{"port": SUBMISSION, "protocol": "TCP"}]}
    if not options.host_network:  # else they come from addresses of nodes, which nobody knows beforehand
        submission = {"from": [{"podSelector": {"matchLabels": selector(options, FETCH)}}], **submission}
    reading: Object = {"ports": [{"port": READING, "protocol": "TCP"}]}
    if options.expose == "LoadBalancer":
        pass  # readers come from outside
    elif options.service_monitor:  # Prometheus has a namespace of its own, whatever it is called
        reading = {"from": [{"namespaceSelector": {}}], **reading}
    else:
        reading = {"from": [{"podSelector": {}}], **reading}
    return [submission, reading]


def _policy(name: str, options: Options, component: str, ingress: list[Object]) -> Object:
    return {
        **new_object("networking.k8s.io/v1", "NetworkPolicy", name, options, component),
        "spec": {
            "podSelector": {"matchLabels": selector(options, component)},
            "policyTypes": ["Ingress"],
            **({"ingress": ingress} if ingress else {}),  # the API server keeps no empty list
        },
    }
