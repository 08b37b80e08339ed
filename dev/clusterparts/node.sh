# Sourced by up.sh: creates a node's namespaces, in which the usual paths are directories of the cluster, and its daemons.
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by dev/cluster and places.sh

containerd_program() {
    if [ "$runtime" = debian ]; then echo /usr/bin/containerd; else echo "$programs/containerd"; fi
}

make_node() {
    local i=$1 space=$name-$1 folder=$dir/nodes/node-$1 j
    ip netns add "$space"
    ip -n "$space" link set lo up
    ip -n "$space" link add eth0 type veth peer name "node-$i" netns "$name-net"
    ip -n "$name-net" link set "node-$i" master switch up
    ip -n "$space" addr add "$node_net.$i/24" dev eth0
    ip -n "$space" link set eth0 up
    ip -n "$space" route add default dev eth0 # leads nowhere; some programs require one
    for ((j = 1; j <= nodes; j++)); do        # routes to the pods of other nodes, in both directions
        [ "$j" != "$i" ] || continue
        ip -n "$space" route replace "$pod_net.$j.0/24" via "$node_net.$j"
        [ ! -e "/run/netns/$name-$j" ] || ip -n "$name-$j" route replace "$pod_net.$i.0/24" via "$node_net.$i"
    done
    nsenter --net="/run/netns/$space" sysctl -qw net.ipv4.ip_forward=1

    mkdir -p /run/containerd /var/lib/{containerd,kubelet,cni} /var/log/{pods,containers} # mount points
    mkdir -p "$folder"/{run-containerd,containerd,kubelet,cni/net.d,pods,containers}
    : >"$folder/resolv.conf"
    # shellcheck disable=SC2016 # for the inner shell
    spawn control "node-$i" unshare --mount --propagation private sh -ec '
        mount --make-rshared / # for pods with bidirectional mount propagation
        mount --bind "$1/run-containerd" /run/containerd
        mount --bind "$1/containerd" /var/lib/containerd
        mount --bind "$1/kubelet" /var/lib/kubelet
        mount --bind "$1/cni" /var/lib/cni
        mount --bind "$1/pods" /var/log/pods
        mount --bind "$1/containers" /var/log/containers
        mount --bind "$1/resolv.conf" /etc/resolv.conf
        touch "$1/mounted"; exec sleep infinity' sh "$folder"
    wait_for "node-$i" test -e "$folder/mounted"
}

