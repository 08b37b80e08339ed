# Sourced by dev/cluster: ends a cluster and removes everything it created, also after a failed start; keeps the logs.
# Mounts need no cleanup: they are in mount namespaces, which end with their last process.
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by dev/cluster and places.sh

bring_down() {
    [ -e "$run/cluster" ] || { echo "cluster: no cluster is running in $dir" && return; }
    local up
    read -r up _ <"$run/cluster"
    sweep "$up"
    rm -rf "$dir/etcd" "$dir/nodes" "$dir/registry" "$conf" "$pki" "$run"
    echo "cluster: stopped $up"
}

# sweep NAME: removes everything of the cluster NAME outside its directory.
sweep() {
    local space h
    end_group "$unified/$1"
    for space in /run/netns/"$1"-*; do
        if [[ ${space##*/} =~ ^"$1"-(net|[0-9]+)$ ]]; then ip netns del "${space##*/}"; fi
    done
    for h in "${hierarchies[@]}"; do
        [ ! -d "$h/$1" ] || find "$h/$1" -depth -type d -exec rmdir {} \;
    done
    [ -e "$all_clusters/$1" ] || return 0
    (
        flock 9
        rm "$all_clusters/$1"
        [ -n "$(ls "$all_clusters")" ] || sysctl -qp "$all_clusters/.sysctls"
    ) 9>"$all_clusters/.lock"
}
