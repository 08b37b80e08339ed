"""Builds what people and jobs need to ask about the installation: an account for jobs, and permissions to read."""

from deploy_gen.objects import READER, Object, cluster_name, metrics_name
from deploy_gen.options import Options
from deploy_gen.roles import cluster_role, role, rule, service_account


def reader_access(options: Options) -> list[Object]:
    """Build the account for jobs, and its permissions: what `status`, `wait` and `why` read, and nothing else."""
    description = f"Lets readers of {options.name} in {options.namespace} see the nodes and their labels."
    nodes = [rule("", "nodes", "get", "list")]
    return [
        service_account(options, READER),
        *role(cluster_name(options, "reader"), _rules(options), options, READER),
        *cluster_role(cluster_name(options, "node-reader"), nodes, options, READER, description),
    ]


def _rules(options: Options) -> list[Object]:
    """List what may be read in the namespace. `list` cannot be limited to the objects of one installation."""
    rules = [
        rule("apps", "daemonsets", "get", name=options.name),
        rule("apps", "daemonsets", "list"),
        rule("apps", "controllerrevisions", "list"),
        rule("", "configmaps", "get", name=options.name),
        rule("", "pods", "get", "list"),
        rule("", "pods/log", "get"),
    ]
    if options.collect_metrics:
        # `get` covers GET alone: submissions, which are POST, would take `create`.
        rules.append(rule("", "services/proxy", "get", name=f"{metrics_name(options)}:http"))
    return rules
