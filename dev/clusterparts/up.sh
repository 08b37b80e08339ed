# Sourced by dev/cluster: starts a cluster, or adds a node.
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by dev/cluster and places.sh

# shellcheck source=dev/clusterparts/pki.sh
. "$parts/pki.sh"
# shellcheck source=dev/clusterparts/controlplane.sh
. "$parts/controlplane.sh"
# shellcheck source=dev/clusterparts/registries.sh
. "$parts/registries.sh"
# shellcheck source=dev/clusterparts/node.sh
. "$parts/node.sh"
# shellcheck source=dev/clusterparts/down.sh
. "$parts/down.sh"

# Prints what is missing to start a cluster.
missing_for_up() {
    local program
    for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns; do
        [ -x "$programs/$program" ] || echo "$program (dev/cluster build)"
    done
    [ -s "$programs/pause.tar" ] || echo "pause.tar (dev/cluster build)"
    for program in etcd runc docker-registry nft conntrack ip openssl curl; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || echo "$program (dev/cluster build, as root on Debian)"
    done
    [ -x /usr/lib/cni/bridge ] || echo "the CNI plugins (dev/cluster build, as root on Debian)"
    [ -x "$(containerd_program)" ] || echo "containerd $runtime (dev/cluster build)"
    [ "$unified" != none ] || echo "a mount of cgroup version 2"
}

bring_up() {
    local i missing
    [ "$runtime" = 2 ] || [ "$runtime" = debian ] || fail "--containerd: must be 2 or debian, got $runtime"
    missing=$(missing_for_up)
    [ -z "$missing" ] || fail "cannot start a cluster: missing ${missing//$'\n'/, }"
    bring_down >/dev/null # a cluster in this directory
    sweep "$name"         # and one with this name in another directory
    trap 'bring_down >/dev/null' EXIT
    mkdir -p "$pki" "$conf" "$logs" "$run"
    rm -f "$logs"/*
    save_cluster
    keep_sysctls
    make_switch
    for ((i = 1; i <= nodes; i++)); do make_node "$i"; done
    make_authority
    start_control_plane
    start_registries
    write_node_settings
    for ((i = 1; i <= nodes; i++)); do start_node "$i"; done
    for ((i = 1; i <= nodes; i++)); do wait_for_node "$i"; done
    trap - EXIT
    echo "cluster: started $name in $dir with $nodes nodes in $SECONDS s (try: dev/cluster run kubectl get nodes)"
}

# Its kubelet registers it with the taints and labels given, and does so again after a restart.
add_node() {
    nodes=$((nodes + 1))
    save_cluster
    make_node "$nodes"
    printf '%s\n' "${taints[@]}" >"$dir/nodes/node-$nodes/taints"
    (IFS=, && echo "${labels[*]}") >"$dir/nodes/node-$nodes/labels"
    start_node "$nodes"
    wait_for_node "$nodes"
    echo "cluster: added node-$nodes"
}

# Kubelets change sysctls of the machine: the first cluster saves the values, the last one restores them. Each kubelet takes
# a dozen inotify instances, of which a user has only 128 by default.
keep_sysctls() {
    local instances=fs.inotify.max_user_instances
    mkdir -p "$all_clusters"
    (
        flock 9
        [ -n "$(ls "$all_clusters")" ] || sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops \
            $instances >"$all_clusters/.sysctls"
        [ "$(sysctl -n $instances)" -ge 1024 ] || sysctl -qw $instances=1024 || echo "cluster: cannot raise $instances" >&2
        echo "$dir" >"$all_clusters/$name"
    ) 9>"$all_clusters/.lock"
}

# A bridge in an isolated namespace: no packet leaves the machine.
make_switch() {
    ip netns add "$name-net"
    ip -n "$name-net" link add switch type bridge
    ip -n "$name-net" link set switch up
}
