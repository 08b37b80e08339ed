# Sourced by dev/cluster: paths of a cluster, and functions that start, find and end its processes.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # dev/cluster sets dir, name, nodes, runtime, programs; other parts use these

pki=$dir/pki conf=$dir/conf logs=$dir/log run=$dir/run
cri=/run/containerd/containerd.sock
node_net=10.98.0 pod_net=10.99 service_net=10.97 # in namespaces: several clusters can use the same networks
registry_port=5000 login_port=5001
all_clusters=/run/nodeprefetch-clusters # one file for each running cluster, which contains its directory

# Where cgroup v2 is mounted: alone, or in addition to version 1.
for unified in /sys/fs/cgroup /sys/fs/cgroup/unified none; do
    [ ! -e "$unified/cgroup.controllers" ] || break
done
if [ "$unified" = /sys/fs/cgroup ]; then hierarchies=("$unified"); else hierarchies=(/sys/fs/cgroup/*); fi
group=$unified/$name # contains every process of the cluster

# Sets name, nodes and runtime from the cluster that runs in $dir.
load_cluster() {
    [ -e "$run/cluster" ] || fail "no cluster is running in $dir"
    read -r name nodes runtime <"$run/cluster"
    group=$unified/$name
}

save_cluster() { echo "$name $nodes $runtime" >"$run/cluster"; }

pid_of() { cat "$run/$1.pid"; }

# spawn GROUP LABEL COMMAND…: runs it in the background, in that child cgroup, and records its process ID.
spawn() {
    local procs=$group/$1/cgroup.procs label=$2
    shift 2
    mkdir -p "${procs%/*}"
    # "exec" throughout, so that $! is the command's own process ID.
    # shellcheck disable=SC2016 # for the inner shell
    setsid sh -c 'echo $$ > "$0" && exec "$@"' "$procs" "$@" >>"$logs/$label.log" 2>&1 </dev/null &
    echo $! >"$run/$label.pid"
}

# on NODE COMMAND…: runs it with that node's network and mounts. "ip netns exec" would remount /sys and hide the cgroups.
on() {
    local i=$1
    shift
    nsenter --net="/run/netns/$name-$i" --mount="/proc/$(pid_of "node-$i")/ns/mnt" "$@"
}

# daemon GROUP NODE LABEL COMMAND…: like spawn, on a node.
daemon() {
    local where=$1 i=$2 label=$3
    shift 3
    spawn "$where" "$label" nsenter --net="/run/netns/$name-$i" --mount="/proc/$(pid_of "node-$i")/ns/mnt" \
        env PATH="$programs:$PATH" "$@"
}

# wait_for LABEL COMMAND…: waits until the command succeeds. Fails when LABEL ends, or after two minutes.
wait_for() {
    local label=$1 end=$((SECONDS + 120))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ ! -d "/proc/$(pid_of "$label")" ] || [ $SECONDS -ge $end ]; then
            tail -n 20 "$logs/$label.log" >&2
            fail "$label did not become ready (log: $logs/$label.log)"
        fi
        sleep 0.05
    done
}

# end_group CGROUP: kills all processes in it and below it.
end_group() {
    [ -d "$1" ] || return 0
    if [ -e "$1/cgroup.kill" ]; then
        echo 1 >"$1/cgroup.kill"
    else # before Linux 5.14
        # shellcheck disable=SC2038 # it reads only numbers
        find "$1" -name cgroup.procs -exec cat {} + | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
    fi
    local n
    for ((n = 0; n < 200; n++)); do
        ! grep -qx 'populated 1' "$1/cgroup.events" 2>/dev/null || { sleep 0.05 && continue; }
        return 0
    done
    echo "cluster: could not kill all processes in $1" >&2
    return 1
}
