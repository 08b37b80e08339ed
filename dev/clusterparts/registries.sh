# Sourced by up.sh: starts two registries with one store on node 1, one open, one with a login, and sets up their names
# on the nodes. There, every other registry name leads to the open one.
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by dev/cluster and places.sh

# shellcheck disable=SC2016 # a hash
# The password is not-a-real-password, hashed by bcrypt at its lowest cost.
login='ci-reader:$2y$04$abcdefghijklmnopqrstuuvoAsEQFJ20T9HDj1L/isWuL/E78y9.u'
login_names=("127.0.0.1:$login_port" registry.example.com)

start_registries() {
    echo "$login" >"$conf/htpasswd"
    start_registry registry "$registry_port" ''
    start_registry registry-login "$login_port" "auth: {htpasswd: {realm: cluster, path: \"$conf/htpasswd\"}}"
    wait_for registry on 1 curl -fsS "http://127.0.0.1:$registry_port/v2/"
    # shellcheck disable=SC2016 # for the inner shell
    wait_for registry-login on 1 sh -c 'curl -sS "$1" | grep -q UNAUTHORIZED' sh "http://127.0.0.1:$login_port/v2/"
    local host
    name_registry _default "$registry_port"
    for host in "${login_names[@]}"; do name_registry "$host" "$login_port"; done
}

start_registry() { # start_registry LABEL PORT MORE_CONFIGURATION
    cat >"$conf/$1.yml" <<Y
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: "$dir/registry"}, delete: {enabled: true}}
http: {addr: ":$2", secret: not-one}
$3
Y
    daemon control 1 "$1" docker-registry serve "$conf/$1.yml"
}

# name_registry HOST PORT: redirects containerd's requests for HOST to PORT. containerd reads this at each pull.
name_registry() {
    mkdir -p "$conf/certs.d/$1"
    printf 'server = "http://%s"\n[host."http://%s"]\n' "$node_net.1:$2" "$node_net.1:$2" >"$conf/certs.d/$1/hosts.toml"
}
