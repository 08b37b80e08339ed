# Sourced by up.sh: starts etcd, API server, controllers, scheduler and DNS, all on node 1.
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by dev/cluster and places.sh

start_control_plane() {
    local client=http://127.0.0.1:2379 peer=http://127.0.0.1:2380
    daemon control 1 etcd etcd --name "$name" --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls $client --advertise-client-urls $client \
        --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster "$name=$peer"
    wait_for etcd on 1 curl -fsS $client/health

    start_api_server
    daemon control 1 kube-controller-manager kube-controller-manager --leader-elect=false --bind-address=127.0.0.1 \
        --kubeconfig="$conf/controller-manager.kubeconfig" --use-service-account-credentials=true \
        --service-account-private-key-file="$pki/accounts.key" --root-ca-file="$pki/ca.crt" \
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
    daemon control 1 kube-scheduler kube-scheduler --leader-elect=false --bind-address=127.0.0.1 \
        --kubeconfig="$conf/scheduler.kubeconfig"
    cat >"$conf/Corefile" <<C
cluster.local in-addr.arpa {
  bind $node_net.1
  errors
  kubernetes {
    kubeconfig $conf/admin.kubeconfig
  }
}
C
    daemon control 1 coredns coredns -conf "$conf/Corefile"
    wait_for kube-controller-manager on 1 curl -fsSk https://127.0.0.1:10257/healthz
    wait_for kube-scheduler on 1 curl -fsSk https://127.0.0.1:10259/healthz
}

# As on GKE, pods of the system's priority classes need a ResourceQuota in their namespace.
write_admission_settings() {
    cat >"$conf/admission.yaml" <<Y
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes:
      - {scopeName: PriorityClass, operator: In, values: [system-node-critical, system-cluster-critical]}
Y
}

start_api_server() {
    local issuer=https://kubernetes.default.svc.cluster.local
    write_admission_settings
    daemon control 1 kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
        --advertise-address="$node_net.1" --secure-port=6443 --service-cluster-ip-range="$service_net.0.0/16" \
        --authorization-mode=Node,RBAC --allow-privileged=true --enable-admission-plugins=NodeRestriction \
        --admission-control-config-file="$conf/admission.yaml" \
        --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --kubelet-preferred-address-types=InternalIP --kubelet-certificate-authority="$pki/ca.crt" \
        --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
        --service-account-issuer="$issuer" --service-account-key-file="$pki/accounts.pub" \
        --service-account-signing-key-file="$pki/accounts.key"
    wait_for kube-apiserver as_admin readyz
}

as_admin() { # as_admin PATH: prints the API server's response
    on 1 curl -fsS --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "https://$node_net.1:6443/$1"
}
