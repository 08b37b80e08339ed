"""Flags of the program in the containers. Written by `python -m tests.golden.flags`; do not edit.

By flag, what its value is: empty for a switch, which takes none; `a|b` for one of these words; `DURATION`; `N` for a
whole number; anything else for a text. `…` at the end: the flag may be repeated.
"""

from collections.abc import Mapping

FETCH: Mapping[str, str] = {
    "--allow-failures": "",
    "--attempt-clock": "auto|progress|wall",
    "--credential-option": "NAME.KEY=VALUE…",
    "--credential-order": "NAMES",
    "--cri-socket": "PATH",
    "--debug": "",
    "--docker-config": "PATH…",
    "--image-credential-provider-bin-dir": "DIR",
    "--image-credential-provider-config": "PATH",
    "--image-fs-path": "DIR",
    "--image-list-file": "FILE…",
    "--image-list-timeout": "DURATION",
    "--initial-pull-attempt-delay": "DURATION",
    "--initial-pull-attempt-timeout": "DURATION",
    "--kubeconfig": "FILE",
    "--log-format": "logfmt|json",
    "--max-parallel-pulls": "N",
    "--max-pull-attempt-delay": "DURATION",
    "--max-pull-attempt-timeout": "DURATION",
    "--metrics-ca-file": "FILE",
    "--metrics-endpoint": "URL",
    "--metrics-protocol": "auto|http|grpc",
    "--metrics-token-file": "FILE",
    "--min-free-disk": "AMOUNT",
    "--no-resume": "",
    "--node-label-prefix": "PREFIX",
    "--overall-timeout": "DURATION",
    "--pin": "",
    "--progress-interval": "DURATION",
    "--pull-policy": "IfNotPresent|Always",
    "--report-grace": "DURATION",
    "--retry-missing": "",
    "--runtime-wait": "DURATION",
    "--unpack-timeout": "DURATION",
}

AGGREGATE: Mapping[str, str] = {
    "--auth": "none|token-file|kubernetes",
    "--auth-audience": "NAME",
    "--auth-read": "",
    "--auth-service-account": "NAMESPACE:NAME",
    "--auth-token-file": "FILE",
    "--bind": "ADDRESS",
    "--data-dir": "DIR",
    "--debug": "",
    "--grpc-port": "N",
    "--http-port": "N",
    "--kubeconfig": "FILE",
    "--max-results": "N",
    "--retention": "DURATION",
    "--tls-cert-file": "FILE",
    "--tls-key-file": "FILE",
}
