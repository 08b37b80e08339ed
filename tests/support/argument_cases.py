"""Arguments of `fetch` that a manifest may and may not pass, and how the generator refuses them."""

GOOD = [
    (),
    ("--pin", "--retry-missing"),
    ("--overall-timeout=40m",),
    ("--overall-timeout", "40m"),
    ("--overall_timeout=40m",),
    ("--max-parallel-pulls", "4"),
    ("--max-parallel-pulls", "+4"),
    ("--attempt-clock=wall", "nginx:1", "--log-format", "json"),
    ("--docker-config=/a", "--docker-config", "/b"),
    ("--credential-option=netrc.note=a b", "--credential-option", "x.y=--pin"),
    ("--image-list-file", "-"),
    ("--pin", "--", "--overall-timeout"),
    ("--min-free-disk=10Gi",),
    ("--report-grace=0",),
    ("--no-yield",),
    ("--yield", "--max-io-pressure=40"),
    ("--max-io-pressure", "40"),
    ("--max-download-rate=50Mi",),
]

SPACE = "must not contain a space"
BAD = [
    (("--overal-timeout=40m",), "--overal-timeout: unknown flag in nodeprefetch "),
    (("--help",), "--help: unknown flag"),
    (("-p",), "-p: unknown flag"),
    (("--overall-timeout 40m",), f"'--overall-timeout 40m': {SPACE} (write --fetch-arg=--overall-timeout=40m)"),
    (("--overall-timeout =4m",), f"'--overall-timeout =4m': {SPACE} (write --fetch-arg=--overall-timeout=4m)"),
    (
        ("--pin --unpack-timeout 4m",),
        f"'--pin --unpack-timeout 4m': {SPACE} (write --fetch-arg=--pin --fetch-arg=--unpack-timeout=4m)",
    ),
    (("--overall-timeout",), "--overall-timeout: requires a value (write --fetch-arg=--overall-timeout=DURATION)"),
    (("--overall-timeout=",), "--overall-timeout: requires a value"),
    (("--overall-timeout", "--pin"), "--overall-timeout: requires a value"),
    (("--docker-config",), "--docker-config: requires a value (write --fetch-arg=--docker-config=PATH)"),
    (("--overall-timeout=40",), "--overall-timeout: invalid duration '40'"),
    (("--overall-timeout= 40m",), "--overall-timeout: invalid duration ' 40m'"),
    (("--max-parallel-pulls=four",), "--max-parallel-pulls: 'four' must be a whole number"),
    (("--max-io-pressure=40%",), "--max-io-pressure: '40%' must be a whole number"),
    (("--attempt-clock=Wall",), "--attempt-clock: 'Wall' must be one of auto, progress, wall"),
    (("--overall-timeout=1m", "--overall_timeout=2m"), "--overall-timeout: must not be given more than once"),
    (("--pin", "--pin"), "--pin: must not be given more than once"),
    (("nginx:1 redis:7",), "'nginx:1 redis:7': an image must not be empty or contain whitespace"),
]
