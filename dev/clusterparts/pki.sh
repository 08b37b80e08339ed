# Sourced by up.sh: creates a certificate authority, certificates and a kubeconfig for each.
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by dev/cluster and places.sh

key_kind=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

certify() { # certify FILE SUBJECT [SUBJECT_ALT_NAMES]
    openssl req "${key_kind[@]}" -subj "$2" -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
    openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -days 30 \
        -set_serial "0x$(openssl rand -hex 8)" -out "$pki/$1.crt" 2>/dev/null \
        -extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:+subjectAltName=$3}")
    cat >"$conf/$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$node_net.1:6443", certificate-authority: "$pki/ca.crt"}}]
users: [{name: u, user: {client-certificate: "$pki/$1.crt", client-key: "$pki/$1.key"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
Y
}

make_authority() {
    local service=kubernetes.default.svc
    openssl req -x509 "${key_kind[@]}" -days 30 -subj /CN=ca -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
    certify apiserver /CN=kube-apiserver "IP:$node_net.1,IP:127.0.0.1,IP:$service_net.0.1,DNS:localhost,DNS:kubernetes,\
DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local"
    certify admin /O=system:masters/CN=admin
    certify controller-manager /CN=system:kube-controller-manager
    certify scheduler /CN=system:kube-scheduler
    certify kube-proxy /CN=system:kube-proxy
    openssl ecparam -name prime256v1 -genkey -noout -out "$pki/accounts.key"
    openssl ec -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub" 2>/dev/null
}
