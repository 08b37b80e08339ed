# Sourced by dev/cluster: compiles the programs of a cluster from Go modules into the cache directory.
# Seconds with an empty build cache on two busy cores: kube-apiserver 349 (including what the others share),
# controller-manager 72, scheduler 9, kubelet 39, kube-proxy 20, kubectl 57, containerd with shim and ctr 112, CoreDNS 49,
# Helm 95.
# Disk: 700 MB of programs, 4.5 GB of Go's build cache, 1.3 GB of modules. Linking peaks at 2.3 GiB of memory.
# shellcheck shell=bash
# shellcheck disable=SC2154 # dev/cluster sets programs and parts

kubernetes_version=1.37.2
older_version=1.30.14 # the oldest minor version the manifests support; only its API server is needed
containerd_version=2.4.2
coredns_version=1.15.0
helm_version=4.3.1 # installs the chart in tests
go_version=1.26 # required by the modules above

targets=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl
    containerd coredns helm pause "kube-apiserver-${older_version%.*}")
cluster_packages=(etcd-server containerd runc containernetworking-plugins docker-registry skopeo iptables conntrack
    nftables iproute2 openssl curl)

# build_targets [TARGET…]: builds these, or all. If one is not available, builds the others and then fails.
build_targets() {
    local target missing=()
    if [ $# = 0 ]; then
        want_packages "${cluster_packages[@]}" || missing+=("Debian packages (see above)")
        set -- "${targets[@]}"
    fi
    for target; do
        [[ " ${targets[*]} " = *" $target "* ]] || fail "build: unknown target $target (known: ${targets[*]})"
    done
    mkdir -p "$programs"
    for target; do
        if is_built "$target"; then
            echo "cluster: $target is up to date"
        elif ! has_go; then
            missing+=("$target (needs Go $go_version or newer to compile)")
        else
            build_one "$target" || missing+=("$target (see above)")
        fi
    done
    [ ${#missing[@]} = 0 ] || {
        printf 'cluster: not available: %s\n' "${missing[@]}" >&2
        return 1
    }
}

has_go() {
    local found
    found=$(go env GOVERSION 2>/dev/null) || return 1
    printf '%s\n%s\n' "$go_version" "${found#go}" | sort --check=quiet --version-sort
}

# is_built TARGET: whether it exists in the required version, according to the program itself.
is_built() {
    local file=$programs/$1 said wanted
    case $1 in
    pause) [ -s "$programs/pause.tar" ] && return 0 || return 1 ;;
    containerd)
        [ -x "$programs/containerd-shim-runc-v2" ] && [ -x "$programs/ctr" ] || return 1
        wanted="v$containerd_version"
        ;;
    coredns) wanted=$coredns_version ;;
    helm) wanted="v$helm_version" ;;
    *-1.*) wanted="v$older_version" ;;
    *) wanted="v$kubernetes_version" ;;
    esac
    [ -x "$file" ] || return 1
    case $1 in
    kubectl) said=$("$file" version --client 2>/dev/null) ;;
    coredns) said=$("$file" -version 2>/dev/null) ;;
    helm) said=$("$file" version --short 2>/dev/null) ;;
    *) said=$("$file" --version 2>/dev/null) ;;
    esac
    [[ " $said " =~ [^0-9.]"${wanted}"[^0-9.] ]]
}

build_one() {
    local began=$SECONDS
    echo "cluster: building $1"
    # A subshell limits cd. Functions chain commands with && because set -e has no effect before the caller's ||.
    case $1 in
    containerd) (build_containerd) ;;
    coredns) (build_coredns) ;;
    helm) (build_helm) ;;
    pause) (build_pause) ;;
    *-1.*) (build_kubernetes "${1%-1.*}" "$older_version" "$1") ;;
    *) (build_kubernetes "$1" "$kubernetes_version" "$1") ;;
    esac || return 1
    printf 'cluster: %s took %d s\n' "$1" $((SECONDS - began))
}

