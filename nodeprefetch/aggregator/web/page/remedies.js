// What to do about an error: written by `python -m tests.golden.remedies`.

export const GUIDE = "docs/troubleshooting.md";

/** @type {Record<string, [string, string]>} advice, and the section of the guide, by reason */
export const REMEDIES = {
  "artifact": [
    "remove it from the list: it is not a container image",
    "the-image-cannot-be-used-on-this-node"
  ],
  "bad_credential": [
    "create the pull secret again: the runtime cannot read it",
    "no-credential-is-accepted"
  ],
  "bad_digest": [
    "wait for the retries; if it repeats, check the registry and the mirrors in front of it",
    "data-of-the-image-is-missing-or-damaged"
  ],
  "bad_layer": [
    "build and push the image again",
    "the-image-cannot-be-used-on-this-node"
  ],
  "bad_manifest": [
    "build and push the image again",
    "the-image-cannot-be-used-on-this-node"
  ],
  "bad_name": [
    "correct the name of the image",
    "the-name-or-the-request-is-rejected"
  ],
  "bad_range": [
    "wait for the retries; if it repeats, check the registry and the mirrors in front of it",
    "data-of-the-image-is-missing-or-damaged"
  ],
  "blob_missing": [
    "wait for the retries; if it repeats, check the registry and the mirrors in front of it",
    "data-of-the-image-is-missing-or-damaged"
  ],
  "cancelled": [
    "wait for the next run, or set a longer --overall-timeout",
    "an-image-fails"
  ],
  "client_error": [
    "correct the name of the image; the error is the registry's",
    "the-name-or-the-request-is-rejected"
  ],
  "clock": [
    "check the time synchronization of the node",
    "the-certificate-is-not-trusted"
  ],
  "connection": [
    "check the way from the nodes to the registry, and the registry itself",
    "the-registry-or-the-network-fails"
  ],
  "content_gone": [
    "wait for the retries; if it repeats, check the registry and the mirrors in front of it",
    "data-of-the-image-is-missing-or-damaged"
  ],
  "denied": [
    "check which credentials match the image, and whether they are valid",
    "no-credential-is-accepted"
  ],
  "digest_algorithm": [
    "update the container runtime, or push the image with sha256 digests",
    "the-image-cannot-be-used-on-this-node"
  ],
  "dns": [
    "check the registry's host name, and the DNS server that the node uses",
    "the-registry-or-the-network-fails"
  ],
  "encrypted": [
    "configure decryption and its keys in the container runtime",
    "the-image-cannot-be-used-on-this-node"
  ],
  "invalid_argument": [
    "correct the name of the image",
    "the-name-or-the-request-is-rejected"
  ],
  "large_manifest": [
    "build the image with fewer annotations",
    "the-image-cannot-be-used-on-this-node"
  ],
  "lease_gone": [
    "wait for the retries; if it repeats, check the registry and the mirrors in front of it",
    "data-of-the-image-is-missing-or-damaged"
  ],
  "locked": [
    "wait for the retries; if it repeats, check the registry and the mirrors in front of it",
    "data-of-the-image-is-missing-or-damaged"
  ],
  "message_too_large": [
    "update the container runtime",
    "the-name-or-the-request-is-rejected"
  ],
  "no_platform": [
    "build the image for the architecture of the node",
    "the-image-cannot-be-used-on-this-node"
  ],
  "no_runtime": [
    "check the container runtime on the node",
    "no-container-runtime-exit-code-3"
  ],
  "no_space": [
    "free disk space on the node, or shorten the list",
    "the-disk-is-full"
  ],
  "not_a_registry": [
    "check for a proxy, a sign-in page or another server at the registry's address",
    "the-registry-or-the-network-fails"
  ],
  "not_found": [
    "push the image, correct its name, or grant its account access",
    "the-registry-does-not-have-the-image"
  ],
  "not_unpacked": [
    "check the container runtime's log for the snapshotter of the runtime handler",
    "the-image-cannot-be-used-on-this-node"
  ],
  "old_manifest": [
    "build and push the image again, with a current tool",
    "the-image-cannot-be-used-on-this-node"
  ],
  "protocol": [
    "check the way from the nodes to the registry, and the registry itself",
    "the-registry-or-the-network-fails"
  ],
  "rate_limited": [
    "log in to the registry, use a mirror, or let fewer nodes pull at once",
    "the-registry-throttles"
  ],
  "resource_exhausted": [
    "check the container runtime on the node",
    "the-runtime-fails"
  ],
  "runtime_error": [
    "check the container runtime on the node",
    "the-runtime-fails"
  ],
  "runtime_gone": [
    "check the container runtime on the node",
    "the-runtime-fails"
  ],
  "runtime_starting": [
    "check the container runtime on the node",
    "the-runtime-fails"
  ],
  "server_error": [
    "check the registry",
    "the-registry-or-the-network-fails"
  ],
  "signature": [
    "sign the image, or correct the node's signature policy",
    "the-image-cannot-be-used-on-this-node"
  ],
  "stalled": [
    "check the way from the nodes to the registry, and the registry itself",
    "attempts-time-out"
  ],
  "store_damaged": [
    "remove the image on the node and restart its runtime, or replace the node",
    "data-of-the-image-is-missing-or-damaged"
  ],
  "stream_reset": [
    "check the way from the nodes to the registry, and the registry itself",
    "the-registry-or-the-network-fails"
  ],
  "timeout": [
    "set longer attempt timeouts, or check the network and the disk of the node",
    "attempts-time-out"
  ],
  "tls": [
    "configure the registry's certificate authority in the container runtime",
    "the-certificate-is-not-trusted"
  ],
  "token_expired": [
    "wait for the next attempt, which gets a new token",
    "the-registry-or-the-network-fails"
  ],
  "unauthorized": [
    "check which credentials match the image, and whether they are valid",
    "no-credential-is-accepted"
  ],
  "unimplemented": [
    "update the container runtime",
    "the-name-or-the-request-is-rejected"
  ],
  "unknown": [
    "report the error",
    "report-an-unrecognized-error"
  ]
};

/** @type {Record<string, string>} reasons that stand for one that is not known, by error class */
export const BY_CLASS = {
  "permanent": "client_error",
  "refused": "unauthorized",
  "no-space": "no_space",
  "runtime-gone": "runtime_gone",
  "passing": "connection",
  "cancelled": "cancelled"
};