# Writes the settings of containerd and kube-proxy, which all nodes share.
write_node_settings() {
    local images runtime_plugin format=3 own='' cni='bin_dirs = ["/usr/lib/cni"]' sandbox
    images=io.containerd.cri.v1.images runtime_plugin=io.containerd.cri.v1.runtime
    sandbox='pinned_images = {sandbox = "localhost/pause:1"}'
    if [[ $("$(containerd_program)" --version) =~ \ v?1\.[0-9]+\.[0-9]+ ]]; then # its CRI is a single plugin with another name
        images=io.containerd.grpc.v1.cri runtime_plugin=$images format=2
        cni='bin_dir = "/usr/lib/cni"' sandbox='sandbox_image = "localhost/pause:1"'
    else
        own="[plugins.\"$runtime_plugin\"]"
    fi
    # Every sandbox requests an OOM score of -998, which needs CAP_SYS_RESOURCE: restrict_oom_score_adj ignores it.
    cat >"$conf/containerd.toml" <<T
version = $format
disabled_plugins = ["io.containerd.nri.v1.nri"]
[plugins."$images"]
  $sandbox
  registry = {config_path = "$conf/certs.d"}
$own
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
[plugins."$runtime_plugin".cni]
  $cni
  conf_dir = "/var/lib/cni/net.d"
[plugins."$runtime_plugin".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
T
    cat >"$conf/kube-proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: "$pod_net.0.0/16"
clientConnection: {kubeconfig: "$conf/kube-proxy.kubeconfig"}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
Y
}

write_kubelet_settings() { # write_kubelet_settings NODE
    local taint key taints=''
    while read -r taint; do
        [ -n "$taint" ] || continue
        key=${taint%:*}
        taints+="${taints:+, }{key: \"${key%%=*}\", effect: ${taint##*:}"
        [ "$key" = "${key#*=}" ] || taints+=", value: \"${key#*=}\""
        taints+='}'
    done < <(cat "$dir/nodes/node-$1/taints" 2>/dev/null)
    mkdir -p "$conf/kubelet-$1.d" # tests put further settings there
    cat >"$conf/kubelet-$1.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: "unix://$cri"
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: "/$name/node-$1"
failSwapOn: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$pki/ca.crt"}}
authorization: {mode: Webhook}
tlsCertFile: "$pki/node-$1.crt"
tlsPrivateKeyFile: "$pki/node-$1.key"
clusterDomain: cluster.local
clusterDNS: ["$node_net.1"]
volumePluginDir: /var/lib/kubelet/volume-plugins
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
registerWithTaints: [$taints]
Y
    cat >"$dir/nodes/node-$1/cni/net.d/10-bridge.conflist" <<J
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam":
    {"type": "host-local", "ranges": [[{"subnet": "$pod_net.$1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
J
}

# Creates the kubelet's root in every hierarchy. With cgroup version 1, new groups have no processor and memory node.
make_kubelet_groups() { # make_kubelet_groups NODE
    local h g
    for h in "${hierarchies[@]}"; do
        [ -e "$h/cgroup.procs" ] || continue
        mkdir -p "$h/$name/node-$1"
        if [ ! -e "$h/cpuset.cpus" ] || [ "$h" = "$unified" ]; then continue; fi
        for g in "$h/$name" "$h/$name/node-$1"; do
            cat "$h/cpuset.cpus" >"$g/cpuset.cpus"
            cat "$h/cpuset.mems" >"$g/cpuset.mems"
        done
    done
}

start_runtime() { # start_runtime NODE
    local containerd
    containerd=$(containerd_program)
    daemon "daemons-$1" "$1" "containerd-$1" env PATH="${containerd%/*}:$programs:$PATH" "$containerd" \
        --config "$conf/containerd.toml"
    wait_for "containerd-$1" on "$1" "${containerd%/*}/ctr" version
}

# restart_runtime NODE: kills and starts containerd; its shims, containers and the kubelet keep running.
restart_runtime() {
    kill -KILL "$(pid_of "containerd-$1")"
    while [ -d "/proc/$(pid_of "containerd-$1")" ]; do sleep 0.02; done
    start_runtime "$1"
}

# start_node NODE: starts its daemons, initially and after stop-node.
start_node() {
    local i=$1
    [ -e "$pki/node-$i.crt" ] || certify "node-$i" "/O=system:nodes/CN=system:node:node-$i" "IP:$node_net.$i,DNS:node-$i"
    write_kubelet_settings "$i"
    make_kubelet_groups "$i"
    start_runtime "$i"
    on "$i" ctr --namespace k8s.io images import "$programs/pause.tar" >/dev/null 2>>"$logs/import.log"
    daemon "daemons-$i" "$i" "kubelet-$i" kubelet --config="$conf/kubelet-$i.yaml" --config-dir="$conf/kubelet-$i.d" \
        --kubeconfig="$conf/node-$i.kubeconfig" \
        --hostname-override="node-$i" --node-ip="$node_net.$i" --v="${KUBELET_VERBOSITY:-2}" \
        --node-labels="$(cat "$dir/nodes/node-$i/labels" 2>/dev/null)"
    daemon "daemons-$i" "$i" "kube-proxy-$i" kube-proxy --config="$conf/kube-proxy.yaml" --hostname-override="node-$i"
}

# As in a power failure: kills daemons, shims and containers at once. Files on its disk stay.
stop_node() {
    end_group "$group/daemons-$1"
    end_group "$group/node-$1"
}

wait_for_node() {
    wait_for "kubelet-$1" is_ready "$1"
    wait_for "kube-proxy-$1" on "$1" curl -fsS http://127.0.0.1:10256/livez
}

is_ready() {
    on "$1" curl -fsS http://127.0.0.1:10248/healthz &&
        as_admin "api/v1/nodes/node-$1" | tr -d ' \n' | grep -q '"type":"Ready","status":"True"'
}
