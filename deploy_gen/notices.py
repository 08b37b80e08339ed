"""What whoever asked for these manifests should know, though nothing is wrong."""

from deploy_gen.options import Options

APPLY_LIMIT = 256 << 10
"""Bytes of all annotations of an object; `kubectl apply` writes the whole object into one of them."""


def notices(options: Options) -> list[str]:
    """A sentence each."""
    found = []
    if options.images is not None and len(options.images.encode()) > APPLY_LIMIT - (4 << 10):
        found.append(
            "the list is too long for the annotation that kubectl apply writes: use kubectl apply --server-side"
        )
    if options.expose == "LoadBalancer" and "--auth-read" not in options.aggregate_args:
        found.append(
            "whoever reaches the load balancer can read the results; --aggregate-arg=--auth-read asks for a token"
        )
    if options.network_policy and options.host_network:
        found.append("network policies do not hold for pods in the node's network, as fetch pods are here")
    if options.service_monitor and "--auth-read" in options.aggregate_args:
        found.append("with --auth-read Prometheus needs a token, which the ServiceMonitor here does not give it")
    return found
