"""The aggregator: Deployment, Service, volume, ServiceMonitor, NetworkPolicy."""

from deploy_gen.objects import (
    AGGREGATOR,
    FETCH,
    NONROOT,
    SERVICE_ACCOUNT_MOUNT,
    Object,
    api_token_volume,
    arguments,
    container_security,
    labels,
    metrics_name,
    mount,
    new_object,
    pull_secrets,
    resources,
    selector,
)
from deploy_gen.options import Options
from deploy_gen.platforms import READING, SUBMISSION


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


DATA_MOUNT = "/var/lib/nodeprefetch"
_EMPTY_DIR_LIMIT = "1Gi"
"""A million results, the most that are kept by default, take 281 MiB, and the log of a transaction under way some."""


def volume_claim(options: Options) -> Object:
    """The volume, where results are to outlive the pod."""
    return {
        **new_object("v1", "PersistentVolumeClaim", metrics_name(options), options, AGGREGATOR),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": options.persist}},
        },
    }


def deployment(options: Options) -> Object:
    """The Deployment: one pod, and never two of them, as one aggregator at a time uses the database."""
    return {
        **new_object("apps/v1", "Deployment", metrics_name(options), options, AGGREGATOR),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector(options, AGGREGATOR)},
            "template": {
                "metadata": {"labels": labels(options, AGGREGATOR)},
                "spec": _pod(options),
            },
        },
    }


def service(options: Options) -> Object:
    """The Service."""
    return {
        **new_object("v1", "Service", metrics_name(options), options, AGGREGATOR),
        "spec": {
            "type": options.expose,
            "selector": selector(options, AGGREGATOR),
            "ports": [
                {"name": "grpc", "port": SUBMISSION, "targetPort": "grpc", "protocol": "TCP"},
                {"name": "http", "port": READING, "targetPort": "http", "protocol": "TCP"},
            ],
        },
    }


def service_monitor(options: Options) -> Object:
    """For the Prometheus operator. Prometheus asks for its own format by `Accept`, so `/metrics` answers in it."""
    return {
        **new_object("monitoring.coreos.com/v1", "ServiceMonitor", metrics_name(options), options, AGGREGATOR),
        "spec": {
            "selector": {"matchLabels": selector(options, AGGREGATOR)},
            "endpoints": [{"port": "http", "path": "/metrics"}],
        },
    }


def _pod(options: Options) -> Object:
    # On OpenShift the constraints give each namespace its own users and groups, and refuse others.
    ids = {} if options.is_openshift else {"runAsUser": NONROOT, "runAsGroup": NONROOT, "fsGroup": NONROOT}
    claim = {"persistentVolumeClaim": {"claimName": metrics_name(options)}}
    return {
        "serviceAccountName": metrics_name(options),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service called nodeprefetch-… would set variables that are taken for flags
        **pull_secrets(options),
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {"runAsNonRoot": True, **ids, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(options)],
        "volumes": [
            {"name": "data", **(claim if options.persist else {"emptyDir": {"sizeLimit": _EMPTY_DIR_LIMIT}})},
            api_token_volume("api-token"),
        ],
    }


def _container(options: Options) -> Object:
    found = [
        "aggregate",
        f"--data-dir={DATA_MOUNT}",
        "--auth=kubernetes",
        f"--auth-service-account={options.namespace}:{options.name}",
        *options.aggregate_args,
    ]
    return {
        "name": "aggregator",
        "image": options.image.reference,
        "args": arguments(found),
        "ports": [
            {"name": "grpc", "containerPort": SUBMISSION, "protocol": "TCP"},
            {"name": "http", "containerPort": READING, "protocol": "TCP"},
        ],
        # Fetch pods that start at the same moment wait until this one is ready. A failed readiness probe is repeated a
        # whole period later; the end of startup triggers one at once. The threshold is for a large database.
        "startupProbe": {**_asks("/healthz"), "periodSeconds": 1, "failureThreshold": 300},
        "readinessProbe": {**_asks("/readyz"), "periodSeconds": 5},
        "livenessProbe": {**_asks("/healthz"), "timeoutSeconds": 5},
        "resources": resources(cpu="10m", memory="64Mi", memory_limit="256Mi"),
        "securityContext": container_security(),
        "volumeMounts": [
            mount("data", DATA_MOUNT, read_only=False),
            mount("api-token", SERVICE_ACCOUNT_MOUNT),
        ],
    }


def _asks(path: str) -> Object:
    return {"httpGet": {"path": path, "port": "http"}}
