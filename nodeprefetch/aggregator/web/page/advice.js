// What to do about an error, in a few words, and which guide says more.

const TROUBLE = "troubleshooting.md, “An image fails”";
const REGISTRIES = "private-registries.md";

/** @type {Record<string, [string, string]>} */
const BY_REASON = {
  not_found: ["Check the name and the tag, and that the login may see the repository.", TROUBLE],
  unauthorized: ["Check the login for this registry.", REGISTRIES],
  denied: ["Check that the login may pull from this repository.", REGISTRIES],
  bad_credential: ["Correct the credential: the runtime cannot read it.", REGISTRIES],
  bad_name: ["Correct the name in the list.", TROUBLE],
  no_platform: ["Use an image that is built for the architecture of these nodes.", TROUBLE],
  artifact: ["Remove it from the list: it is not a container image.", TROUBLE],
  tls: ["Let the nodes trust the registry's certificate (configuration of the runtime).", TROUBLE],
  clock: ["Check the time synchronization of these nodes.", TROUBLE],
  dns: ["Check the registry's host name, and the name server of the nodes.", TROUBLE],
  not_a_registry: ["Check for a proxy or sign-in page at the registry's address.", TROUBLE],
  rate_limited: ["Wait; or use a login with a higher limit, or a mirror.", "private-registries.md, “When a registry throttles”"],
  timeout: ["Check the network to the registry, and the timeouts.", "troubleshooting.md, “Pulls are slow”"],
  stalled: ["Check the network to the registry.", "progress.md"],
  store_damaged: ["Repair the runtime's storage on these nodes, or replace them.", TROUBLE],
  no_space: ["Free disk space on these nodes, or shorten the list.", "sizing.md, “The disk”"],
  unknown: ["Read the message; it is not known to nodeprefetch.", "troubleshooting.md, “Report an unrecognized error”"],
};

/** @type {Record<string, [string, string]>} */
const BY_CLASS = {
  permanent: ["Correct the image or the list: trying again does not help.", TROUBLE],
  refused: ["Check the login for this registry.", REGISTRIES],
  "no-space": BY_REASON.no_space,
  "runtime-gone": ["Check the container runtime of these nodes.", "troubleshooting.md, “No container runtime”"],
  passing: ["Usually passes by itself.", TROUBLE],
};

/**
 * @param {string} errorClass
 * @param {string} reason
 * @returns {{text: string, guide: string}}
 */
export function adviceFor(errorClass, reason) {
  const [text, guide] = find(BY_REASON, reason) ?? find(BY_CLASS, errorClass) ?? BY_CLASS.passing;
  return { text, guide };
}

/**
 * @param {Record<string, [string, string]>} known
 * @param {string} name foreign, so it may also be `constructor`
 */
function find(known, name) {
  return Object.hasOwn(known, name) ? known[name] : undefined;
}
