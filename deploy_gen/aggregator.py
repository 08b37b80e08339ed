"""Builds the aggregator: Deployment, Service, volume, ServiceMonitor, and all NetworkPolicies."""

from deploy_gen.objects import (
    AGGREGATOR,
    FETCH,
    NONROOT,
    SERVICE_ACCOUNT_MOUNT,
    Object,
    api_token_volume,
    container_args,
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
from deploy_gen.platforms import HTTP_PORT, SUBMISSION_PORT

DATA_MOUNT = "/var/lib/nodeprefetch"
LIMITS_MOUNT = "/etc/nodeprefetch/limits"
LIMITS_KEY = "pulling-nodes"
"""Key of the ConfigMap, and name of the file."""

_EMPTY_DIR_LIMIT = "1Gi"
"""A million results, the default maximum, take 281 MiB; the write-ahead log takes some more."""


def network_policies(options: Options) -> list[Object]:
    """Build the policies. They do not apply to pods in the node's network, so such fetch pods get none."""
    policies = []
    if not options.host_network:
        policies.append(_policy(options.name, options, FETCH, []))
    if options.collect_metrics:
        policies.append(_policy(metrics_name(options), options, AGGREGATOR, _ingress_of_aggregator(options)))
    return policies


def _ingress_of_aggregator(options: Options) -> list[Object]:
    submission: Object = {"ports": [{"port": SUBMISSION_PORT, "protocol": "TCP"}]}
    if not options.host_network:  # otherwise they have addresses of nodes, which are not known in advance
        submission = {"from": [{"podSelector": {"matchLabels": selector(options, FETCH)}}], **submission}
    reading: Object = {"ports": [{"port": HTTP_PORT, "protocol": "TCP"}]}
    if options.expose == "LoadBalancer":
        pass  # clients are outside of the cluster
    elif options.service_monitor:  # the namespace of Prometheus is not known
        reading = {"from": [{"namespaceSelector": {}}], **reading}
    else:
        # The API server's proxy connects from its host or, with a tunnel to the nodes, from a pod of kube-system.
        tunnel = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
        reading = {"from": [{"podSelector": {}}, *([tunnel] if options.reader_role else [])], **reading}
    return [submission, reading]


def _policy(name: str, options: Options, component: str, ingress: list[Object]) -> Object:
    return {
        **new_object("networking.k8s.io/v1", "NetworkPolicy", name, options, component),
        "spec": {
            "podSelector": {"matchLabels": selector(options, component)},
            "policyTypes": ["Ingress"],
            **({"ingress": ingress} if ingress else {}),  # the API server drops an empty list
        },
    }


def volume_claim(options: Options) -> Object:
    """Build the volume that keeps results when the pod is replaced."""
    return {
        **new_object("v1", "PersistentVolumeClaim", metrics_name(options), options, AGGREGATOR),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": options.persist}},
        },
    }


def limits(options: Options) -> Object:
    """Build the ConfigMap with the number of nodes that may pull. The aggregator reads it again after an edit."""
    found = new_object(
        "v1",
        "ConfigMap",
        metrics_name(options),
        options,
        AGGREGATOR,
        description="Number of nodes that may pull at the same time. Edits take effect within two minutes.",
    )
    return {**found, "data": {LIMITS_KEY: str(options.pulling_nodes)}}


def deployment(options: Options) -> Object:
    """Build the Deployment. Never two pods at once, as only one aggregator can use the database."""
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
    """Build the Service."""
    return {
        **new_object("v1", "Service", metrics_name(options), options, AGGREGATOR),
        "spec": {
            "type": options.expose,
            "selector": selector(options, AGGREGATOR),
            "ports": [
                {"name": "grpc", "port": SUBMISSION_PORT, "targetPort": "grpc", "protocol": "TCP"},
                {"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP"},
            ],
        },
    }


def service_monitor(options: Options) -> Object:
    """Build the ServiceMonitor. By the `Accept` header of Prometheus, `/metrics` returns its format."""
    return {
        **new_object("monitoring.coreos.com/v1", "ServiceMonitor", metrics_name(options), options, AGGREGATOR),
        "spec": {
            "selector": {"matchLabels": selector(options, AGGREGATOR)},
            # The label `instance` of metrics is the installation's NAME; without this it would be renamed.
            "endpoints": [{"port": "http", "path": "/metrics", "honorLabels": True}],
        },
    }


def _pod(options: Options) -> Object:
    # OpenShift assigns user and group IDs to each namespace and rejects others.
    ids = {} if options.is_openshift else {"runAsUser": NONROOT, "runAsGroup": NONROOT, "fsGroup": NONROOT}
    claim = {"persistentVolumeClaim": {"claimName": metrics_name(options)}}
    return {
        "serviceAccountName": metrics_name(options),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service nodeprefetch-… would set variables that are read as flags
        **pull_secrets(options),
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {"runAsNonRoot": True, **ids, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(options)],
        "volumes": [
            {"name": "data", **(claim if options.persist else {"emptyDir": {"sizeLimit": _EMPTY_DIR_LIMIT}})},
            api_token_volume("api-token"),
            *_limits_volume(options),
        ],
    }


def _limits_volume(options: Options) -> list[Object]:
    """Build the volume, which is mounted as a directory: the kubelet never updates a single file."""
    if options.pulling_nodes is None:
        return []
    return [{"name": "limits", "configMap": {"name": metrics_name(options)}}]


def _limits_args(options: Options) -> list[str]:
    if options.pulling_nodes is None:
        return []
    return [f"--pulling-nodes-file={LIMITS_MOUNT}/{LIMITS_KEY}", f"--growth={options.growth}"]


def _container(options: Options) -> Object:
    texts = [
        "aggregate",
        f"--data-dir={DATA_MOUNT}",
        "--auth=kubernetes",
        f"--auth-service-account={options.name}",  # in the aggregator's own namespace
        *_limits_args(options),
        *options.aggregate_args,
    ]
    return {
        "name": "aggregator",
        "image": options.image.reference,
        "args": container_args(texts),
        "ports": [
            {"name": "grpc", "containerPort": SUBMISSION_PORT, "protocol": "TCP"},
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
        ],
        # Fetch pods that start at the same time wait until this pod is ready. A failed readiness probe is repeated
        # after a whole period; a successful startup probe triggers one at once. A large database needs the threshold.
        "startupProbe": {**_http_get("/healthz"), "periodSeconds": 1, "failureThreshold": 300},
        "readinessProbe": {**_http_get("/readyz"), "periodSeconds": 5},
        "livenessProbe": {**_http_get("/healthz"), "timeoutSeconds": 5},
        "resources": resources(cpu="10m", memory="64Mi", memory_limit="256Mi"),
        "securityContext": container_security(),
        "volumeMounts": [
            mount("data", DATA_MOUNT, read_only=False),
            mount("api-token", SERVICE_ACCOUNT_MOUNT),
            *(mount(volume["name"], LIMITS_MOUNT) for volume in _limits_volume(options)),
        ],
    }


def _http_get(path: str) -> Object:
    return {"httpGet": {"path": path, "port": "http"}}
