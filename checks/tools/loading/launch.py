"""Becomes Locust, in a process of its own: importing it patches the process. Usage: launch.py CONFIG (a JSON file).

The file's keys are those of ``checks.tools.loading.driving.Job.config``.
"""

import json
import os
import sys
from pathlib import Path


def arguments(config: dict[str, object]) -> list[str]:
    """Locust's command line. Our generator is its first locustfile, the application's own the second."""
    files = [
        str(Path(__file__).with_name("generator.py")),
        *([str(config["locustfile"])] if config["locustfile"] else []),
    ]
    argv = ["locust", "--headless", "--only-summary", "-f", ",".join(files), "--host", str(config["host"])]
    argv += ["--stop-timeout", "2", "--exit-code-on-error", "0", "--loglevel", "WARNING"]
    argv += ["--json-file", f"{config['record']}.rounded"]  # instead of its tables in our log
    if config["port"]:
        port = str(config["port"])
        argv += ["--processes", str(config["processes"]), "--master-bind-host", "127.0.0.1"]
        argv += ["--master-bind-port", port, "--master-port", port]
    return argv


if __name__ == "__main__":
    os.environ["GONOGO_LOAD_CONFIG"] = sys.argv[1]
    sys.argv = arguments(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    from locust.main import main

    sys.exit(main())