# None of these modules supports "go install MODULE@VERSION", because each go.mod replaces modules with local directories.
# So this creates a module that requires it, with upstream's pins and checksums, and changes into it.
wrap() { # wrap MODULE VERSION SED_EXPRESSION
    local folder=$programs/.modules/$1@$2 source
    [ ! -e "$folder/ready" ] || { cd "$folder" && return; }
    rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || return 1
    printf 'module wrapper\n\ngo %s\n' "$go_version" >go.mod
    source=$(go mod download -json "$1@v$2" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
    [ -n "$source" ] || return 1
    sed -E -e 's|^module .*|module wrapper|' -e "$3" "$source/go.mod" >go.mod &&
        printf '\nrequire %s v%s\n' "$1" "$2" >>go.mod &&
        cp "$source/go.sum" go.sum && chmod u+w go.sum && touch ready
}

compile() { # compile OUTPUT PACKAGE [FLAG…]; never leaves a partial file
    local output=$programs/$1 package=$2
    shift 2
    CGO_ENABLED=0 nice -n 10 go build -mod=mod -trimpath -o "$output.new" "$@" "$package" &&
        mv "$output.new" "$output"
}

build_kubernetes() { # build_kubernetes PROGRAM VERSION OUTPUT
    local package minor=${2#1.} flags='-s -w'
    # The module's zip has no ./staging: its parts are separate modules, v0.MINOR.PATCH.
    wrap k8s.io/kubernetes "$2" "s|^([[:space:]]k8s.io/[a-z-]+ => ).*/(.*)\$|\1k8s.io/\2 v0.$minor|" || return 1
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=v$2 -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
        flags+=" -X $package.gitTreeState=clean"
    done
    compile "$3" "k8s.io/kubernetes/cmd/$1" -ldflags "$flags"
}

build_containerd() {
    local module=github.com/containerd/containerd/v2 program
    wrap "$module" "$containerd_version" '' || return 1
    for program in containerd-shim-runc-v2 ctr containerd; do # is_built checks the last one's version
        compile "$program" "$module/cmd/$program" -tags no_btrfs,no_zfs,no_devmapper \
            -ldflags "-s -w -X $module/version.Version=v$containerd_version" || return 1
    done
}

build_coredns() { # with only the plugins needed for cluster names
    wrap github.com/coredns/coredns "$coredns_version" '' &&
        cp "$parts/coredns.go" main.go &&
        compile coredns . -ldflags '-s -w'
}

build_helm() {
    local module=helm.sh/helm/v4
    wrap "$module" "$helm_version" '' &&
        compile helm "$module/cmd/helm" -ldflags "-s -w -X $module/internal/version.version=v$helm_version"
}

build_pause() { # the image of the program that keeps a pod's namespaces open
    local folder=$programs/.modules/pause
    rm -rf "$folder" && mkdir -p "$folder/root" && cd "$folder" || return 1
    printf 'module pause\n\ngo %s\n' "$go_version" >go.mod
    cp "$parts/pause.go" main.go &&
        CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o root/pause . &&
        pack_image "$programs/pause.tar" localhost/pause:1 root /pause
}

# pack_image ARCHIVE NAME:TAG DIRECTORY ENTRYPOINT: creates a one-layer image that `ctr images import` and skopeo can read.
pack_image() {
    local folder sum architecture
    architecture=$(go env GOARCH)
    folder=$(mktemp -d)
    tar -C "$3" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$folder/layer.tar" .
    sum=$(sha256sum "$folder/layer.tar" | cut -d' ' -f1)
    printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$architecture" "$4" "$sum" >"$folder/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$2" >"$folder/manifest.json"
    tar -C "$folder" --owner=0 --group=0 -cf "$1.new" manifest.json config.json layer.tar && mv "$1.new" "$1"
    rm -rf "$folder"
}
